package buildctx

import (
	"bytes"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

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
		near := 0
		for i := from; i < to; i++ {
			w := testRecord(i, 0)
			r, ok := x.find(w.fileID, &near)
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
	near := 0
	for i := range writers * each {
		w := testRecord(i, 0)
		if r, ok := x.find(w.fileID, &near); !ok || r.sum != w.sum {
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
		near := 0
		for i := range x.len() {
			id := x.id(i)
			if r, ok := x.find(id, &near); ok && r.fileID != id {
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
