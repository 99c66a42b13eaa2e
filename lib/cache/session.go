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
	ID     string
	Number int    // among all instructions of this build, as progress shows it
	Text   string // the instruction
	// Quiet steps have a history, but do not count as hit or miss.
	Quiet bool
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
	steps  []Step         // of the whole build, as Expect was told
	past   *History       // as it was before this build; nil: not read yet
	match  map[string]int // of steps to past's, by ID
	used   []string       // keys of the records that were used
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

// Hit notes that a step was taken from the cache, which saved r.Seconds. P is the
// record's pre-image, which must not be changed before Close; nil: only its key is
// known, from an alias.
func (s *Session) Hit(step Step, p *Preimage, r *Record) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !step.Quiet {
		s.counts.Hits++
		s.counts.SavedSeconds = addSeconds(s.counts.SavedSeconds, r.Seconds)
	}
	s.used = append(s.used, r.Key)
	s.note(step, p, Run{Key: r.Key, Hit: true})
}

// Miss notes that a step had to be done, and why. The pre-image must not be
// changed before Close.
func (s *Session) Miss(step Step, p *Preimage, reason string) {
	key := ""
	if p != nil && s.image != "" {
		key = p.Key()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if !step.Quiet {
		s.counts.Misses++
	}
	s.note(step, p, Run{Key: key, Reason: reason})
}

func (s *Session) note(step Step, p *Preimage, r Run) {
	if r.Key == "" || s.image == "" {
		return
	}
	r.Time = time.Now().UTC().Truncate(time.Second)
	s.notes = append(s.notes, note{step, r, p})
}

// Expect tells which steps the build is going to have, in their order, so that
// each is compared with itself even if others were added above it. It comes
// before anything else.
func (s *Session) Expect(steps []Step) { s.steps = steps }

// Changes compares the pre-image of a step, for which nothing is recorded, with
// that of the step's last run. Complete tells whether p has its list of files;
// without, what they are makes no difference. It reports whether there was
// a run to compare with: if there was and nothing changed, its record is gone.
func (s *Session) Changes(step Step, p *Preimage, complete bool) (changes []Change, ran bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.past == nil {
		s.past = &History{}
		if h, err := s.c.readHistory(s.image); err == nil && s.image != "" {
			s.past = h
		}
		s.match = matchSteps(s.past.Steps, s.steps)
	}
	if i, ok := s.match[step.ID]; ok {
		return s.c.compare(&s.past.Steps[i].Runs[0], p, complete)
	}
	return nil, false
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
	fresh := h.Schema == ""
	h.Schema = HistorySchema
	changed, unsaved := h.enter(s.steps, s.notes)
	for _, n := range unsaved {
		if err := s.c.savePreimage(n.pre, n.run.Key); err != nil {
			return err
		}
	}
	if fresh {
		if err := s.c.forgetImages(maxImages - 1); err != nil {
			return err
		}
	}
	if fresh || changed {
		if err := s.c.publishJSON(s.c.historyPath(s.image, historyExt), h); err != nil {
			return err
		}
	}
	_, err = addCounts(s.c.historyPath(s.image, countsExt), s.counts)
	return err
}
