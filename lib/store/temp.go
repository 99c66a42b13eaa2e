package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// Temp is a directory for work in progress, on the file system of the store so
// that its content can be renamed into place. It is locked by its process: a
// sweep removes only those whose process is gone.
type Temp struct {
	Path string
	lock *os.File
}

// TempDir makes a directory in tmp/ whose name begins with prefix.
func (s *Store) TempDir(prefix string) (*Temp, error) {
	if err := s.shared.lock(context.Background()); err != nil {
		return nil, err
	}
	defer s.shared.unlock()
	dir, err := os.MkdirTemp(s.path(dirTemp), prefix+"-")
	if err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("make temporary directory: %w", err)
	}
	if ok, err := tryLock(f, unix.LOCK_EX); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("lock %s", dir), err, f.Close())
	}
	return &Temp{Path: dir, lock: f}, nil
}

// Close removes the directory and what is left in it. It is safe to call twice.
func (t *Temp) Close() error {
	if t.lock == nil {
		return nil
	}
	err := errors.Join(removeAll(t.Path), t.lock.Close())
	t.lock = nil
	return err
}

// tempFile makes a file in tmp/, locked like a Temp.
func (s *Store) tempFile(prefix string) (*os.File, error) {
	if err := s.shared.lock(context.Background()); err != nil {
		return nil, err
	}
	defer s.shared.unlock()
	f, err := os.CreateTemp(s.path(dirTemp), prefix+"-")
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	if ok, err := tryLock(f, unix.LOCK_EX); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("lock %s", f.Name()), err, f.Close())
	}
	return f, nil
}

// sweep removes what dead processes left in tmp/. The caller has gc.lock
// exclusively: between making a file and locking it nobody is without it.
func (s *Store) sweep(dryRun bool) (removed []string, err error) {
	names, err := os.ReadDir(s.path(dirTemp))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		path := filepath.Join(s.path(dirTemp), n.Name())
		gone, err := ownerGone(path)
		if err != nil {
			return removed, fmt.Errorf("sweep: %w", err)
		}
		if !gone {
			continue
		}
		if !dryRun {
			if err := removeAll(path); err != nil {
				return removed, fmt.Errorf("sweep: %w", err)
			}
		}
		removed = append(removed, path)
	}
	return removed, nil
}

// ownerGone reports whether nobody has path locked.
func ownerGone(path string) (bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return false, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ELOOP):
		return true, nil // not one of ours, or with a mode that kept even us out: nobody holds it
	case err != nil:
		return false, err
	}
	defer f.Close()
	return tryLock(f, unix.LOCK_SH)
}

// discard takes path out of sight in one step and then removes it: a directory
// half removed would be a directory with half its content. What cannot be
// removed, because it belongs to mapped users that are not ours here, stays out
// of sight until a collection that can.
func (s *Store) discard(path string) error {
	trash, err := os.MkdirTemp(s.path(dirTemp), "drop-")
	if err != nil {
		return err
	}
	err = os.Rename(path, filepath.Join(trash, "x"))
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return os.Remove(trash)
	case errors.Is(err, fs.ErrPermission):
		// Moving a directory of somebody else's needs the same parent.
		aside := filepath.Join(filepath.Dir(path), filepath.Base(trash))
		return errors.Join(os.Remove(trash), os.Rename(path, aside))
	case err != nil:
		return errors.Join(err, os.Remove(trash))
	}
	return removeAll(trash)
}

// removeAll is os.RemoveAll that gives itself the permission to: image trees and
// overlay's work directories have directories without any mode bits.
func removeAll(path string) error {
	err := os.RemoveAll(path)
	if err == nil || !errors.Is(err, fs.ErrPermission) {
		return err
	}
	walkErr := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() && err == nil {
			return os.Chmod(p, 0o700)
		}
		return nil
	})
	return errors.Join(walkErr, os.RemoveAll(path))
}
