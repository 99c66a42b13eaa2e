package buildctx

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/zeebo/blake3"
	"golang.org/x/sys/unix"
)

// indexed is a context with an index, as one build has them.
type indexed struct {
	*Context
	index *Index
}

func openIndexed(t testing.TB, root, file string, paranoid bool) indexed {
	t.Helper()
	x, err := OpenIndex(file)
	if err != nil {
		t.Fatal(err)
	}
	if paranoid {
		x.Distrust()
	}
	c, err := Open(root, Options{Index: x})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(); x.Close() })
	return indexed{c, x}
}

// settle waits until what was just written is old enough to be trusted.
func settle() { time.Sleep(time.Duration(localGrain) + 30*time.Millisecond) }

func mustHash(t testing.TB, c indexed, name string) [32]byte {
	t.Helper()
	sum, err := c.Hash(name)
	if err != nil {
		t.Fatal(err)
	}
	return sum
}

// trusted reports whether the index answers for a file without reading it.
func (c indexed) trusted(name string) bool {
	info, err := c.Stat(name)
	if err != nil {
		return false
	}
	_, ok := c.known(&info, &look{now: time.Now().UnixNano()})
	return ok
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

func skipForeignClock(t *testing.T, dir string) {
	t.Helper()
	f, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if !isLocal(int(f.Fd())) {
		t.Skip("the temporary directory's file system is not known to stamp files by the kernel's clock")
	}
}

func TestIndexRemembers(t *testing.T) {
	root := makeTree(t, "f", "g")
	skipForeignClock(t, root)
	file := filepath.Join(t.TempDir(), "index")
	settle()
	c := openIndexed(t, root, file, false)
	want := mustHash(t, c, "f")
	if want != blake3.Sum256([]byte("f")) {
		t.Fatal("not the BLAKE3 hash of the content")
	}
	if !c.trusted("f") || c.trusted("g") {
		t.Fatal("the running build does not know what it learnt, or knows what it did not")
	}
	if err := c.index.Save(); err != nil {
		t.Fatal(err)
	}
	d := openIndexed(t, root, file, false)
	if !d.trusted("f") || mustHash(t, d, "f") != want {
		t.Fatal("the next build does not know the hash")
	}
	before, _ := os.Stat(file)
	if err := d.index.Save(); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.Stat(file); !after.ModTime().Equal(before.ModTime()) || after.Size() != before.Size() {
		t.Error("an unchanged context wrote to the index")
	}
	if openIndexed(t, root, file, true).trusted("f") {
		t.Error("a distrusted index is trusted")
	}
}

// TestNoStaleHit changes a hashed file in every way that could go unnoticed.
func TestNoStaleHit(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	for name, change := range map[string]func(t *testing.T, path string){
		"same size, time restored": func(t *testing.T, path string) {
			write(t, path, "B")
			os.Chtimes(path, old, old)
		},
		"same size, time restored by touch -r": func(t *testing.T, path string) {
			st, _ := os.Stat(path)
			write(t, path, "B")
			os.Chtimes(path, st.ModTime(), st.ModTime())
		},
		"replaced by rename": func(t *testing.T, path string) {
			write(t, path+".new", "B")
			os.Chtimes(path+".new", old, old)
			os.Rename(path+".new", path)
		},
		"removed and made again": func(t *testing.T, path string) {
			os.Remove(path) // the inode number is often given again
			write(t, path, "B")
			os.Chtimes(path, old, old)
		},
		"written in place through a mapping": func(t *testing.T, path string) {
			f, _ := os.OpenFile(path, os.O_RDWR, 0)
			defer f.Close()
			m, err := unix.Mmap(int(f.Fd()), 0, 1, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
			if err != nil {
				t.Skip("no shared mapping:", err)
			}
			m[0] = 'B'
			unix.Munmap(m)
			os.Chtimes(path, old, old)
		},
		"exchanged with another hashed file": func(t *testing.T, path string) {
			os.Rename(path, path+".tmp")
			os.Rename(path+".other", path)
			os.Rename(path+".tmp", path+".other")
		},
	} {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			skipForeignClock(t, root)
			path := filepath.Join(root, "f")
			write(t, path, "A")
			write(t, path+".other", "B")
			os.Chtimes(path, old, old)
			os.Chtimes(path+".other", old, old)
			settle()
			c := openIndexed(t, root, filepath.Join(t.TempDir(), "index"), false)
			mustHash(t, c, "f")
			mustHash(t, c, "f.other")
			if !c.trusted("f") {
				t.Fatal("the hash was not kept")
			}
			change(t, path)
			if got, want := mustHash(t, c, "f"), blake3.Sum256([]byte("B")); got != want {
				t.Fatal("the hash of the old content came from the index")
			}
		})
	}
}

// TestRacyWrite writes a file of constant size as fast as it can while it is
// hashed through the index: whatever stamp a write shares with a hash, the
// answer must be the content.
func TestRacyWrite(t *testing.T) {
	root := t.TempDir()
	path := filepath.Join(root, "f")
	c := openIndexed(t, root, filepath.Join(t.TempDir(), "index"), false)
	deadline := time.Now().Add(time.Second)
	for i := 0; time.Now().Before(deadline); i++ {
		content := string([]byte{byte('a' + i%26)})
		write(t, path, content)
		if i%3 == 0 {
			mustHash(t, c, "f")
			content = "!"
			write(t, path, content)
		}
		if got := mustHash(t, c, "f"); got != blake3.Sum256([]byte(content)) {
			t.Fatalf("write %d: stale hash", i)
		}
	}
}

func TestClockStepsBack(t *testing.T) {
	root := makeTree(t, "f")
	skipForeignClock(t, root)
	settle()
	c := openIndexed(t, root, filepath.Join(t.TempDir(), "index"), false)
	info, err := c.Stat("f")
	if err != nil {
		t.Fatal(err)
	}
	f, _ := os.Open(filepath.Join(root, "f"))
	defer f.Close()
	hour := int64(time.Hour)
	// Hashed while the clock was an hour behind the file's change time.
	c.index.put(&info, [32]byte{1}, info.CTime-hour, int(f.Fd()))
	if c.trusted("f") {
		t.Error("kept a hash of a file that was changed in the future")
	}
	// Hashed in good order, asked for after the clock was set back.
	c.index.put(&info, [32]byte{1}, info.CTime+hour, int(f.Fd()))
	if _, ok := c.known(&info, &look{now: info.CTime - 1}); ok {
		t.Error("trusts a change time in the future")
	}
	if _, ok := c.known(&info, &look{now: info.CTime + 2*hour}); !ok {
		t.Error("does not trust it when the clock is right again")
	}
	// Within one step of the clock.
	c.index.put(&Info{Ino: 1, Dev: info.Dev, CTime: 1000}, [32]byte{1}, 1000+localGrain, int(f.Fd()))
	if _, ok := c.index.get(&Info{Ino: 1, Dev: info.Dev, CTime: 1000}, &look{now: 1 << 60}); ok {
		t.Error("kept a hash within the clock's step")
	}
}
