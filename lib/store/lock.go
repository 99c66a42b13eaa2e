package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// Locks are flock(2) locks on open files: the kernel drops them with their
// process, so nothing is ever stale.
//
//	state/gc.lock     shared while something is looked up and leased, or put
//	                  under its final name; exclusive while things are removed
//	state/index.lock  exclusive while index.json is read, changed and replaced
//
// Whoever needs both takes gc.lock first.

// lockFile opens path, makes it if needed, and locks it; closing the file
// unlocks. Waiting ends with ctx.
func lockFile(ctx context.Context, path string, how int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	// flock cannot be interrupted by a context, so ask again; who holds these
	// locks holds them for microseconds.
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		ok, err := tryLock(f, how)
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		if ok {
			return f, nil
		}
		select {
		case <-ctx.Done():
			f.Close()
			return nil, ctx.Err()
		case <-time.After(wait):
		}
	}
}

// tryLock locks f unless somebody else holds it.
func tryLock(f *os.File, how int) (bool, error) {
	for {
		err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
		switch {
		case err == nil:
			return true, nil
		case errors.Is(err, unix.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, unix.EINTR):
			return false, err
		}
	}
}

// sharedLock is one process's part in the shared side of a lock file: however
// many goroutines are inside, the file is locked once.
type sharedLock struct {
	path string
	mu   sync.Mutex
	n    int
	file *os.File
}

func (l *sharedLock) lock(ctx context.Context) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n == 0 {
		f, err := lockFile(ctx, l.path, unix.LOCK_SH)
		if err != nil {
			return err
		}
		l.file = f
	}
	l.n++
	return nil
}

func (l *sharedLock) unlock() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.n--; l.n == 0 {
		l.file.Close()
		l.file = nil
	}
}
