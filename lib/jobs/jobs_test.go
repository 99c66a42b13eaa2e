package jobs

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// makePipe is a jobserver with tokens: the MAKEFLAGS that name it, and what
// tells the tokens that are in it.
func makePipe(t *testing.T, fifo bool, tokens string) (flags string, left func() string) {
	t.Helper()
	var r, w int
	if fifo {
		path := filepath.Join(t.TempDir(), "fifo")
		if err := unix.Mkfifo(path, 0o600); err != nil {
			t.Fatal(err)
		}
		fd, err := unix.Open(path, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		r, w, flags = fd, fd, " -j9 --jobserver-auth=fifo:"+path
	} else {
		var p [2]int
		if err := unix.Pipe(p[:]); err != nil { // inheritable and blocking, as make's
			t.Fatal(err)
		}
		r, w, flags = p[0], p[1], fmt.Sprintf(" -j9 --jobserver-auth=%d,%d", p[0], p[1])
		t.Cleanup(func() { unix.Close(w) })
	}
	t.Cleanup(func() { unix.Close(r) })
	if _, err := unix.Write(w, []byte(tokens)); err != nil {
		t.Fatal(err)
	}
	return flags, func() string {
		if err := unix.SetNonblock(r, true); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		n, err := unix.Read(r, buf)
		if err != nil && err != unix.EAGAIN {
			t.Fatal(err)
		}
		in := buf[:max(n, 0)]
		slices.Sort(in)
		return string(in)
	}
}

func acquire(t *testing.T, s *Slots) func() {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	release, err := s.Acquire(ctx)
	if err != nil {
		t.Fatal(err)
	}
	return release
}

// refused makes sure that there is no slot to be had.
func refused(t *testing.T, s *Slots) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Millisecond)
	defer cancel()
	if release, err := s.Acquire(ctx); err == nil {
		release()
		t.Error("there is one slot too many")
	} else if !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestOwnSlots(t *testing.T) {
	for _, n := range []int{1, 3} {
		s, warning := Open(n, "")
		var give []func()
		for range n {
			give = append(give, acquire(t, s))
		}
		refused(t, s)
		give[0]()
		give[0]() // a second time is nothing
		give[0] = acquire(t, s)
		refused(t, s)
		if err := s.Close(); err != nil || warning != "" {
			t.Error(err, warning)
		}
		for range 2 {
			if _, err := s.Acquire(t.Context()); !errors.Is(err, os.ErrClosed) {
				t.Errorf("acquire after close: %v", err)
			}
		}
	}
	s, _ := Open(0, " -j9")
	if s.free != runtime.NumCPU() {
		t.Errorf("%d slots by default", s.free)
	}
}

// Who is told to end begins nothing, although there is a slot.
func TestEndedContextGetsNoSlot(t *testing.T) {
	s, _ := Open(1, "")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Acquire(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	acquire(t, s)()
}

func TestTokensComeBackAsTheyWere(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		flags, left := makePipe(t, fifo, "+x\x00")
		s, warning := Open(0, flags)
		if warning != "" {
			t.Fatal(warning)
		}
		var give []func()
		for range 4 { // one is ours
			give = append(give, acquire(t, s))
		}
		refused(t, s)
		if got := left(); got != "" {
			t.Fatalf("%q left", got)
		}
		for _, release := range give {
			release()
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := errors.Join(s.in.Close(), s.out.Close()); strings.Count(fmt.Sprint(err), os.ErrClosed.Error()) != 2 {
			t.Errorf("descriptors stay open: %v", err)
		}
		if got := left(); got != "\x00+x" {
			t.Errorf("fifo %v: tokens %q at the end", fifo, got)
		}
	}
}

// What is held when the program ends, by an error or a signal, comes back too,
// and nothing twice.
func TestCloseGivesBack(t *testing.T) {
	flags, left := makePipe(t, false, "ab")
	s, _ := Open(0, flags)
	give := []func(){acquire(t, s), acquire(t, s), acquire(t, s)}
	waited := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		_, err := s.Acquire(ctx)
		waited <- err
	}()
	for s.waiters() == 0 {
		time.Sleep(time.Millisecond)
	}
	if err := errors.Join(s.Close(), s.Close()); err != nil {
		t.Error(err)
	}
	cancel()
	if err := <-waited; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	for _, release := range give {
		release()
	}
	if got := left(); got != "ab" {
		t.Errorf("tokens %q", got)
	}
}

