package layer

import (
	"archive/tar"
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// theirs is the header of archive/tar for e.
func theirs(e *Entry) *tar.Header {
	h := &tar.Header{
		Name: e.Path, Mode: int64(e.Mode), Uid: int(e.UID), Gid: int(e.GID),
		ModTime: time.Unix(e.ModTime.Unix(), 0), Typeflag: typeFlags[e.Type],
	}
	switch e.Type {
	case TypeDir:
		h.Name += "/"
	case TypeFile:
		h.Size = e.Size
	case TypeSymlink, TypeLink:
		h.Linkname = e.Linkname
	case TypeChar, TypeBlock:
		h.Devmajor, h.Devminor = int64(e.Major), int64(e.Minor)
	case TypeWhiteout:
		dir, base := splitPath(e.Path)
		h.Name = strings.TrimPrefix(dir+"/.wh."+base, "/")
	case TypeOpaque:
		h.Name = strings.TrimPrefix(e.Path+"/.wh..wh..opq", "./")
	}
	for k, v := range e.Xattrs {
		if h.PAXRecords == nil {
			h.PAXRecords = map[string]string{}
		}
		h.PAXRecords["SCHILY.xattr."+k] = v
	}
	return h
}

func randomName(r *rand.Rand) string {
	alphabet := []string{"a", "b", "z", ".", "-", " ", "é", "日", "\xff", "\x01", "\n", "\\", "0123456789"}
	var b strings.Builder
	for range 1 + r.IntN([]int{8, 40, 120, 300}[r.IntN(4)]) {
		if r.IntN(3) == 0 {
			b.WriteString(alphabet[r.IntN(len(alphabet))])
		} else {
			b.WriteByte(byte('a' + r.IntN(26)))
		}
	}
	if s := b.String(); s != "." && s != ".." {
		return s
	}
	return "x"
}

func randomEntry(r *rand.Rand) *Entry {
	e := &Entry{Type: Type(r.IntN(len(typeFlags))), Mode: r.Uint32() & 0o7777}
	var names []string
	for range 1 + r.IntN(5) {
		names = append(names, randomName(r))
	}
	e.Path = strings.Join(names, "/")
	e.UID, e.GID = r.Uint32N(3000), r.Uint32N(3000)
	if r.IntN(4) == 0 {
		e.UID, e.GID = r.Uint32(), 1<<21-2+r.Uint32N(4)
	}
	e.ModTime = time.Unix(r.Int64N(1<<32), r.Int64N(1e9))
	if r.IntN(8) == 0 {
		e.ModTime = time.Unix(r.Int64N(1<<36)-1<<35, 0)
	}
	switch e.Type {
	case TypeFile:
		e.Size = r.Int64N(3000)
	case TypeSymlink, TypeLink:
		e.Linkname = randomName(r)
	case TypeChar, TypeBlock:
		e.Major, e.Minor = r.Uint32N(1<<12), r.Uint32N(1<<20)
	}
	if r.IntN(6) == 0 {
		e.Xattrs = map[string]string{"user.a": randomName(r), "security.capability": "\x01\x00\x00\x02\x00\xff"}
		e.Xattrs["user."+strings.ReplaceAll(randomName(r), "=", "")] = strings.Repeat("v", 60+r.IntN(80))
	}
	return e
}

// Our bytes are those of archive/tar.
func TestWriterAgreesWithArchiveTar(t *testing.T) {
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 1))
		var ours, want bytes.Buffer
		w, tw := NewWriter(&ours), tar.NewWriter(&want)
		var desc []string
		for range 1 + r.IntN(6) {
			e := randomEntry(r)
			desc = append(desc, fmt.Sprintf("%+v", *e))
			if err := tw.WriteHeader(theirs(e)); err != nil {
				t.Fatalf("seed %d: archive/tar: %v", seed, err)
			}
			if err := w.WriteHeader(e); err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			if e.Type == TypeFile {
				content := strings.Repeat("c", int(e.Size))
				io.WriteString(tw, content)
				if r.IntN(2) == 0 {
					io.WriteString(w, content)
				} else if _, err := w.ReadFrom(strings.NewReader(content)); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := tw.Close(); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		if w.Size() != int64(ours.Len()) {
			t.Fatalf("seed %d: Size %d, wrote %d", seed, w.Size(), ours.Len())
		}
		if !bytes.Equal(ours.Bytes(), want.Bytes()) {
			t.Fatalf("seed %d: bytes differ for\n%s\nours %q\nwant %q", seed, strings.Join(desc, "\n"), ours.Bytes(), want.Bytes())
		}
	}
}

