package volume

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"docksmith/lib/flock"
)

// Hold keeps the volume from being removed until the result is closed, or the
// process ends. ErrNotFound means that it was removed meanwhile.
func (v *Volume) Hold() (io.Closer, error) {
	f, err := v.lock()
	if errors.Is(err, fs.ErrNotExist) {
		err = ErrNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("volume %s: %w", v.Name, err)
	}
	return f, nil
}

func (v *Volume) lock() (*os.File, error) {
	f, err := os.Open(v.dir)
	if err != nil {
		return nil, err
	}
	err = flock.Lock(f, flock.Shared)
	if err == nil {
		err = v.still(f)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// still tells whether f is the volume under its name, not one that has been
// renamed to be removed.
func (v *Volume) still(f *os.File) error {
	now, err := os.Stat(v.dir)
	if err != nil {
		return err
	}
	was, err := f.Stat()
	if err == nil && !os.SameFile(now, was) {
		err = fs.ErrNotExist
	}
	return err
}

// Fill begins to fill a volume that has nothing in it, which one process does at
// a time. The files are there for others with done, which must be called once
// they are: what was put there before it, by a process that then was killed, is
// thrown away by the next Fill. A volume that has something in it is left as it
// is: done is nil. The caller holds the volume.
func (v *Volume) Fill() (done func() error, err error) {
	lock, err := os.Open(filepath.Join(v.dir, recordFile))
	if err == nil {
		err = flock.Lock(lock, flock.Exclusive)
	}
	if err != nil {
		return nil, fmt.Errorf("fill volume %s: %w", v.Name, err)
	}
	empty, err := v.empty()
	if err != nil || !empty {
		lock.Close()
		return nil, err
	}
	return func() error {
		err := os.Remove(filepath.Join(v.dir, fillingFile))
		return errors.Join(err, lock.Close())
	}, nil
}

// empty tells whether the volume is to be filled, and marks it so.
func (v *Volume) empty() (bool, error) {
	mark := filepath.Join(v.dir, fillingFile)
	list, err := os.ReadDir(v.Data())
	if err != nil {
		return false, fmt.Errorf("fill volume %s: %w", v.Name, err)
	}
	if len(list) > 0 {
		if _, err := os.Lstat(mark); err != nil {
			return false, nil
		}
		for _, d := range list {
			if err := os.RemoveAll(filepath.Join(v.Data(), d.Name())); err != nil {
				return false, fmt.Errorf("fill volume %s: %w", v.Name, err)
			}
		}
	}
	return true, os.WriteFile(mark, nil, 0o600)
}

// Remove removes a volume that nobody holds, and that used does not call so: it
// is asked when nobody can take hold of it any more, and names who wants it.
func (s *Set) Remove(name string, used func(name string) ([]string, error)) error {
	v, err := s.Get(name)
	if err != nil {
		return err
	}
	if err := s.remove(v, used); err != nil {
		return fmt.Errorf("remove volume %s: %w", name, err)
	}
	return nil
}

func (s *Set) remove(v *Volume, used func(name string) ([]string, error)) error {
	f, err := os.Open(v.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	alone, err := flock.Try(f, flock.Exclusive)
	if err != nil {
		return err
	}
	who, err := used(v.Name)
	switch {
	case err != nil:
		return err
	case len(who) > 0:
		return fmt.Errorf("%w by %s", ErrInUse, strings.Join(who, ", "))
	case !alone:
		return ErrInUse
	}
	if err := v.still(f); err != nil {
		return err
	}
	gone, err := os.MkdirTemp(s.dir, gonePrefix)
	if err != nil {
		return err
	}
	if err := os.Rename(v.dir, filepath.Join(gone, v.Name)); err != nil {
		return errors.Join(err, os.Remove(gone))
	}
	return os.RemoveAll(gone)
}

// Sweep removes what killed processes left half made or half removed.
func (s *Set) Sweep() error {
	names, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range names {
		half := strings.HasPrefix(n.Name(), gonePrefix)
		if strings.HasPrefix(n.Name(), newPrefix) {
			info, ierr := n.Info()
			half = ierr == nil && time.Since(info.ModTime()) > time.Hour // making one takes none
		}
		if half {
			err = errors.Join(err, os.RemoveAll(filepath.Join(s.dir, n.Name())))
		}
	}
	return err
}