func (s *Slots) waiters() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.waiting)
}

// A token is not kept by who does not need it any more.
func TestGivingUpTakesNoToken(t *testing.T) {
	flags, left := makePipe(t, false, "")
	s, _ := Open(0, flags)
	ours := acquire(t, s)
	refused(t, s)
	refused(t, s)
	where, _ := findServer(flags)
	if _, err := unix.Write(where.write, []byte("k")); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Millisecond)
	if got := left(); got != "k" {
		t.Errorf("tokens %q: somebody reads", got)
	}
	ours()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

// Two programs of many jobs each never have more than the tokens and their own.
func TestManyShareTokens(t *testing.T) {
	for _, fifo := range []bool{false, true} {
		flags, left := makePipe(t, fifo, "123")
		var now, most, done atomic.Int32
		var group sync.WaitGroup
		for range 2 {
			s, warning := Open(0, flags)
			if warning != "" {
				t.Fatal(warning)
			}
			var jobs sync.WaitGroup
			for i := range 60 {
				jobs.Go(func() {
					ctx, cancel := context.WithCancel(t.Context())
					defer cancel()
					if i%5 == 0 {
						time.AfterFunc(time.Duration(i)*time.Millisecond/10, cancel)
					}
					release, err := s.Acquire(ctx)
					if err != nil {
						return
					}
					for n := now.Add(1); n > most.Load(); {
						most.Store(n)
					}
					time.Sleep(time.Millisecond)
					now.Add(-1)
					done.Add(1)
					release()
				})
			}
			group.Go(func() {
				jobs.Wait()
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			})
		}
		group.Wait()
		if most.Load() > 5 || done.Load() < 96 {
			t.Errorf("fifo %v: %d at once, %d done", fifo, most.Load(), done.Load())
		}
		if got := left(); got != "123" {
			t.Errorf("fifo %v: tokens %q", fifo, got)
		}
	}
}

func TestUnusableServerLeavesOneSlot(t *testing.T) {
	plain := filepath.Join(t.TempDir(), "plain")
	f, err := os.Create(plain)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, auth := range []string{
		"-2,-2", "700,701", "fifo:/nowhere", "fifo:" + plain, fmt.Sprintf("%d,%d", f.Fd(), f.Fd()), "junk",
	} {
		s, warning := Open(0, " --jobserver-auth="+auth)
		if !strings.Contains(warning, "unavailable") {
			t.Errorf("%s: warning %q", auth, warning)
		}
		release := acquire(t, s)
		refused(t, s)
		release()
		acquire(t, s)()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := f.Close(); err != nil {
		t.Error("a descriptor of ours was taken for the jobserver's: ", err)
	}
}

func TestNumberOverridesServer(t *testing.T) {
	flags, left := makePipe(t, false, "abc")
	s, warning := Open(2, flags)
	if !strings.Contains(warning, "-j 2") {
		t.Errorf("warning %q", warning)
	}
	acquire(t, s)
	acquire(t, s)
	refused(t, s)
	if got := left(); got != "abc" {
		t.Errorf("tokens %q", got)
	}
}

func TestChildrenGetNoDescriptors(t *testing.T) {
	for _, n := range []int{0, 2} {
		flags, _ := makePipe(t, false, "")
		s, _ := Open(n, flags)
		where, _ := findServer(flags)
		out, err := exec.Command("ls", "-l", "/proc/self/fd").CombinedOutput()
		if err != nil {
			t.Skip(err)
		}
		for _, fd := range []int{where.read, where.write} {
			if strings.Contains(string(out), fmt.Sprintf(" %d -> pipe", fd)) {
				t.Errorf("-j %d: a child has descriptor %d:\n%s", n, fd, out)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
}

// The jobserver may go away under us; the slot of our own stays.
func TestServerThatEnds(t *testing.T) {
	flags, _ := makePipe(t, true, "")
	s, _ := Open(0, flags)
	s.in.Close()
	release := acquire(t, s)
	next := make(chan func())
	go func() { next <- acquire(t, s) }()
	for s.waiters() == 0 {
		time.Sleep(time.Millisecond)
	}
	release()
	(<-next)()
}
