// SPDX-License-Identifier: Apache-2.0

package buildctx

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"lukechampine.com/blake3"
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
	c, err := Open(root, Options{Index: x, Paranoid: paranoid})
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
	_, ok := c.known(&info, time.Now().UnixNano())
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
	if !stampsByKernelClock(int(f.Fd())) {
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
		t.Error("Paranoid trusts the index")
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
	if _, ok := c.known(&info, info.CTime-1); ok {
		t.Error("trusts a change time in the future")
	}
	if _, ok := c.known(&info, info.CTime+2*hour); !ok {
		t.Error("does not trust it when the clock is right again")
	}
	// Within one step of the clock.
	c.index.put(&Info{Ino: 1, Dev: info.Dev, CTime: 1000}, [32]byte{1}, 1000+localGrain, int(f.Fd()))
	if _, ok := c.index.get(&Info{Ino: 1, Dev: info.Dev, CTime: 1000}, 1<<60); ok {
		t.Error("kept a hash within the clock's step")
	}
}

func TestReader(t *testing.T) {
	root := makeTree(t, "f", "empty")
	skipForeignClock(t, root)
	write(t, filepath.Join(root, "empty"), "")
	settle()
	c := openIndexed(t, root, filepath.Join(t.TempDir(), "index"), false)
	for _, name := range []string{"f", "empty"} {
		info, _ := c.Stat(name)
		r, err := c.OpenInfo(info)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size > 0 {
			if _, err := r.Sum(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Sum before the end: %v", err)
			}
		}
		data := make([]byte, info.Size) // as a tar writer: exactly as many, no EOF seen
		if _, err := io.ReadFull(r, data); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if sum, err := r.Sum(); err != nil || sum != blake3.Sum256(data) {
			t.Errorf("%s: Sum after Close: %x, %v", name, sum, err)
		}
		if !c.trusted(name) {
			t.Errorf("%s: what was read once is not known", name)
		}
	}
	// Known from the index, written to while it is read.
	r, err := c.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "f"), "g")
	io.Copy(io.Discard, r)
	if _, err := r.Sum(); !errors.Is(err, ErrChanged) {
		t.Errorf("a file that changed under a known hash: %v", err)
	}
	r.Close()
	// Not known, grown while it is read: the hash is of the bytes that were read.
	r, err = c.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "f"), "longer")
	data, _ := io.ReadAll(r)
	if sum, err := r.Sum(); err != nil || sum != blake3.Sum256(data) {
		t.Errorf("sum of what was read: %v", err)
	}
	r.Close()
	if c.trusted("f") {
		t.Error("kept the hash of a file that changed")
	}
}

