package cache

import (
	"errors"
	"fmt"
	"sync"
	"time"
)

// Step is one instruction of a build: what its history is kept under.
type Step struct {
	// ID tells the step from the others of its image and stays the same from
	// build to build, for example "2" or "builder/3".
	ID   string
	Text string // the instruction
}

// Session is one build's account: hits, misses and the history of its image.
// All of it is written by Close, so a cached step costs no write. Methods may
// be called concurrently.
type Session struct {
	c     *Cache
	image string

	mu     sync.Mutex
	counts Counts
	notes  []note
	used   []string // keys of the records that were used
	closed bool
}

type note struct {
	step Step
	run  Run
	pre  *Preimage
}

// Begin starts the account of a build. The image's name is what its history
// goes under; a build without a name is counted, but has no history.
func (c *Cache) Begin(image string) *Session { return &Session{c: c, image: image} }

// Hit notes that a step was taken from the cache, which saved r.Seconds. The
// pre-image must not be changed before Close.
func (s *Session) Hit(step Step, p *Preimage, r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Hits++
	s.counts.SavedSeconds = addSeconds(s.counts.SavedSeconds, r.Seconds)
	s.used = append(s.used, r.Key)
	s.note(step, p, true, r.Key)
}

// Miss notes that a step had to be done. The pre-image must not be changed
// before Close.
func (s *Session) Miss(step Step, p *Preimage) {
	key := ""
	if p != nil && s.image != "" {
		key = p.Key()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Misses++
	s.note(step, p, false, key)
}

func (s *Session) note(step Step, p *Preimage, hit bool, key string) {
	if p == nil || s.image == "" {
		return
	}
	s.notes = append(s.notes, note{step, Run{Key: key, Hit: hit, Time: time.Now().UTC().Truncate(time.Second)}, p})
}

// Close writes the account: the counters of all builds and the history of this
// image, in one turn under the lock that keeps other processes out. A session
// that is not closed was never there; a second Close does nothing. Call it after a
// failed build too: its hits were hits.
func (s *Session) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	if err := s.write(); err != nil {
		return fmt.Errorf("write cache account: %w", err)
	}
	return nil
}

func (s *Session) write() (err error) {
	for _, key := range s.used {
		_ = s.c.Touch(key) // the worst that can come of it is an early removal
	}
	unlock, err := s.c.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	if _, err := addCounts(s.c.statsPath(), s.counts); err != nil {
		return err
	}
	if s.image == "" {
		return nil
	}
	return s.writeHistory()
}

// writeHistory writes the steps only if they changed: a build that hits
// everywhere again leaves them as they are.
func (s *Session) writeHistory() error {
	h, err := s.c.readHistory(s.image)
	if err != nil {
		return err
	}
	changed := h.Schema == ""
	h.Schema = HistorySchema
	for _, n := range s.notes {
		news, newKey := h.note(n)
		if newKey {
			if err := s.c.savePreimage(n.pre, n.run.Key); err != nil {
				return err
			}
		}
		changed = changed || news
	}
	if h.arrange(s.notes) || changed {
		if err := s.c.publishJSON(s.c.historyPath(s.image, historyExt), h); err != nil {
			return err
		}
	}
	_, err = addCounts(s.c.historyPath(s.image, countsExt), s.counts)
	return err
}