func TestWriterHugeSize(t *testing.T) {
	e := &Entry{Path: "huge", Mode: 0o644, Size: 9 << 30}
	var ours, want bytes.Buffer
	w := NewWriter(&ours)
	if err := w.WriteHeader(e); err != nil {
		t.Fatal(err)
	}
	if err := w.flush(); err != nil {
		t.Fatal(err)
	}
	if err := tar.NewWriter(&want).WriteHeader(theirs(e)); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(ours.Bytes(), want.Bytes()) {
		t.Errorf("header of a 9 GiB file differs from that of archive/tar")
	}
	if err := w.Close(); err == nil {
		t.Error("Close of an incomplete file succeeded")
	}
}

func TestWriterRefuses(t *testing.T) {
	for _, e := range []Entry{
		{Path: ""}, {Path: "/abs"}, {Path: "nul\x00"}, {Path: "."}, {Path: ".", Type: TypeWhiteout},
		{Path: "x", Type: 99}, {Path: "x", Size: -1}, {Path: "x", Type: TypeSymlink, Linkname: "a\x00b"},
		{Path: "x", Type: TypeChar, Major: 1 << 21}, {Path: "x", Xattrs: map[string]string{"user.a=b": ""}},
		{Path: "x", Xattrs: map[string]string{"user.a": strings.Repeat("v", 1<<20)}},
	} {
		if err := NewWriter(io.Discard).WriteHeader(&e); err == nil {
			t.Errorf("%.60q %v: accepted", e.Path, e.Type)
		}
	}
}

func TestWriterContent(t *testing.T) {
	small := &Entry{Path: "f", Size: 3}
	w := NewWriter(io.Discard)
	w.WriteHeader(small)
	if _, err := w.ReadFrom(strings.NewReader("ab")); err == nil {
		t.Error("short content accepted")
	}
	w = NewWriter(io.Discard)
	w.WriteHeader(small)
	if _, err := w.Write([]byte("abcd")); err == nil {
		t.Error("long content accepted")
	}
	w = NewWriter(io.Discard)
	w.WriteHeader(small)
	if err := w.WriteHeader(small); err == nil {
		t.Error("next header accepted before the content")
	}
	w = NewWriter(fullWriter{})
	if err := w.Close(); err == nil {
		t.Error("write error lost")
	}
	w = NewWriter(io.Discard)
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	_, err := w.Write([]byte("a"))
	if err == nil || w.WriteHeader(small) == nil || w.Close() == nil {
		t.Error("a closed writer takes more")
	}
}

type fullWriter struct{}

func (fullWriter) Write([]byte) (int, error) { return 0, io.ErrShortWrite }

func TestWriterMakesNoGarbage(t *testing.T) {
	w := NewWriter(io.Discard)
	e := &Entry{Path: "usr/share/doc/x/file", Mode: 0o644, Size: 100, UID: 1, GID: 2}
	content := make([]byte, 100)
	n := testing.AllocsPerRun(1000, func() {
		if err := w.WriteHeader(e); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(content); err != nil {
			t.Fatal(err)
		}
	})
	if n != 0 {
		t.Errorf("%v allocations for a plain entry", n)
	}
}

func TestComparePaths(t *testing.T) {
	sorted := []string{".", "a", "a/b", "a/b/c", "a/b.", "a/z", "a ", "a!", "a.b", "aa", "b"}
	for i, a := range sorted {
		for j, b := range sorted {
			if got := ComparePaths(a, b); (got < 0) != (i < j) || (got > 0) != (i > j) {
				t.Errorf("ComparePaths(%q, %q) = %d", a, b, got)
			}
		}
	}
}

func BenchmarkWriter(b *testing.B) {
	w := NewWriter(io.Discard)
	e := &Entry{Path: "usr/share/doc/x/file", Mode: 0o644, Size: 4096}
	content := make([]byte, 4096)
	b.SetBytes(4096 + 512)
	for b.Loop() {
		w.WriteHeader(e)
		w.Write(content)
	}
}
