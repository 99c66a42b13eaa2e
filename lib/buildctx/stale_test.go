package buildctx

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/zeebo/blake3"
)

// TestEveryMarkCounts: a file that differs from the one that was hashed in any
// one of device, inode, size and times is another one, whatever the other four
// say. Files of devices mounted over each other have equal inodes, copies of a
// file system equal times as well.
func TestEveryMarkCounts(t *testing.T) {
	x, err := OpenIndex(filepath.Join(t.TempDir(), "index"))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	was := Info{Type: File, Dev: 40, Ino: 12, Size: 5, MTime: 7e9, CTime: 8e9}
	x.grains[was.Dev] = localGrain
	x.put(&was, [32]byte{1}, 9e9, -1)
	if sum, ok := x.get(&was, &look{now: 10e9}); !ok || sum != [32]byte{1} {
		t.Fatal("the file itself is not known")
	}
	for _, by := range []int64{-1, 1} {
		for name, change := range map[string]func(*Info){
			"device": func(i *Info) { i.Dev += uint64(by) },
			"inode":  func(i *Info) { i.Ino += uint64(by) },
			"size":   func(i *Info) { i.Size += by },
			"mtime":  func(i *Info) { i.MTime += by },
			"ctime":  func(i *Info) { i.CTime += by }, // earlier, too: the clock was set back
		} {
			other := was
			change(&other)
			if _, ok := x.get(&other, &look{now: 10e9}); ok {
				t.Errorf("%s changed by %d: taken for the same file", name, by)
			}
		}
	}
}

// TestForeignStamps: where times come from elsewhere, a fresh change time or
// modification time is not relied on for seconds.
func TestForeignStamps(t *testing.T) {
	x, err := OpenIndex(filepath.Join(t.TempDir(), "index"))
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	x.grains[7] = foreignGrain
	now := int64(100 * time.Second)
	old, young := now-foreignGrain-1, now-foreignGrain
	for _, tt := range []struct {
		mtime, ctime int64
		kept         bool
	}{{old, old, true}, {young, old, false}, {old, young, false}} {
		info := Info{Type: File, Dev: 7, Ino: uint64(tt.mtime ^ tt.ctime<<1), MTime: tt.mtime, CTime: tt.ctime}
		x.put(&info, [32]byte{1}, now, -1)
		if _, ok := x.get(&info, &look{now: now}); ok != tt.kept {
			t.Errorf("mtime %v, ctime %v before the reading: kept %v", now-tt.mtime, now-tt.ctime, ok)
		}
	}
}

// TestWrittenWhileHashed: a file that is written to between the look at it and
// the end of reading it has no hash that is kept, whatever was read: a later
// build reads it again.
func TestWrittenWhileHashed(t *testing.T) {
	old := time.Now().Add(-time.Hour)
	before, after := strings.Repeat("A", 100), strings.Repeat("B", 100)
	rewrite := func(path string) {
		write(t, path, after)
		os.Chtimes(path, old, old)
	}
	replace := func(path string) {
		rewrite(path + ".new")
		os.Rename(path+".new", path)
	}
	for name, change := range map[string]func(path string){"rewritten": rewrite, "replaced": replace} {
		for _, when := range []string{"before it is opened", "in the middle", "at the end"} {
			t.Run(name+" "+when, func(t *testing.T) {
				root := t.TempDir()
				skipForeignClock(t, root)
				path := filepath.Join(root, "f")
				write(t, path, before)
				os.Chtimes(path, old, old)
				settle()
				c := openIndexed(t, root, filepath.Join(t.TempDir(), "index"), false)
				info, err := c.Stat("f")
				if err != nil {
					t.Fatal(err)
				}
				err = hashChanging(c, info, when, func() { change(path) })
				if when == "before it is opened" && !errors.Is(err, ErrChanged) {
					t.Errorf("another file than the one described: %v", err)
				}
				settle()
				if got := mustHash(t, c, "f"); got != blake3.Sum256([]byte(after)) {
					t.Error("the hash of the old content came from the index")
				}
			})
		}
	}
}

// hashChanging reads a file to its end while change happens to it.
func hashChanging(c indexed, info Info, when string, change func()) error {
	if when == "before it is opened" {
		change()
		_, err := c.HashAll(context.Background(), []*Info{&info})
		return err
	}
	r, err := c.OpenInfo(info)
	if err != nil {
		return err
	}
	defer r.Close()
	buf := make([]byte, 50)
	for i := 0; ; i++ {
		if i == 1 && when == "in the middle" || i == 2 && when == "at the end" {
			change()
		}
		if n, err := r.Read(buf); n == 0 || err != nil {
			break
		}
	}
	_, err = r.Sum() // of the bytes that were read, mixed as they may be
	return err
}

// TestCopiedTree: a copy that keeps all times is hashed for itself, also in the
// place of what it was copied from.
func TestCopiedTree(t *testing.T) {
	if _, err := exec.LookPath("cp"); err != nil {
		t.Skip("no cp")
	}
	root := filepath.Join(t.TempDir(), "root")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	skipForeignClock(t, root)
	old := time.Now().Add(-time.Hour)
	write(t, filepath.Join(root, "f"), "A")
	os.Chtimes(filepath.Join(root, "f"), old, old)
	settle()
	file := filepath.Join(t.TempDir(), "index")
	c := openIndexed(t, root, file, false)
	mustHash(t, c, "f")
	if err := c.index.Save(); err != nil {
		t.Fatal(err)
	}
	// The copy has other content of the same size and times, and takes the name.
	if out, err := exec.Command("cp", "-a", root, root+".copy").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	write(t, filepath.Join(root+".copy", "f"), "B")
	os.Chtimes(filepath.Join(root+".copy", "f"), old, old)
	if err := errors.Join(os.Rename(root, root+".away"), os.Rename(root+".copy", root)); err != nil {
		t.Fatal(err)
	}
	settle()
	d := openIndexed(t, root, file, false)
	if got := mustHash(t, d, "f"); got != blake3.Sum256([]byte("B")) {
		t.Error("the copy was taken for the original")
	}
	away := openIndexed(t, root+".away", file, false)
	if !away.trusted("f") || mustHash(t, away, "f") != blake3.Sum256([]byte("A")) {
		t.Error("the original is not known under its new name")
	}
}
