package cache

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/flock"

	"github.com/zeebo/blake3"
)

// How steps share a cache mount. SharingShared lets any number use a directory
// at once; SharingPrivate gives each the directory alone, another one if it must;
// SharingLocked makes them wait for each other.
const (
	SharingShared  = "shared"
	SharingPrivate = "private"
	SharingLocked  = "locked"
)

// Mount asks for a directory that lasts from build to build.
type Mount struct {
	// ID is what the user calls it, of any form: it is hashed, never a path.
	ID string
	// Base says what a new directory is made of. One ID over two bases is two
	// mounts.
	Base string
	// Sharing is one of the above; empty is SharingShared.
	Sharing string
	// Fill makes a new directory what it has to be; nil leaves it empty.
	Fill func(ctx context.Context, dir string) error
}

// HeldMount is a directory in use. It lies outside every build's temporary
// files, stays after Close, and is not removed by anyone before.
type HeldMount struct {
	Dir  string
	lock *os.File
}

// Close gives the directory back.
func (h *HeldMount) Close() error { return h.lock.Close() }

const (
	mounts    = "mounts"
	entryLock = "lock"
	newMount  = "new-"
	noteName  = "mount.json"
)

// MountSchema is the schema of a mount's note.
const MountSchema = "docksmith.mount/1"

// The directories of a mount are numbered, 0, 1, ...: more than one come from
// users who do not share. N.lock beside directory N is flocked by those who use
// it, shared or alone; "lock" by who chooses or makes one.

// Mount takes a directory of m into use, making one if there is none for it.
// Waiting for others ends with ctx.
func (c *Cache) Mount(ctx context.Context, m Mount) (*HeldMount, error) {
	dir := filepath.Join(c.dir, mounts, m.name())
	for wait := 5 * time.Millisecond; ; wait = min(2*wait, 200*time.Millisecond) {
		held, err := c.takeMount(ctx, dir, &m)
		if held != nil || err != nil {
			if err != nil && ctx.Err() == nil {
				err = fmt.Errorf("cache mount %q: %w", m.ID, err)
			}
			return held, err
		}
		if err := pause(ctx, wait); err != nil {
			return nil, err
		}
	}
}

// name is the mount's directory: a hash of what makes it another one.
func (m *Mount) name() string {
	h := blake3.New()
	fmt.Fprintf(h, "%d:%s%d:%s", len(m.ID), m.ID, len(m.Base), m.Base)
	sum := h.Sum(nil)
	return hex.EncodeToString(sum[:20])
}

// takeMount takes a directory that is free for this use or makes one. It gives
// neither directory nor error when others have to end first.
func (c *Cache) takeMount(ctx context.Context, dir string, m *Mount) (*HeldMount, error) {
	choosing, err := lockMount(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer choosing.Close()
	how := flock.Exclusive
	if m.Sharing == SharingShared || m.Sharing == "" {
		how = flock.Shared
	}
	n := 0
	for ; ; n++ {
		path := filepath.Join(dir, strconv.Itoa(n))
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			break
		} else if err != nil {
			return nil, err
		}
		if held, err := hold(path, how); held != nil || err != nil {
			return held, err
		}
	}
	if n > 0 && m.Sharing == SharingLocked {
		return nil, nil
	}
	path := filepath.Join(dir, strconv.Itoa(n))
	if err := c.makeMount(ctx, dir, path, m); err != nil {
		return nil, err
	}
	return hold(path, how)
}

// hold locks a directory; nil if others are in the way.
func hold(path string, how flock.How) (*HeldMount, error) {
	f, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	ok, err := flock.Try(f, how)
	if err != nil {
		err = fmt.Errorf("lock: %w", err)
	}
	if err != nil || !ok {
		f.Close()
		return nil, err
	}
	now := time.Now() // for who removes what is used least
	_ = os.Chtimes(path+".lock", now, now)
	return &HeldMount{Dir: path, lock: f}, nil
}

// makeMount makes a directory. The caller has the mount's lock, so that what has the
// name of one under way is left over from somebody who was killed.
func (c *Cache) makeMount(ctx context.Context, dir, path string, m *Mount) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		if strings.HasPrefix(n.Name(), newMount) {
			if err := os.RemoveAll(filepath.Join(dir, n.Name())); err != nil {
				return err
			}
		}
	}
	temp, err := os.MkdirTemp(dir, newMount)
	if err != nil {
		return err
	}
	defer os.RemoveAll(temp)
	if err := os.Chmod(temp, 0o755); err != nil {
		return err
	}
	if m.Fill != nil {
		if err := m.Fill(ctx, temp); err != nil {
			return err
		}
	}
	if err := c.publishJSON(filepath.Join(dir, noteName), mountNote{MountSchema, m.ID, m.Base}); err != nil {
		return err
	}
	return os.Rename(temp, path)
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
