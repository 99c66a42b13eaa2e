package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func text(path, content string, mode uint32) Source {
	return Source{
		Entry: Entry{Path: path, Mode: mode, Size: int64(len(content))},
		Open:  func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

func entry(e Entry) Source { return Source{Entry: e} }

func pack(t testing.TB, dir string, o PackOptions, entries ...Source) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Pack(context.Background(), &b, dir, entries, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// The tree that Pack makes is the one that its tar unpacks to, and the tar does not
// depend on the order of entries nor on whether a tree is made.
func TestPackTreeIsTar(t *testing.T) {
	for seed := range uint64(30) {
		src := t.TempDir()
		g := newGrower(t, seed, src)
		for range 40 {
			g.step()
		}
		list, err := Scan(context.Background(), src, ".", CreateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		want := pack(t, "", PackOptions{}, list...)
		r := rand.New(rand.NewPCG(seed, 9))
		r.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
		made, unpacked := t.TempDir(), t.TempDir()
		if got := pack(t, made, PackOptions{}, list...); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: other bytes:\n%q\nwant\n%q", seed, listing(t, got), listing(t, want))
		}
		apply(t, want, unpacked)
		if got, want := dump(t, made, true), dump(t, unpacked, true); got != want {
			t.Fatalf("seed %d: tree\n%s\n--- unpacked\n%s", seed, got, want)
		}
	}
}

func TestPackHash(t *testing.T) {
	sums := map[int]hash.Hash{}
	o := PackOptions{Hash: func(i int) hash.Hash { sums[i] = sha256.New(); return sums[i] }}
	pack(t, t.TempDir(), o, text("z", "zed", 0o644), entry(Entry{Path: "d", Type: TypeDir, Mode: 0o755}), text("a", "", 0o600))
	if len(sums) != 2 {
		t.Fatalf("hashes of %d files", len(sums))
	}
	for i, content := range map[int]string{0: "zed", 2: ""} {
		if want := sha256.Sum256([]byte(content)); !bytes.Equal(sums[i].Sum(nil), want[:]) {
			t.Errorf("hash of entry %d is not that of %q", i, content)
		}
	}
}

func TestPackModesAndRoot(t *testing.T) {
	dir := t.TempDir()
	old := unix.Umask(0o077)
	defer unix.Umask(old)
	pack(t, dir, PackOptions{Epoch: time.Unix(12345, 6)},
		entry(Entry{Path: ".", Type: TypeDir, Mode: 0o711, UID: uint32(os.Geteuid()), GID: uint32(os.Getegid())}),
		entry(Entry{Path: "ro", Type: TypeDir, Mode: 0o555}), text("ro/f", "x", 0o4755), text("f", "y", 0o666))
	for name, want := range map[string]os.FileMode{
		".": os.ModeDir | 0o711, "ro": os.ModeDir | 0o555, "ro/f": os.ModeSetuid | 0o755, "f": 0o666,
	} {
		st, err := os.Stat(filepath.Join(dir, name))
		if err != nil || st.Mode() != want || !st.ModTime().Equal(time.Unix(12345, 0)) {
			t.Errorf("%s: %v %v %v, want %v", name, st.Mode(), st.ModTime(), err, want)
		}
	}
	os.Chmod(filepath.Join(dir, "ro"), 0o755) // for the removal
}

// The first name in order carries the content, whichever one the caller has it under.
func TestPackHardLinks(t *testing.T) {
	link := func(path, to string) Source {
		return entry(Entry{Path: path, Type: TypeLink, Linkname: to})
	}
	dir := t.TempDir()
	var asked []int
	o := PackOptions{Hash: func(i int) hash.Hash { asked = append(asked, i); return nil }}
	got := pack(t, dir, o, text("m", "content", 0o640), link("z", "a"), link("a", "m"))
	wantListing(t, got, "0 a", "1 m", "1 z")
	if fmt.Sprint(asked) != "[0]" {
		t.Errorf("hashes asked for entries %v", asked)
	}
	if b, err := os.ReadFile(filepath.Join(dir, "z")); err != nil || string(b) != "content" {
		t.Errorf("%q, %v", b, err)
	}
	wantListing(t, pack(t, "", PackOptions{}, link("x", "below")), "1 x")
	for _, bad := range [][]Source{
		{link("x", "below")}, {link("x", "x")}, {link("x", "y"), link("y", "x")}, {link("x", "../y")},
		{entry(Entry{Path: "d", Type: TypeDir}), link("x", "d")},
	} {
		if err := Pack(context.Background(), io.Discard, t.TempDir(), bad, PackOptions{}); err == nil {
			t.Errorf("accepted: %+v", bad)
		}
	}
}

func TestPackRefuses(t *testing.T) {
	open := func(content string, err error) func() (io.ReadCloser, error) {
		return func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), err }
	}
	d := entry(Entry{Path: "d", Type: TypeDir, Mode: 0o755})
	for name, list := range map[string][]Source{
		"parent missing":     {text("d/f", "", 0)},
		"below a file":       {text("d", "", 0), text("d/f", "", 0)},
		"grown":              {{Entry: Entry{Path: "f", Size: 1}, Open: open("12", nil)}},
		"shrunk":             {{Entry: Entry{Path: "f", Size: 3}, Open: open("12", nil)}},
		"no content":         {{Entry: Entry{Path: "f", Size: 3}}},
		"cannot be opened":   {{Entry: Entry{Path: "f", Size: 2}, Open: open("12", os.ErrPermission)}},
		"up":                 {text("../f", "", 0)},
		"absolute":           {text("/f", "", 0)},
		"not clean":          {d, text("d//f", "", 0)},
		"dot":                {d, text("d/./f", "", 0)},
		"whiteout by name":   {d, text("d/.wh.x", "", 0)},
		"root is a file":     {text(".", "", 0)},
		"whiteout in a tree": {entry(Entry{Path: "x", Type: TypeWhiteout})},
	} {
		if err := Pack(context.Background(), io.Discard, t.TempDir(), list, PackOptions{}); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
	err := Pack(context.Background(), fullWriter{}, t.TempDir(), []Source{d}, PackOptions{})
	if !errors.Is(err, io.ErrShortWrite) {
		t.Errorf("full output: %v", err)
	}
}

func TestPackLastOfOnePathWins(t *testing.T) {
	dir := t.TempDir()
	got := pack(t, dir, PackOptions{}, text("f", "one", 0o600), text("f", "two!", 0o644))
	wantListing(t, got, "0 f")
	if b, _ := os.ReadFile(filepath.Join(dir, "f")); string(b) != "two!" {
		t.Errorf("content %q", b)
	}
}

func TestPackLeavesHoles(t *testing.T) {
	dir := t.TempDir()
	content := strings.Repeat("x", 5000) + strings.Repeat("\x00", 8<<20) + "end" + strings.Repeat("\x00", 1<<20)
	pack(t, dir, PackOptions{}, text("sparse", content, 0o644))
	got, err := os.ReadFile(filepath.Join(dir, "sparse"))
	if err != nil || string(got) != content {
		t.Fatalf("content differs: %d bytes, %v", len(got), err)
	}
	var st unix.Stat_t
	if err := unix.Stat(filepath.Join(dir, "sparse"), &st); err != nil || st.Blocks*512 > 1<<20 {
		t.Errorf("%d bytes on disk, %v", st.Blocks*512, err)
	}
}

// benchSources are n files of size bytes in a source directory.
func benchSources(b *testing.B, n int, size int64) []Source {
	src := b.TempDir()
	content := sample(int(min(size, 16<<20)))
	var list []Source
	for i := range n {
		if i%100 == 0 {
			list = append(list, entry(Entry{Path: fmt.Sprintf("d%03d", i/100), Type: TypeDir, Mode: 0o755}))
		}
		name := fmt.Sprintf("d%03d/file%05d", i/100, i)
		p := filepath.Join(src, filepath.Base(name))
		f, err := os.Create(p)
		if err != nil {
			b.Fatal(err)
		}
		for left := size; left > 0; left -= int64(len(content)) {
			f.Write(content[:min(left, int64(len(content)))])
		}
		f.Close()
		list = append(list, Source{
			Entry: Entry{Path: name, Mode: 0o644, Size: size},
			Open:  func() (io.ReadCloser, error) { return os.Open(p) },
		})
	}
	return list
}

func benchPack(b *testing.B, list []Source, size int64) {
	base := b.TempDir()
	b.SetBytes(size)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		dir := filepath.Join(base, fmt.Sprint(i))
		os.Mkdir(dir, 0o755)
		if err := Pack(context.Background(), io.Discard, dir, list, PackOptions{}); err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		os.RemoveAll(dir)
		b.StartTimer()
	}
}

func BenchmarkPackManyFiles(b *testing.B) { benchPack(b, benchSources(b, 20000, 4096), 20000*4096) }

func BenchmarkPackLargeFile(b *testing.B) { benchPack(b, benchSources(b, 1, 256<<20), 256<<20) }

func BenchmarkCreateManyFiles(b *testing.B) {
	dir := b.TempDir()
	if err := Pack(context.Background(), io.Discard, dir, benchSources(b, 20000, 4096), PackOptions{}); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Create(context.Background(), io.Discard, dir, CreateOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}
