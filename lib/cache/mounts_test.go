package cache

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func takeMount(t *testing.T, c *Cache, m Mount) *HeldMount {
	t.Helper()
	h, err := c.Mount(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { h.Close() })
	return h
}

// TestMountSharing: who shares what with whom, while and after it is held.
func TestMountSharing(t *testing.T) {
	c := openCache(t)
	a := takeMount(t, c, Mount{ID: "x"})
	b := takeMount(t, c, Mount{ID: "x", Sharing: SharingShared})
	if a.Dir != b.Dir {
		t.Errorf("shared: %s and %s", a.Dir, b.Dir)
	}
	private := takeMount(t, c, Mount{ID: "x", Sharing: SharingPrivate})
	if private.Dir == a.Dir {
		t.Error("private got one in use")
	}
	if beside := takeMount(t, c, Mount{ID: "x", Sharing: SharingPrivate}); beside.Dir == a.Dir || beside.Dir == private.Dir {
		t.Error("a second private got one in use")
	}
	kept := private.Dir
	private.Close()
	if again := takeMount(t, c, Mount{ID: "x", Sharing: SharingPrivate}); again.Dir != kept {
		t.Errorf("private after private: %s, want %s", again.Dir, kept)
	}
	if other := takeMount(t, c, Mount{ID: "x", Base: "b"}); other.Dir == a.Dir {
		t.Error("another base, the same directory")
	}
}

// TestMountLocked: a locked one waits for all others, and waiting can be ended.
func TestMountLocked(t *testing.T) {
	c := openCache(t)
	shared := takeMount(t, c, Mount{ID: "x"})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := c.Mount(ctx, Mount{ID: "x", Sharing: SharingLocked}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("locked while shared: %v", err)
	}
	shared.Close()
	var inside, most atomic.Int32
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			h, err := c.Mount(t.Context(), Mount{ID: "x", Sharing: SharingLocked})
			if err != nil {
				t.Error(err)
				return
			}
			most.Store(max(most.Load(), inside.Add(1)))
			time.Sleep(time.Millisecond)
			inside.Add(-1)
			h.Close()
		})
	}
	all.Wait()
	if most.Load() != 1 {
		t.Errorf("%d at once", most.Load())
	}
}

// TestMountNamesAreHashed: no id leads anywhere (CVE-2024-9675).
func TestMountNamesAreHashed(t *testing.T) {
	c := openCache(t)
	seen := map[string]bool{}
	for _, id := range []string{"", "/", "../../../etc", "/etc/passwd", "a\x00b", "a/b", strings.Repeat("x", 5000), "lock", "0"} {
		dir := takeMount(t, c, Mount{ID: id}).Dir
		if filepath.Dir(filepath.Dir(dir)) != filepath.Join(c.dir, mounts) || seen[dir] {
			t.Errorf("%.20q is in %s", id, dir)
		}
		seen[dir] = true
	}
	a, b := Mount{ID: "a", Base: "bc"}, Mount{ID: "ab", Base: "c"}
	if a.name() == b.name() {
		t.Error("id and base run together")
	}
}

// TestMountFill: a directory is filled once, whole or not at all.
func TestMountFill(t *testing.T) {
	c := openCache(t)
	fills := 0
	m := Mount{ID: "x", Fill: func(_ context.Context, dir string) error {
		fills++
		return os.WriteFile(filepath.Join(dir, "f"), nil, 0o644)
	}}
	bad := Mount{ID: "x", Fill: func(_ context.Context, dir string) error {
		return errors.Join(os.WriteFile(filepath.Join(dir, "half"), nil, 0o644), os.ErrInvalid)
	}}
	if _, err := c.Mount(t.Context(), bad); !errors.Is(err, os.ErrInvalid) {
		t.Fatalf("%v", err)
	}
	left := filepath.Join(c.dir, mounts, m.name(), newMount+"left")
	if err := os.Mkdir(left, 0o755); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		h := takeMount(t, c, m)
		list, err := os.ReadDir(h.Dir)
		if err != nil || len(list) != 1 || list[0].Name() != "f" {
			t.Errorf("%v, %v", list, err)
		}
		if info, err := os.Stat(h.Dir); err != nil || info.Mode().Perm() != 0o755 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		h.Close()
	}
	if fills != 1 {
		t.Errorf("filled %d times", fills)
	}
	if _, err := os.Stat(left); !os.IsNotExist(err) {
		t.Errorf("what a killed program left is still there: %v", err)
	}
}
