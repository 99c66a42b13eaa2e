package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// desync are archives about which readers disagree, or that no writer makes: all must be refused.
var desync = []struct {
	name string
	tar  []byte
}{
	{"two paths in one header", rawTar(rawMember{name: "a", pax: []string{"path=a", "path=b"}})},
	{"two sizes in one header", rawTar(rawMember{name: "a", data: "x", pax: []string{"size=1", "size=512"}})},
	{"size record hides a header", rawTar(rawMember{name: "a", pax: []string{"size=512"}}, tFile("b", ""))},
	{"size record over a size", rawTar(rawMember{name: "a", data: "12345", pax: []string{"size=3"}})},
	{"empty size record", rawTar(rawMember{name: "a", data: "12345", pax: []string{"size="}})},
	{"negative size record", rawTar(rawMember{name: "a", pax: []string{"size=-1"}})},
	{"signed size record", rawTar(rawMember{name: "a", data: "1", pax: []string{"size=+1"}})},
	{"empty path record", rawTar(rawMember{name: "a", pax: []string{"path="}})},
	{"negative size", rawTar(rawMember{name: "a", edit: func(h []byte) { copy(h[124:136], bytes.Repeat([]byte{0xff}, 12)) }})},
	{"negative uid", rawTar(rawMember{name: "a", edit: func(h []byte) { copy(h[108:116], bytes.Repeat([]byte{0xff}, 8)) }})},
	{"uid that means no change", rawTar(rawMember{name: "a", pax: []string{"uid=4294967295"}})},
	{"uid of 33 bits", rawTar(rawMember{name: "a", pax: []string{"uid=4294967296"}})},
	{"huge size", rawTar(rawMember{name: "a", size: "\x80\x00\x00\x00\xff\xff\xff\xff\xff\xff\xff\xff"})},
	{"garbage in size", rawTar(rawMember{name: "a", size: "12 34"})},
	{"minus in size", rawTar(rawMember{name: "a", size: "-0000000001"})},
	{"hexadecimal size", rawTar(rawMember{name: "a", size: "0x10"})},
	{"bad checksum", func() []byte { b := rawTar(tFile("a", "")); b[0] = 'b'; return b }()},
	{"hard link with content", rawTar(tFile("b", ""), rawMember{name: "a", flag: '1', link: "b", data: "x"})},
	{"symlink with content", rawTar(rawMember{name: "a", flag: '2', link: "b", data: "x"})},
	{"directory with content", rawTar(rawMember{name: "a/", flag: '5', data: "x"})},
	{"device with content", rawTar(rawMember{name: "a", flag: '3', data: "x"})},
	{"file named as a directory", rawTar(rawMember{name: "a/", data: ""})},
	{"two extended headers", append(rawBytes(rawMember{flag: 'x', name: "p", data: paxText([]string{"path=a"})}), rawTar(rawMember{name: "b", pax: []string{"path=c"}})...)},
	{"long name and path record", append(rawBytes(rawMember{flag: 'L', name: "p", data: "a\x00"}), rawTar(rawMember{name: "b", pax: []string{"path=c"}})...)},
	{"two long names", append(rawBytes(rawMember{flag: 'L', name: "p", data: "a\x00"}), append(rawBytes(rawMember{flag: 'L', name: "p", data: "b\x00"}), rawTar(tFile("c", ""))...)...)},
	{"bytes after a long name", append(rawBytes(rawMember{flag: 'L', name: "p", data: "a\x00b"}), rawTar(tFile("b", ""))...)},
	{"extended header at the end", append(rawBytes(rawMember{flag: 'x', name: "p", data: paxText([]string{"path=a"})}), make([]byte, 1024)...)},
	{"global header with a path", append(rawBytes(rawMember{flag: 'g', name: "p", data: paxText([]string{"path=a"})}), rawTar(tFile("b", ""))...)},
	{"record without a newline", append(rawBytes(rawMember{flag: 'x', name: "p", data: "9 path=ab"}), rawTar(tFile("b", ""))...)},
	{"record longer than the header", append(rawBytes(rawMember{flag: 'x', name: "p", data: "99 path=a\n"}), rawTar(tFile("b", ""))...)},
	{"record with a signed length", append(rawBytes(rawMember{flag: 'x', name: "p", data: "+9 path=a\n"}), rawTar(tFile("b", ""))...)},
	{"record without a key", append(rawBytes(rawMember{flag: 'x', name: "p", data: "5 =a\n"}), rawTar(tFile("b", ""))...)},
	{"unknown character set", rawTar(rawMember{name: "a", pax: []string{"hdrcharset=EBCDIC"}})},
	{"huge extended header", append(rawBytes(rawMember{flag: 'x', name: "p", data: strings.Repeat("x", maxPAX+1)}), rawTar(tFile("b", ""))...)},
	{"sparse of version 0.0", rawTar(rawMember{name: "a", pax: []string{"GNU.sparse.size=5", "GNU.sparse.numblocks=0"}})},
	{"sparse overlap", rawTar(rawMember{name: "a", data: "0123456789", pax: []string{"GNU.sparse.size=10", "GNU.sparse.numblocks=2", "GNU.sparse.map=0,5,4,5"}})},
	{"sparse beyond the size", rawTar(rawMember{name: "a", data: "01234", pax: []string{"GNU.sparse.size=4", "GNU.sparse.numblocks=1", "GNU.sparse.map=0,5"}})},
	{"sparse map of other length", rawTar(rawMember{name: "a", data: "01234", pax: []string{"GNU.sparse.size=40", "GNU.sparse.numblocks=1", "GNU.sparse.map=0,4"}})},
	{"sparse overflow", rawTar(rawMember{name: "a", data: "01234", pax: []string{"GNU.sparse.size=40", "GNU.sparse.numblocks=1", "GNU.sparse.map=9223372036854775806,5"}})},
	{"sparse directory", rawTar(rawMember{name: "a/", flag: '5', pax: []string{"GNU.sparse.size=0", "GNU.sparse.numblocks=0", "GNU.sparse.map="}})},
	{"lone zero block", append(make([]byte, 512), rawTar(tFile("a", ""))...)},
	{"nothing", nil},
	{"no end mark", rawBytes(tFile("a", "x"))},
	{"not a tar", []byte(strings.Repeat("hello, world\n", 100))},
}

