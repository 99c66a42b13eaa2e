package cache

import (
	"os"
	"path/filepath"
	"sync"
	"testing"
)

// removeMountDirs takes away all that it may and tells how many it did.
func removeMountDirs(t *testing.T, c *Cache) (n int) {
	t.Helper()
	dirs, err := c.MountDirs()
	if err != nil {
		t.Error(err)
	}
	for _, d := range dirs {
		done, err := c.TakeMountDir(d, os.RemoveAll)
		if err != nil {
			t.Errorf("take %s: %v", d.Dir, err)
		}
		if done {
			n++
		}
	}
	return n
}

func TestTakeMountDirSparesWhatIsInUse(t *testing.T) {
	c := openCache(t)
	a := takeMount(t, c, Mount{ID: "x"})
	b := takeMount(t, c, Mount{ID: "x", Sharing: SharingPrivate})
	file := filepath.Join(a.Dir, "file")
	if err := os.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.Close()
	dirs, err := c.MountDirs()
	if err != nil || len(dirs) != 2 || dirs[0].Dir != a.Dir || dirs[0].ID != "x" || dirs[0].Used.IsZero() {
		t.Fatalf("%+v, %v", dirs, err)
	}
	if !dirs[0].InUse() || dirs[1].InUse() {
		t.Error("which are in use is wrong")
	}
	if n := removeMountDirs(t, c); n != 1 {
		t.Errorf("%d removed, want the one that nobody has", n)
	}
	if _, err := os.Stat(file); err != nil {
		t.Error("a mount in use lost its file:", err)
	}
	a.Close()
	if n := removeMountDirs(t, c); n != 1 {
		t.Errorf("%d removed after the step", n)
	}
	if left, _ := os.ReadDir(filepath.Join(c.dir, mounts)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	if again := takeMount(t, c, Mount{ID: "x"}); again.Dir != a.Dir {
		t.Errorf("made again as %s, it was %s", again.Dir, a.Dir)
	}
}

// TestTakeMountDirBesideSteps: steps that take mounts while others remove them
// get a directory that is there and stays.
func TestTakeMountDirBesideSteps(t *testing.T) {
	c := openCache(t)
	stop := make(chan struct{})
	var remover, steps sync.WaitGroup
	remover.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				removeMountDirs(t, c)
			}
		}
	})
	for i := range 4 {
		steps.Go(func() {
			for range 50 {
				m := Mount{ID: "x", Sharing: []string{SharingShared, SharingPrivate, SharingLocked}[i%3]}
				h, err := c.Mount(t.Context(), m)
				if err != nil {
					t.Error(err)
					return
				}
				if err := os.WriteFile(filepath.Join(h.Dir, "file"), nil, 0o600); err != nil {
					t.Error(err)
				}
				h.Close()
			}
		})
	}
	steps.Wait()
	close(stop)
	remover.Wait()
}
