package cache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/flock"
)

// Holder is a process that has a directory of a mount.
type Holder struct {
	PID     int    `json:"pid"`
	Program string `json:"program,omitempty"`
}

// MountBusyError says that a directory of a mount is in use.
type MountBusyError struct {
	ID string
	// Holders are who has it, as far as can be found out.
	Holders []Holder
}

func (e *MountBusyError) Error() string {
	var by []string
	for _, h := range e.Holders {
		by = append(by, fmt.Sprintf("%s (process %d)", h.Program, h.PID))
	}
	if by == nil {
		return fmt.Sprintf("cache mount %q: in use", e.ID)
	}
	return fmt.Sprintf("cache mount %q: in use by %s", e.ID, strings.Join(by, ", "))
}

// Busy is the error for a directory that is in use.
func (d MountDir) Busy() *MountBusyError { return &MountBusyError{d.ID, d.Holders()} }

// FirstMountDir is the first directory of the mount with this ID and Base, whether
// it is there or not.
func (c *Cache) FirstMountDir(id, base string) MountDir {
	m := Mount{ID: id, Base: base}
	return MountDir{Name: m.name(), Dir: filepath.Join(c.dir, mounts, m.name(), "0"), ID: id, Base: base}
}

// RestingMount is a directory of a mount that nobody uses. Until Close, who wants
// the mount waits.
type RestingMount struct {
	MountDir
	c              *Cache
	choosing, lock *os.File
}

// RestMount takes d out of use. It need not be there: Replace can make it. If
// somebody has it that is a *MountBusyError, or with wait it waits, no longer
// than ctx. It is no use of the mount: the time of the last one stays.
func (c *Cache) RestMount(ctx context.Context, d MountDir, wait bool) (*RestingMount, error) {
	for pauseFor := 5 * time.Millisecond; ; pauseFor = min(2*pauseFor, 200*time.Millisecond) {
		r, err := c.tryRest(ctx, d)
		if r != nil || err != nil {
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("cache mount %q: %w", d.ID, err)
			}
			return r, err
		}
		if !wait {
			return nil, d.Busy()
		}
		// Not with the mount's lock: who has the directory may want another of
		// the same mount before it ends.
		if err := pause(ctx, pauseFor); err != nil {
			return nil, err
		}
	}
}

func (c *Cache) tryRest(ctx context.Context, d MountDir) (*RestingMount, error) {
	choosing, err := lockMount(ctx, filepath.Dir(d.Dir))
	if err != nil {
		return nil, err
	}
	lock, err := os.OpenFile(d.Dir+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		choosing.Close()
		return nil, err
	}
	free, err := flock.Try(lock, flock.Exclusive)
	if err != nil || !free {
		lock.Close()
		choosing.Close()
		return nil, err
	}
	return &RestingMount{d, c, choosing, lock}, nil
}

// Exists reports whether the directory is there.
func (r *RestingMount) Exists() (bool, error) {
	_, err := os.Lstat(r.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Replace puts the directory next, on the same file system, in the place of the
// mount's, in one step: whoever is killed, the mount has the one or the other.
// What it had is at next afterwards, for the caller to remove.
func (r *RestingMount) Replace(next string) error {
	there, err := r.Exists()
	if err == nil {
		note := mountNote{MountSchema, r.ID, r.Base}
		if readMountNote(filepath.Dir(r.Dir)) != note {
			err = r.c.publishJSON(filepath.Join(filepath.Dir(r.Dir), noteName), note)
		}
	}
	switch {
	case err != nil:
	case there:
		err = exchange(next, r.Dir)
	default:
		err = os.Rename(next, r.Dir)
	}
	if err != nil {
		return fmt.Errorf("replace cache mount %q: %w", r.ID, err)
	}
	now := time.Now()
	return os.Chtimes(r.lock.Name(), now, now)
}

// Close lets steps have the mount again. One that did not come to be leaves
// nothing.
func (r *RestingMount) Close() error {
	var errs []error
	if there, err := r.Exists(); err == nil && !there {
		errs = append(errs, os.Remove(r.lock.Name()), forgetMount(filepath.Dir(r.Dir)))
	}
	return errors.Join(append(errs, r.lock.Close(), r.choosing.Close())...)
}

// swap exchanges two directories where the system cannot do it in one step.
func swap(a, b string) error {
	aside := a + ".aside-" + strconv.Itoa(os.Getpid())
	if err := os.Rename(b, aside); err != nil {
		return err
	}
	if err := os.Rename(a, b); err != nil {
		return errors.Join(err, os.Rename(aside, b))
	}
	return os.Rename(aside, a)
}
