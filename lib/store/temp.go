package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"docksmith/lib/flock"

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
	s.sweepOnce()
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
	if ok, err := flock.Try(f, flock.Exclusive); err != nil || !ok {
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
	s.sweepOnce()
	if err := s.shared.lock(context.Background()); err != nil {
		return nil, err
	}
	defer s.shared.unlock()
	f, err := os.CreateTemp(s.path(dirTemp), prefix+"-")
	if err != nil {
		return nil, fmt.Errorf("make temporary file: %w", err)
	}
	if ok, err := flock.Try(f, flock.Exclusive); err != nil || !ok {
		return nil, errors.Join(fmt.Errorf("lock %s", f.Name()), err, f.Close())
	}
	return f, nil
}

// leftover is something in tmp/ whose process is gone, locked by us now.
type leftover struct {
	path string
	lock *os.File // nil where it could not be opened
}

// leftovers claims what dead processes left in tmp/. The caller has gc.lock
// exclusively, because between making a file and locking it nobody is without
// that; for the removal, which may take long, it need not.
func (s *Store) leftovers() ([]leftover, error) {
	names, err := os.ReadDir(s.path(dirTemp))
	if err != nil {
		return nil, err
	}
	var list []leftover
	for _, n := range names {
		path := filepath.Join(s.path(dirTemp), n.Name())
		lock, gone, err := claim(path)
		if err != nil {
			return list, fmt.Errorf("sweep: %w", err)
		}
		if gone {
			list = append(list, leftover{path, lock})
		}
	}
	return list, nil
}

// claim locks path unless its process lives.
func claim(path string) (*os.File, bool, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NONBLOCK|unix.O_NOFOLLOW, 0)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, false, nil
	case errors.Is(err, fs.ErrPermission), errors.Is(err, unix.ELOOP):
		return nil, true, nil // not one of ours, or with a mode that kept even us out: nobody holds it
	case err != nil:
		return nil, false, err
	}
	gone, err := flock.Try(f, flock.Exclusive)
	if err != nil || !gone {
		f.Close()
	}
	return f, gone, err
}

func (l leftover) remove() error {
	if l.lock != nil {
		defer l.lock.Close()
	}
	return removeAll(l.path)
}

func (l leftover) release() {
	if l.lock != nil {
		l.lock.Close()
	}
}

// sweepOnce removes leftovers when this process first makes something of its
// own in tmp/, if nobody is in the way: a killed program's work does not wait for a
// collection. What cannot be removed here waits for one.
func (s *Store) sweepOnce() {
	s.mu.Lock()
	first := !s.swept
	s.swept = true
	s.mu.Unlock()
	if !first {
		return
	}
	if names, err := os.ReadDir(s.path(dirTemp)); err != nil || len(names) == 0 {
		return
	}
	f, err := os.OpenFile(s.path(fileGCLock), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	var list []leftover
	if ok, err := flock.Try(f, flock.Exclusive); err == nil && ok {
		list, _ = s.leftovers()
	}
	f.Close()
	for _, l := range list {
		_ = l.remove()
	}
}

// trash takes things out of sight in one step, to be removed later: a directory
// half removed would be a directory with half its content, and nobody should
// wait with a lock for the removal of a large one.
type trash struct {
	temp  *Temp
	n     int
	moved map[string]string // where things are that were taken
}

// asidePrefix begins the name of what could not be moved to tmp/.
const asidePrefix = "aside-"

// newTrash must be made before gc.lock is taken exclusively.
func (s *Store) newTrash() (*trash, error) {
	temp, err := s.TempDir("drop")
	if err != nil {
		return nil, err
	}
	return &trash{temp: temp, moved: map[string]string{}}, nil
}

// take renames path away. A directory of a mapped user's that we may not move
// to another parent is put out of sight beside its old place, until a
// collection by somebody who may.
func (t *trash) take(path string) error {
	t.n++
	to := filepath.Join(t.temp.Path, strconv.Itoa(t.n))
	err := os.Rename(path, to)
	switch {
	case err == nil:
		t.moved[path] = to
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, fs.ErrPermission):
		aside := asidePrefix + filepath.Base(t.temp.Path) + "-" + strconv.Itoa(t.n)
		return os.Rename(path, filepath.Join(filepath.Dir(path), aside))
	}
	return err
}

// where a thing is now, taken or not.
func (t *trash) where(path string) string {
	if to := t.moved[path]; to != "" {
		return to
	}
	return path
}

// empty removes what was taken. What belongs to mapped users that are not ours
// here waits in tmp/ for a collection by somebody whose they are.
func (t *trash) empty() error {
	if err := t.temp.Close(); !errors.Is(err, fs.ErrPermission) {
		return err
	}
	return nil
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
