package container

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"docksmith/lib/flock"
)

// claim takes a name for id. It gets the table's lock, shared, and gives it back
// so: a name whose holder is not there is a leftover of one that was killed,
// unless somebody is just making it, which only the exclusive lock can tell.
func (t *Table) claim(lock *os.File, name, id string) (*os.File, error) {
	if err := os.Mkdir(t.path(namesDir), 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return lock, err
	}
	for range 10 {
		err := os.Symlink(id, t.namePath(name))
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return lock, err
		}
		if holder := t.holder(name); t.exists(holder) {
			return lock, fmt.Errorf("%s: %w by %s", name, ErrNameTaken, short(holder))
		}
		lock.Close()
		if lock, err = t.lock(true); err != nil {
			return lock, err
		}
		if holder := t.holder(name); !t.exists(holder) {
			t.release(name, holder)
		}
		if err := flock.Lock(lock, flock.Shared); err != nil {
			return lock, err
		}
	}
	return lock, fmt.Errorf("%s: %w", name, ErrNameTaken)
}

func short(id string) string { return id[:min(len(id), 12)] }

func (t *Table) path(name string) string     { return filepath.Join(t.dir, name) }
func (t *Table) namePath(name string) string { return filepath.Join(t.dir, namesDir, name) }

// holder is the id of the container that has the name, "" without one.
func (t *Table) holder(name string) string {
	if !ValidName(name) {
		return ""
	}
	id, err := os.Readlink(t.namePath(name))
	if err != nil || !validID(id) {
		return ""
	}
	return id
}

func (t *Table) exists(id string) bool {
	if id == "" {
		return false
	}
	_, err := os.Lstat(t.path(id))
	return err == nil
}

// release gives the name back that id holds.
func (t *Table) release(name, id string) {
	if name != "" && t.holder(name) == id {
		_ = os.Remove(t.namePath(name)) // at the worst a sweep does
	}
}

// lock takes the table's lock, which closing the file releases, and makes the
// table where there is none.
func (t *Table) lock(exclusive bool) (*os.File, error) {
	how := flock.Shared
	if exclusive {
		how = flock.Exclusive
	}
	const flags = os.O_RDWR | os.O_CREATE | syscall.O_NOFOLLOW
	f, err := os.OpenFile(t.path(lockFile), flags, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err = os.MkdirAll(t.dir, 0o700); err == nil {
			f, err = os.OpenFile(t.path(lockFile), flags, 0o600)
		}
	}
	if err != nil {
		return nil, err
	}
	if err := flock.Lock(f, how); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// empty tells whether a container has lost its record: it is made with one.
func (t *Table) empty(id string) bool {
	_, err := os.Lstat(filepath.Join(t.dir, id, stateFile))
	return errors.Is(err, fs.ErrNotExist)
}

// Sweep clears what those who were killed left half made or half removed, and
// names that nobody has.
func (t *Table) Sweep() error {
	if _, err := os.Lstat(t.dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	lock, err := t.lock(true)
	if err != nil {
		return fmt.Errorf("sweep containers: %w", err)
	}
	defer lock.Close()
	var errs []error
	list, err := os.ReadDir(t.dir)
	errs = append(errs, err)
	for _, e := range list {
		if strings.HasPrefix(e.Name(), newPrefix) || e.IsDir() && validID(e.Name()) && t.empty(e.Name()) {
			errs = append(errs, os.RemoveAll(t.path(e.Name())))
		}
	}
	names, err := os.ReadDir(t.path(namesDir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		errs = append(errs, err)
	}
	for _, e := range names {
		if !t.exists(t.holder(e.Name())) {
			errs = append(errs, os.Remove(t.namePath(e.Name())))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sweep containers: %w", err)
	}
	return nil
}
