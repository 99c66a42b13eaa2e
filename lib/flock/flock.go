// Package flock locks files with flock(2). The kernel drops a lock with the last
// descriptor of its open file, so nothing is ever stale, whoever is killed; it
// holds between processes, and between two openings of a file in one.
package flock

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// How a file is locked.
type How int

const (
	// Shared excludes those who want it exclusively.
	Shared How = syscall.LOCK_SH
	// Exclusive excludes everybody else.
	Exclusive How = syscall.LOCK_EX
)

// Lock waits until f is locked. Closing f unlocks it.
func Lock(f *os.File, how How) error {
	_, err := lock(f, int(how))
	return err
}

// Try locks f unless somebody else is in the way, and tells whether it did.
func Try(f *os.File, how How) (bool, error) { return lock(f, int(how)|syscall.LOCK_NB) }

func lock(f *os.File, how int) (bool, error) {
	for {
		switch err := syscall.Flock(int(f.Fd()), how); {
		case err == nil:
			return true, nil
		case errors.Is(err, syscall.EWOULDBLOCK):
			return false, nil
		case !errors.Is(err, syscall.EINTR):
			return false, err
		}
	}
}

// Named tells whether a file that was opened by its name and is locked now still
// has that name: whoever had it locked may have removed it, with all that it
// guards, or put another in its place.
func Named(f *os.File) (bool, error) {
	ours, err := f.Stat()
	if err != nil {
		return false, err
	}
	now, err := os.Lstat(f.Name())
	return err == nil && os.SameFile(ours, now), nil
}

// Open opens path, makes it if it is not there, with mode 0600, and waits until
// it is locked, but no longer than ctx. Closing the file unlocks it.
func Open(ctx context.Context, path string, how How) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	// flock cannot be interrupted by a context, so ask again; most are held for
	// microseconds.
	for wait := 50 * time.Microsecond; ; wait = min(2*wait, 10*time.Millisecond) {
		ok, err := Try(f, how)
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
