// Package fetched is the directory in which lib/fetch keeps what it fetched, for
// those who list it and remove from it: programs that open no network
// connection, and do not link what does.
//
// The invariant: what is there may be removed at any time, by [Dir.Remove].
//
//	for _, t := range list { ok, err := fetched.New(dir).Remove(t) }
package fetched

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"docksmith/lib/flock"

	"golang.org/x/sys/unix"
)

// Grace is for how long what was used stays in any case: the build that fetched
// it may still read it.
const Grace = time.Hour

// Dir is the directory. Any number of processes may use it.
type Dir struct{ path string }

// New names the directory. Nothing is read or made.
func New(path string) Dir { return Dir{path} }

// Thing is a file that was fetched, or the mirror of a repository.
type Thing struct {
	Name   string // its path below the directory
	Path   string
	Mirror bool
	Used   time.Time
}

// List finds all files and mirrors.
func (d Dir) List() (list []Thing, err error) {
	for _, pattern := range []string{"sha256/??/*", "git/*"} {
		names, err := filepath.Glob(filepath.Join(d.path, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			st, err := os.Lstat(name)
			if err != nil {
				continue // removed meanwhile
			}
			t := Thing{Path: name, Used: st.ModTime(), Mirror: st.IsDir()}
			if t.Name, err = filepath.Rel(d.path, name); err != nil {
				return nil, err
			}
			stamp := d.Stamp(filepath.Base(name))
			if t.Mirror {
				stamp = filepath.Join(name, "lock")
			}
			if st, err := os.Lstat(stamp); err == nil && (t.Mirror || st.ModTime().After(t.Used)) {
				t.Used = st.ModTime()
			}
			list = append(list, t)
		}
	}
	return list, nil
}

// Stamp is the file whose time says when the file with this hash was last used.
// The file's own does not: the index of files knows its hash by that.
func (d Dir) Stamp(digits string) string { return filepath.Join(d.path, "used", digits) }

// Use notes that a file is used. A directory that cannot be written is only
// emptied sooner.
func (d Dir) Use(digits string) {
	name := d.Stamp(digits)
	Touch(name)
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		if f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
		} else if os.MkdirAll(filepath.Dir(name), 0o700) == nil {
			_ = os.WriteFile(name, nil, 0o600)
		}
	}
}

// Touch gives a file the present time, if that is allowed.
func Touch(name string) {
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}

// Remove removes a thing; false if it is in use.
func (d Dir) Remove(t Thing) (bool, error) {
	if !t.Mirror {
		err := os.Remove(t.Path)
		_ = os.Remove(d.Stamp(filepath.Base(t.Path)))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err == nil, err
	}
	held, err := TryLock(t.Path, "lock")
	if held == nil || err != nil {
		return false, err
	}
	defer held.Close()
	// The lock goes last, and the directory only if it is empty then: without the
	// lock another may begin to fill the mirror.
	list, err := os.ReadDir(t.Path)
	if err != nil {
		return false, err
	}
	for _, e := range list {
		if e.Name() != "lock" {
			if err := os.RemoveAll(filepath.Join(t.Path, e.Name())); err != nil {
				return false, err
			}
		}
	}
	if err := os.Remove(filepath.Join(t.Path, "lock")); err != nil {
		return false, err
	}
	if err := os.Remove(t.Path); err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, fs.ErrExist) {
		return false, err
	}
	return true, nil
}

// Lock makes the directory dir and excludes others from it until the returned
// file is closed.
func Lock(dir, name string) (*os.File, error) {
	return lockFile(dir, name, func(f *os.File) (bool, error) { return true, flock.Lock(f, flock.Exclusive) })
}

// TryLock is Lock, but gives nil where it would have to wait.
func TryLock(dir, name string) (*os.File, error) {
	return lockFile(dir, name, func(f *os.File) (bool, error) { return flock.Try(f, flock.Exclusive) })
}

func lockFile(dir, name string, lock func(*os.File) (bool, error)) (*os.File, error) {
	path := filepath.Join(dir, name)
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			if st, serr := os.Lstat(dir); errors.Is(err, fs.ErrExist) && (serr != nil || st.IsDir()) {
				continue // it was there and went, or came again
			}
			return nil, err
		}
		f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
		if errors.Is(err, os.ErrNotExist) {
			continue // the directory was just removed
		}
		if err != nil {
			return nil, err
		}
		ok, err := lock(f)
		if err != nil {
			err = &os.PathError{Op: "lock", Path: path, Err: err}
		}
		if err != nil || !ok {
			f.Close()
			return nil, err
		}
		ours, err := flock.Named(f)
		if ours {
			return f, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
}
