package buildlog

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// heard is what a follower was given so far.
type heard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.text.Write(p)
}

func (h *heard) wait(t *testing.T, want string) {
	t.Helper()
	for range 200 {
		h.mu.Lock()
		got := h.text.String()
		h.mu.Unlock()
		if got == want {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatalf("not heard: %q", want)
}

func TestFollowEndsWithTheStep(t *testing.T) {
	d := New(t.TempDir())
	l := d.Begin()
	l.Record(m{"type": "build", "time": time.Now()})
	l.Record(m{"type": "start", "step": 1, "text": "FROM base"})
	l.Flush()
	b, err := d.Find(Latest)
	if err != nil {
		t.Fatal(err)
	}
	var h heard
	ended := make(chan error, 1)
	go func() { ended <- b.Follow(t.Context(), 2, &h) }()
	time.Sleep(2 * pollEvery) // the step is yet to begin
	l.Record(m{"type": "start", "step": 2, "text": "RUN a"})
	l.Record(m{"type": "run", "step": 2, "log": l.Ref(2)})
	l.Flush()
	o := l.Output(2)
	_, _ = o.Write([]byte("one\n"))
	h.wait(t, "one\n")
	_, _ = o.Write([]byte("two"))
	h.wait(t, "one\ntwo")
	select {
	case err := <-ended:
		t.Fatalf("ended early: %v", err)
	case <-time.After(2 * pollEvery):
	}
	_, _ = o.Write([]byte("\n"))
	l.Record(m{"type": "done", "step": 2})
	l.Flush()
	if err := <-ended; err != nil || h.text.String() != "one\ntwo\n" {
		t.Errorf("%v after %q", err, h.text.String())
	}
	// A step that never comes ends with the build.
	go func() { ended <- b.Follow(t.Context(), 3, &h) }()
	next := make(chan *Step, 1)
	go func() { s, _ := b.Next(t.Context(), 2); next <- s }()
	time.Sleep(2 * pollEvery)
	l.Record(m{"type": "end"})
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err == nil || !strings.Contains(err.Error(), "no step 3") {
		t.Errorf("error %v", err)
	}
	if s := <-next; s != nil {
		t.Errorf("step %+v", s)
	}
	if s, err := b.Next(t.Context(), 1); err != nil || s == nil || s.Number != 2 {
		t.Errorf("step %+v, %v", s, err)
	}
}

func TestFollowEndsWithItsContext(t *testing.T) {
	d := New(t.TempDir())
	l := d.Begin()
	l.Record(m{"type": "build", "time": time.Now()})
	l.Flush()
	b, err := d.Find(Latest)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), pollEvery/2)
	defer cancel()
	if err := b.Follow(ctx, 1, &heard{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if _, err := b.Next(ctx, 0); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}