func TestReaderRefuses(t *testing.T) {
	for _, c := range desync {
		t.Run(c.name, func(t *testing.T) {
			entries, err := readAll(c.tar, ReaderOptions{})
			if err == nil {
				t.Errorf("accepted: %v", entries)
			}
			if !errors.Is(err, ErrTar) && !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("%v is neither ErrTar nor a cut", err)
			}
		})
	}
}

func TestCopyToEndsWithTheContext(t *testing.T) {
	r := NewReader(bytes.NewReader(rawTar(tFile("f", "content"))), ReaderOptions{})
	if _, err := r.Next(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if n, err := r.CopyTo(ctx, io.Discard); n != 0 || !errors.Is(err, context.Canceled) {
		t.Errorf("%d bytes, %v", n, err)
	}
	if n, err := r.CopyTo(t.Context(), io.Discard); n != 7 || err != nil {
		t.Errorf("then %d bytes, %v", n, err)
	}
}

// readAll lists a tar as "path type size content target".
func readAll(b []byte, o ReaderOptions) ([]string, error) {
	r := NewReader(bytes.NewReader(b), o)
	var list []string
	for {
		e, err := r.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return list, err
		}
		content, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil {
			return list, err
		}
		list = append(list, describe(e, content))
	}
}

func describe(e *Entry, content []byte) string {
	var attrs []string
	for k, v := range e.Xattrs {
		attrs = append(attrs, k+"="+v)
	}
	slices.Sort(attrs)
	return fmt.Sprintf("%q %v %o %d:%d %d %d %q %q %d,%d %q", e.Path, e.Type, e.Mode, e.UID, e.GID, e.Size, e.ModTime.Unix(), content, e.Linkname, e.Major, e.Minor, attrs)
}

// theirsAll is readAll by archive/tar; ok is false where it refuses.
func theirsAll(b []byte) (list []string, ok bool) {
	r := tar.NewReader(bytes.NewReader(b))
	types := map[byte]Type{'0': TypeFile, 0: TypeFile, '7': TypeFile, 'S': TypeFile, '5': TypeDir, '2': TypeSymlink, '1': TypeLink, '3': TypeChar, '4': TypeBlock, '6': TypeFifo}
	for {
		h, err := r.Next()
		if err == io.EOF {
			return list, true
		}
		if err != nil {
			return list, false
		}
		typ, known := types[h.Typeflag]
		if !known {
			continue
		}
		e := &Entry{Type: typ, Mode: uint32(h.Mode) & 0o7777, UID: uint32(h.Uid), GID: uint32(h.Gid), Size: h.Size, ModTime: h.ModTime, Xattrs: map[string]string{}}
		e.Path, _ = cleanName(h.Name, 1<<20)
		switch typ {
		case TypeSymlink:
			e.Linkname = h.Linkname
		case TypeLink:
			e.Linkname, _ = cleanName(h.Linkname, 1<<20)
		case TypeChar, TypeBlock:
			e.Major, e.Minor = uint32(h.Devmajor), uint32(h.Devminor)
		}
		for k, v := range h.PAXRecords {
			if name, ok := strings.CutPrefix(k, xattrRecord); ok && name != "" {
				e.Xattrs[name] = v
			}
		}
		content, err := io.ReadAll(io.LimitReader(r, 1<<20))
		if err != nil {
			return list, false
		}
		list = append(list, describe(e, content))
	}
}

// agree: what we accept, archive/tar accepts too, and reads the same.
func agree(t *testing.T, b []byte) {
	t.Helper()
	ours, err := readAll(b, ReaderOptions{Plain: true})
	if err != nil {
		return
	}
	theirs, ok := theirsAll(b)
	if !ok {
		t.Errorf("archive/tar refuses what we read as %v", ours)
	} else if !slices.Equal(ours, theirs) {
		t.Errorf("we read\n%s\narchive/tar\n%s", strings.Join(ours, "\n"), strings.Join(theirs, "\n"))
	}
}

