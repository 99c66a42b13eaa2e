package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestRestMount: who wants a mount waits while it is at rest, and it rests for
// nobody while it is in use.
func TestRestMount(t *testing.T) {
	c := openCache(t)
	step := takeMount(t, c, Mount{ID: "x"})
	d := c.FirstMountDir("x", "")
	if d.Dir != step.Dir {
		t.Fatalf("%s, the step has %s", d.Dir, step.Dir)
	}
	_, err := c.RestMount(t.Context(), d, false)
	if busy, ok := errors.AsType[*MountBusyError](err); !ok || busy.ID != "x" || !strings.Contains(err.Error(), "in use") {
		t.Errorf("in use: %v", err)
	}
	short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := c.RestMount(short, d, true); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("waiting for one in use: %v", err)
	}
	time.AfterFunc(20*time.Millisecond, func() { step.Close() })
	r, err := c.RestMount(t.Context(), d, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, sharing := range []string{SharingShared, SharingPrivate, SharingLocked} {
		short, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		if _, err := c.Mount(short, Mount{ID: "x", Sharing: sharing}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s, of a mount at rest: %v", sharing, err)
		}
		cancel()
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if again := takeMount(t, c, Mount{ID: "x"}); again.Dir != d.Dir {
		t.Errorf("afterwards the step gets %s", again.Dir)
	}
}

// TestReplaceMount: the new directory is there at once, and the old one where
// the new one was.
func TestReplaceMount(t *testing.T) {
	c := openCache(t)
	aside := t.TempDir()
	for i, was := range []string{"", "a"} {
		next := filepath.Join(aside, "next")
		now := string(rune('a' + i))
		if err := errors.Join(os.Mkdir(next, 0o755), os.WriteFile(filepath.Join(next, now), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
		d := c.FirstMountDir("x", "b")
		r, err := c.RestMount(t.Context(), d, false)
		if err != nil {
			t.Fatal(err)
		}
		if there, err := r.Exists(); err != nil || there != (was != "") {
			t.Errorf("exists: %v, %v", there, err)
		}
		if err := errors.Join(r.Replace(next), r.Close()); err != nil {
			t.Fatal(err)
		}
		h := takeMount(t, c, Mount{ID: "x", Base: "b", Fill: func(context.Context, string) error { return os.ErrInvalid }})
		if _, err := os.Stat(filepath.Join(h.Dir, now)); err != nil {
			t.Error(err)
		}
		h.Close()
		if _, err := os.Stat(filepath.Join(next, was)); (err == nil) != (was != "") {
			t.Errorf("the old one: %v", err)
		}
		os.RemoveAll(next)
	}
	dirs, err := c.MountDirs()
	if err != nil || len(dirs) != 1 || dirs[0].ID != "x" || dirs[0].Base != "b" || time.Since(dirs[0].Used) > time.Minute {
		t.Errorf("%+v, %v", dirs, err)
	}
}

// TestRestMountLeavesNothing: one that did not come to be is not there.
func TestRestMountLeavesNothing(t *testing.T) {
	c := openCache(t)
	r, err := c.RestMount(t.Context(), c.FirstMountDir("x", ""), false)
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(filepath.Join(c.dir, mounts)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

func TestSwap(t *testing.T) {
	dir := t.TempDir()
	a, b := filepath.Join(dir, "a"), filepath.Join(dir, "b")
	for name, f := range map[string]func(a, b string) error{"swap": swap, "exchange": exchange} {
		os.MkdirAll(filepath.Join(a, "was-a"), 0o755)
		os.MkdirAll(filepath.Join(b, "was-b"), 0o755)
		if err := f(a, b); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		for _, path := range []string{filepath.Join(b, "was-a"), filepath.Join(a, "was-b")} {
			if _, err := os.Stat(path); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
		if left, _ := os.ReadDir(dir); len(left) != 2 {
			t.Errorf("%s leaves %v", name, left)
		}
		os.RemoveAll(a)
		os.RemoveAll(b)
	}
}