func TestHashAllReportsChange(t *testing.T) {
	root := makeTree(t, "a", "b")
	c := openTree(t, root, "")
	var infos []Info
	for info, err := range c.Walk(".", WalkOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	sums, err := c.HashAll(context.Background(), infos)
	if err != nil || sums[0] != [32]byte{} || sums[1] != blake3.Sum256([]byte("a")) || sums[2] != blake3.Sum256([]byte("b")) {
		t.Fatalf("%x, %v", sums, err)
	}
	write(t, filepath.Join(root, "b"), "changed")
	if _, err := c.HashAll(context.Background(), infos); !errors.Is(err, ErrChanged) {
		t.Errorf("a changed file: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.HashAll(ctx, infos); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func testRecord(i int, day uint32) record {
	return record{fileID: fileID{uint64(i) * 7 % 100003, 1}, size: int64(i), used: day, sum: [32]byte{byte(i), byte(i >> 8)}}
}

func TestIndexFileGrowsAndShrinks(t *testing.T) {
	file := filepath.Join(t.TempDir(), "index")
	const day = 1000
	save := func(from, to int, used uint32) {
		t.Helper()
		learnt := map[fileID]record{}
		for i := from; i < to; i++ {
			r := testRecord(i, used)
			learnt[r.fileID] = r
		}
		if err := saveIndex(file, learnt, day); err != nil {
			t.Fatal(err)
		}
	}
	check := func(from, to int, want bool) {
		t.Helper()
		x, err := readIndex(file)
		if err != nil {
			t.Fatal(err)
		}
		defer x.close()
		for i := from; i < to; i++ {
			w := testRecord(i, 0)
			r, ok := x.find(w.fileID)
			if ok != want || ok && (r.sum != w.sum || r.size != w.size) {
				t.Fatalf("record %d: found %v %+v, want %v", i, ok, r, want)
			}
		}
	}
	save(0, 20000, day)
	check(0, 20000, true)
	check(20000, 20100, false)
	st, _ := os.Stat(file)
	save(20000, 20001, day) // one file changed: one record written
	check(0, 20001, true)
	if after, _ := os.Stat(file); after.Size() != st.Size()+recordSize {
		t.Errorf("one record added %d bytes", after.Size()-st.Size())
	}
	for i := 20001; i < 30000; i += 1500 {
		save(i, i+1500, day)
	}
	check(0, 30000, true)
	save(40000, 50000, day-keepDays-1) // long unused: gone with the next rewriting
	save(50000, 60000, day)
	check(0, 30000, true)
	check(40000, 50000, false)
	check(50000, 60000, true)
	// A cut append: the rest of the file stays readable and later appends land right.
	f, _ := os.OpenFile(file, os.O_WRONLY|os.O_APPEND, 0)
	f.Write(bytes.Repeat([]byte{7}, recordSize/2))
	f.Close()
	check(0, 30000, true)
	save(60000, 60010, day)
	check(0, 30000, true)
	check(60000, 60010, true)
}

func TestIndexFileDamaged(t *testing.T) {
	root := makeTree(t, "f")
	skipForeignClock(t, root)
	settle()
	file := filepath.Join(t.TempDir(), "index")
	c := openIndexed(t, root, file, false)
	want := mustHash(t, c, "f")
	if err := c.index.Save(); err != nil {
		t.Fatal(err)
	}
	good, _ := os.ReadFile(file)
	for i := range good {
		bad := bytes.Clone(good)
		bad[i] ^= 0x40
		os.WriteFile(file, bad, 0o600)
		if got := mustHash(t, openIndexed(t, root, file, false), "f"); got != want {
			t.Fatalf("byte %d damaged: a wrong hash", i)
		}
	}
	for name, make := range map[string]func(){
		"empty":     func() { os.WriteFile(file, nil, 0o600) },
		"text":      func() { os.WriteFile(file, []byte("not an index, but long enough to be one: "+string(good)), 0o600) },
		"cut":       func() { os.WriteFile(file, good[:len(good)-1], 0o600) },
		"FIFO":      func() { os.Remove(file); unix.Mkfifo(file, 0o600) },
		"directory": func() { os.Remove(file); os.Mkdir(file, 0o700) },
	} {
		make()
		if got := mustHash(t, openIndexed(t, root, file, false), "f"); got != want {
			t.Errorf("%s: a wrong hash", name)
		}
	}
}

func TestIndexManyWriters(t *testing.T) {
	file := filepath.Join(t.TempDir(), "index")
	var group sync.WaitGroup
	const writers, each = 20, 700
	for w := range writers {
		group.Go(func() {
			for i := w * each; i < (w+1)*each; i += 100 {
				learnt := map[fileID]record{}
				for j := i; j < i+100; j++ {
					r := testRecord(j, 10)
					learnt[r.fileID] = r
				}
				if err := saveIndex(file, learnt, 10); err != nil {
					t.Error(err)
				}
			}
		})
	}
	group.Wait()
	x, err := readIndex(file)
	if err != nil {
		t.Fatal(err)
	}
	defer x.close()
	for i := range writers * each {
		w := testRecord(i, 0)
		if r, ok := x.find(w.fileID); !ok || r.sum != w.sum {
			t.Fatalf("record %d was lost", i)
		}
	}
}

func FuzzIndexFile(f *testing.F) {
	f.Add(appendHeader(nil, 0))
	data := appendHeader(nil, 2)
	for i := range 5 {
		data = appendRecord(data, testRecord(i, 1))
	}
	f.Add(data)
	f.Fuzz(func(t *testing.T, data []byte) {
		x, err := parseIndex(data)
		if err != nil {
			return
		}
		for i := range x.len() {
			id := x.id(i)
			if r, ok := x.find(id); ok && r.fileID != id {
				t.Fatal("found the record of another file")
			}
		}
		last, n := fileID{}, 0
		for r := range merged(x, []record{testRecord(3, 1)}, 10) {
			if n > 0 && r.compare(last) <= 0 {
				t.Fatal("merged out of order")
			}
			last = r.fileID
			n++
		}
		since, count := survivors(x, nil, 10)
		if count > n || count < 0 || since > 11 {
			t.Fatal("survivors", since, count, n)
		}
	})
}

// BenchmarkUnchanged is what a cached build pays for a context of 20,000 files:
// a walk with a common ignore file, and every hash from the index.
func BenchmarkUnchanged(b *testing.B) {
	root := benchTree(b, 20000)
	file := filepath.Join(b.TempDir(), "index")
	g, err := NewIgnore("**/.git", "**/node_modules", "*.md", "!README.md", "**/*.pyc")
	if err != nil {
		b.Fatal(err)
	}
	run := func(save bool) {
		x, err := OpenIndex(file)
		if err != nil {
			b.Fatal(err)
		}
		defer x.Close()
		c, err := Open(root, Options{Ignore: g, Index: x})
		if err != nil {
			b.Fatal(err)
		}
		defer c.Close()
		var infos []Info
		for info, err := range c.Walk(".", WalkOptions{}) {
			if err != nil {
				b.Fatal(err)
			}
			infos = append(infos, info)
		}
		if _, err := c.HashAll(context.Background(), infos); err != nil {
			b.Fatal(err)
		}
		if save {
			if err := x.Save(); err != nil {
				b.Fatal(err)
			}
		}
	}
	settle()
	b.Run("cold", func(b *testing.B) {
		for b.Loop() {
			os.Remove(file)
			run(true)
		}
	})
	run(true)
	b.Run("warm", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			run(false)
		}
	})
	b.Run("walk", func(b *testing.B) {
		c, _ := Open(root, Options{Ignore: g})
		defer c.Close()
		for b.Loop() {
			for _, err := range c.Walk(".", WalkOptions{}) {
				if err != nil {
					b.Fatal(err)
				}
			}
		}
	})
}

func benchTree(b *testing.B, files int) string {
	root := b.TempDir()
	data := make([]byte, 4096)
	for i := range files {
		dir := filepath.Join(root, "src", string(rune('a'+i/1000%26)), string(rune('a'+i/100%10)))
		if i%100 == 0 {
			if err := os.MkdirAll(dir, 0o755); err != nil {
				b.Fatal(err)
			}
		}
		data[0], data[1] = byte(i), byte(i>>8)
		name := filepath.Join(dir, "file"+string(rune('0'+i/10%10))+string(rune('0'+i%10))+".txt")
		if err := os.WriteFile(name, data, 0o644); err != nil {
			b.Fatal(err)
		}
	}
	return root
}