// variety is a tar with some of everything that is good.
func variety() []byte {
	long := strings.Repeat("long/", 40) + "name"
	return rawTar(
		tDir("."), tDir("d"), tFile("./d//f", "content"), tSym("s", "../x/../y"), tLink("h", "d/f"),
		rawMember{name: "n", link: "t", flag: '2', pax: []string{"path=" + long, "linkpath=" + long + "t"}},
		rawMember{name: "x", data: "1", uid: 3, gid: 4, mode: 0o4755, pax: []string{"SCHILY.xattr.user.a=b\x00c", "mtime=12.5", "comment=hi", "uid=70000000"}},
		rawMember{name: "v7", magic: "\x00\x00\x00\x00\x00\x00\x00\x00", data: "old"},
		rawMember{name: "base", edit: func(h []byte) { copy(h[345:], "prefix/of/it") }},
		rawMember{flag: 'L', name: "././@LongLink", data: long + "\x00", magic: "ustar  \x00"},
		rawMember{name: "short", data: "gnu", magic: "ustar  \x00"},
		rawMember{name: "c", flag: '3', major: 1, minor: 3}, rawMember{name: "p", flag: '6'},
		rawMember{name: "sp", data: "hello", pax: []string{"GNU.sparse.major=0", "GNU.sparse.minor=1", "GNU.sparse.name=sparse", "GNU.sparse.size=100", "GNU.sparse.numblocks=1", "GNU.sparse.map=50,5"}},
		tFile("not utf8 \xff", ""), tFile(`back\slash`, ""),
	)
}

func TestReaderAgreesWithArchiveTar(t *testing.T) {
	agree(t, variety())
	list, err := readAll(variety(), ReaderOptions{Plain: true})
	if err != nil || len(list) != 15 {
		t.Errorf("%d entries, %v", len(list), err)
	}
}

// TestReaderAgreesWithGNUTar: what GNU tar writes in its formats is read as it was.
func TestReaderAgreesWithGNUTar(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("tar is not installed")
	}
	dir := t.TempDir()
	long := filepath.Join(dir, strings.Repeat("directory/", 15))
	if err := os.MkdirAll(long, 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(long, strings.Repeat("n", 120)), []byte("deep"), 0o640)
	os.WriteFile(filepath.Join(dir, "a"), []byte("a"), 0o755)
	os.Link(filepath.Join(dir, "a"), filepath.Join(dir, "b"))
	os.Symlink(strings.Repeat("t", 150), filepath.Join(dir, "s"))
	f, _ := os.Create(filepath.Join(dir, "sparse"))
	f.WriteAt([]byte("middle"), 300000)
	f.Truncate(900000)
	f.Close()
	for _, args := range [][]string{{"--format=gnu"}, {"--format=pax"}, {"--format=gnu", "-S"}, {"--format=pax", "-S"},
		{"--format=pax", "-S", "--sparse-version=0.1"}, {"--format=posix", "--xattrs"}} {
		out, err := exec.Command("tar", append(args, "-C", dir, "-cf", "-", ".")...).Output()
		if err != nil {
			t.Logf("tar %v: %v", args, err)
			continue
		}
		list, err := readAll(out, ReaderOptions{})
		if err != nil {
			t.Errorf("tar %v: %v", args, err)
		}
		if !slices.ContainsFunc(list, func(s string) bool { return strings.HasPrefix(s, `"sparse" file`) && strings.Contains(s, "900000") }) {
			t.Errorf("tar %v: no sparse file of 900000 bytes", args)
		}
		agree(t, out)
	}
}

// mend sets the checksums of what looks like a header, so that a fuzzer gets past them.
func mend(b []byte) []byte {
	b = slices.Clone(b[:len(b)&^511])
	for h := b; len(h) >= 512; h = h[512:] {
		if !bytes.HasPrefix(h[257:], []byte("ustar")) {
			continue
		}
		sum := 8 * int(' ')
		for i, c := range h[:512] {
			if i < 148 || i >= 156 {
				sum += int(c)
			}
		}
		copy(h[148:156], fmt.Sprintf("%06o\x00 ", sum))
	}
	return b
}

func addSeeds(f *testing.F) {
	f.Add(variety())
	for _, c := range desync {
		if len(c.tar) < 8<<10 {
			f.Add(c.tar)
		}
	}
	a := &arena{canary: "/canary"}
	for _, c := range hostileTars {
		var all []byte
		for _, members := range c.layers {
			b := a.tar(members)
			all = append(all, b[:len(b)-1024]...)
		}
		if len(all) < 8<<10 {
			f.Add(append(all, make([]byte, 1024)...))
		}
	}
}

func FuzzReader(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) { agree(t, mend(b)) })
}

// FuzzApply: no bytes reach outside the root, in either form.
func FuzzApply(f *testing.F) {
	addSeeds(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, form := range []Form{Tree, Overlay} {
			a := newArena(t)
			base := rawTar(tDir("d"), tFile("d/f", "x"), tSym("l", "OUT"), tSym("up", "../canary"))
			_ = a.apply(form, a.tarBytes(base), mend(b))
			a.check()
		}
	})
}
