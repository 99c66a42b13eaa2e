package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"sync"
	"time"
)

// Slots are the job slots of this process. Methods may be called concurrently.
type Slots struct {
	// in and out are the two ends of make's pipe; nil without a jobserver.
	in, out *os.File

	mu      sync.Mutex
	free    int           // slots that are ours and not in use
	held    []*slot       // in use
	waiting []chan *slot  // each with room for its slot
	reading bool          // a goroutine waits for a token
	read    chan struct{} // closed when that one has ended
	closed  bool
}

// slot is one in use.
type slot struct {
	token byte
	ours  bool // else token is from the jobserver
}

// Open makes the slots: n of them or, when n is 0, those of the jobserver that
// makeflags, the value of MAKEFLAGS, names, else one for each processor. A
// process has one slot by itself when it is make's; further ones are tokens.
//
// A jobserver that cannot be used leaves the one slot, as in a sub-make. The
// warning, "" for none, says that, or that n overrides a jobserver.
//
// Inherited descriptors of a jobserver are kept from this process's children in
// any case. It is the caller's to take MAKEFLAGS from their environment.
func Open(n int, makeflags string) (s *Slots, warning string) {
	where, found := findServer(makeflags)
	if found {
		where.keepFromChildren()
	}
	switch {
	case !found && n == 0:
		return &Slots{free: runtime.NumCPU()}, ""
	case !found:
		return &Slots{free: n}, ""
	case n > 0:
		return &Slots{free: n}, fmt.Sprintf("-j %d is given: the jobserver of make is not asked", n)
	}
	s = &Slots{free: 1}
	var err error
	if s.in, s.out, err = where.open(); err != nil {
		return s, "the jobserver of make is unavailable, so one step runs at a time: add \"+\" to the rule in the makefile"
	}
	return s, ""
}

// Acquire waits for a slot, or for the end of ctx. The caller gives the slot
// back with release, which does nothing when it is called again.
func (s *Slots) Acquire(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil, os.ErrClosed
	}
	if s.free > 0 && len(s.waiting) == 0 {
		s.free--
		taken := s.hold(&slot{ours: true})
		s.mu.Unlock()
		return s.releaser(taken), nil
	}
	turn := make(chan *slot, 1)
	s.waiting = append(s.waiting, turn)
	s.ask()
	s.mu.Unlock()
	select {
	case taken := <-turn:
		return s.releaser(taken), nil
	case <-ctx.Done():
		s.giveUp(turn)
		return nil, ctx.Err()
	}
}

// Close gives back what is still held and lets go of the jobserver. Nothing may
// be acquired afterwards; a late release does nothing, and neither does a second
// Close.
func (s *Slots) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.waiting = nil
	var err error
	for len(s.held) > 0 {
		err = errors.Join(err, s.drop(s.held[0]))
	}
	read := s.read
	s.mu.Unlock()
	if s.in == nil {
		return err
	}
	if read != nil {
		if s.in.SetReadDeadline(time.Now()) != nil {
			return err // it may read a token yet, and needs both ends for that
		}
		<-read
	}
	err = errors.Join(err, s.in.Close())
	if s.out != s.in {
		err = errors.Join(err, s.out.Close())
	}
	return err
}

func (s *Slots) releaser(taken *slot) func() {
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		_ = s.drop(taken) // whoever serves the jobs has ended: nobody misses the token
	}
}

// The rest is called with mu held, but for readTokens.

func (s *Slots) hold(taken *slot) *slot {
	s.held = append(s.held, taken)
	return taken
}

// drop gives a slot back, once. One of ours goes to who waits here; a token goes
// through the jobserver, where others may have waited longer.
func (s *Slots) drop(taken *slot) error {
	i := slices.Index(s.held, taken)
	if i < 0 {
		return nil
	}
	s.held = slices.Delete(s.held, i, i+1)
	if !taken.ours {
		return s.giveBack(taken.token)
	}
	if !s.serve(taken) {
		s.free++
	}
	return nil
}

// serve gives a slot to who has waited longest; false when nobody waits.
func (s *Slots) serve(taken *slot) bool {
	if len(s.waiting) == 0 {
		return false
	}
	s.waiting[0] <- s.hold(taken)
	s.waiting = s.waiting[1:]
	if len(s.waiting) == 0 {
		s.unask()
	}
	return true
}

// giveUp ends waiting. A slot that came at the last moment goes back.
func (s *Slots) giveUp(turn chan *slot) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if i := slices.Index(s.waiting, turn); i >= 0 {
		s.waiting = slices.Delete(s.waiting, i, i+1)
		if len(s.waiting) == 0 {
			s.unask()
		}
		return
	}
	select {
	case taken := <-turn:
		_ = s.drop(taken)
	default: // Close was faster
	}
}

func (s *Slots) giveBack(token byte) error {
	if _, err := s.out.Write([]byte{token}); err != nil {
		return fmt.Errorf("give token back to the jobserver: %w", err)
	}
	return nil
}

// ask makes sure that a goroutine waits for a token.
func (s *Slots) ask() {
	if s.in == nil {
		return
	}
	_ = s.in.SetReadDeadline(time.Time{})
	if !s.reading {
		s.reading, s.read = true, make(chan struct{})
		go s.readTokens(s.read)
	}
}

// unask wakes the goroutine that waits for a token: nobody needs one now.
func (s *Slots) unask() {
	if s.in != nil && s.reading {
		_ = s.in.SetReadDeadline(time.Now()) // else its next token goes back at once
	}
}

// readTokens reads tokens, one at a time, as long as somebody waits for one.
func (s *Slots) readTokens(ended chan struct{}) {
	defer close(ended)
	var token [1]byte
	for {
		n, err := s.in.Read(token[:])
		s.mu.Lock()
		if n == 1 && !s.serve(&slot{token: token[0]}) {
			_ = s.giveBack(token[0])
		}
		timeout := errors.Is(err, os.ErrDeadlineExceeded)
		if len(s.waiting) == 0 || err != nil && !timeout {
			// Without a jobserver the slot of our own is left.
			s.reading = false
			s.mu.Unlock()
			return
		}
		s.mu.Unlock()
	}
}
