package cache

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"docksmith/lib/flock"
)

// MountDir is one directory of a cache mount, as it stands on the disk.
type MountDir struct {
	Name   string // of the mount's own directory
	Number int    // which of its directories
	Dir    string
	ID     string // what the user calls the mount; "" if its note cannot be read
	Base   string // as Mount.Base
	Used   time.Time
}

// MountDirs lists the directories of all cache mounts, in the order of their
// paths. It does not look into them.
func (c *Cache) MountDirs() ([]MountDir, error) {
	names, err := os.ReadDir(filepath.Join(c.dir, mounts))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var list []MountDir
	for _, n := range names {
		dir := filepath.Join(c.dir, mounts, n.Name())
		inside, err := os.ReadDir(dir)
		if err != nil {
			continue // removed meanwhile, or a stranger
		}
		note := readMountNote(dir)
		for _, e := range inside {
			number, err := strconv.Atoi(e.Name())
			if err != nil || !e.IsDir() {
				continue
			}
			d := MountDir{Name: n.Name(), Number: number, Dir: filepath.Join(dir, e.Name()), ID: note.ID, Base: note.Base}
			st, err := os.Lstat(d.Dir + ".lock")
			if err != nil {
				st, err = e.Info() // made, and not in use yet
			}
			if err != nil {
				continue
			}
			d.Used = st.ModTime()
			list = append(list, d)
		}
	}
	slices.SortFunc(list, func(a, b MountDir) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), cmp.Compare(a.Number, b.Number))
	})
	return list, nil
}

// mountNote says what a mount's directory is for.
type mountNote struct {
	Schema string `json:"schema"`
	ID     string `json:"id"`
	Base   string `json:"base,omitempty"`
}

func readMountNote(dir string) (note mountNote) {
	raw, err := os.ReadFile(filepath.Join(dir, noteName))
	if err == nil {
		_ = json.Unmarshal(raw, &note) // of one that cannot be read nothing is known
	}
	return note
}

// InUse reports whether somebody has the directory, or chooses one of the mount
// just now: a step that finds the lock taken, if only to be looked at, would make
// another directory.
func (d MountDir) InUse() bool {
	choosing, err := os.Open(filepath.Join(filepath.Dir(d.Dir), entryLock))
	if err != nil {
		return false
	}
	defer choosing.Close()
	if free, err := flock.Try(choosing, flock.Exclusive); err != nil || !free {
		return err == nil
	}
	f, err := os.Open(d.Dir + ".lock")
	if err != nil {
		return false
	}
	defer f.Close()
	free, err := flock.Try(f, flock.Exclusive)
	return err == nil && !free
}

// TakeMountDir hands a directory to take, which moves or removes it, and forgets
// it; the mount itself goes with its last directory. False says that a step has
// it, or chooses one just now: then it stays as it is. One that is not there
// was removed already.
func (c *Cache) TakeMountDir(d MountDir, take func(dir string) error) (done bool, err error) {
	dir := filepath.Join(c.dir, mounts, d.Name)
	choosing, err := os.OpenFile(filepath.Join(dir, entryLock), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	if err != nil {
		return false, err
	}
	defer choosing.Close()
	if free, err := flock.Try(choosing, flock.Exclusive); err != nil || !free {
		return false, err
	}
	if ours, err := flock.Named(choosing); err != nil || !ours {
		return false, err // somebody makes the mount anew
	}
	held, err := hold(d.Dir, flock.Exclusive)
	if held == nil || err != nil {
		return false, err
	}
	defer held.Close()
	if err := take(d.Dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return false, err
	}
	if err := os.Remove(d.Dir + ".lock"); err != nil {
		return true, err
	}
	return true, forgetMount(dir)
}

// forgetMount removes what is left of a mount without a directory. Its lock,
// which the caller has, goes last: see lockMount.
func forgetMount(dir string) error {
	left, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range left {
		if e.Name() != entryLock && e.Name() != noteName {
			return nil
		}
	}
	if err := os.Remove(filepath.Join(dir, noteName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.Remove(filepath.Join(dir, entryLock)); err != nil {
		return err
	}
	// Somebody may have begun to make it again.
	if err := os.Remove(dir); err != nil && !errors.Is(err, syscall.ENOTEMPTY) && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// lockMount makes the directory of a mount if it is not there and locks it
// against all who choose a directory of it, or remove one.
func lockMount(ctx context.Context, dir string) (*os.File, error) {
	for {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		path := filepath.Join(dir, entryLock)
		f, err := flock.Open(ctx, path, flock.Exclusive)
		if errors.Is(err, fs.ErrNotExist) {
			continue // the directory was just removed
		}
		if err != nil {
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
