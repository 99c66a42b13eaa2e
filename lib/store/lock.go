package store

import (
	"context"
	"os"
	"sync"

	"docksmith/lib/flock"
)

// Locks are flock(2) locks on open files: the kernel drops them with their
// process, so nothing is ever stale.
//
//	state/gc.lock     shared while something is looked up and leased, or put
//	                  under its final name; exclusive while things are removed
//	state/index.lock  exclusive while index.json is read, changed and replaced
//
// Whoever needs both takes gc.lock first.

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
		f, err := flock.Open(ctx, l.path, flock.Shared)
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
