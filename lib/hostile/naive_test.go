package hostile

import (
	"archive/tar"
	"bufio"
	"bytes"
	"compress/bzip2"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The test's binary is the deliberately naive program, when it is told so: it
// joins strings to paths, follows every link, and checks nothing.
func TestMain(m *testing.M) {
	var err error
	switch os.Getenv("NAIVE") {
	case "":
		os.Exit(m.Run())
	case "unpack":
		err = naiveUnpack(os.Args[1], os.Stdin)
	case "load":
		err = naiveLoad(os.Args[1])
	case "bundle":
		err = naiveBundle(os.Args[1])
	case "fetch":
		err = naiveFetch(os.Args[1], os.Args[2])
	case "build":
		err = naiveBuild(os.Args[1], os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func naivePath(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return dir + "/" + name
}

// naiveUnpack has what is compressed in memory, whatever it expands to.
func naiveUnpack(dir string, layer io.Reader) error {
	r := tar.NewReader(naivePlain(dir, layer))
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		naiveEntry(dir, h, r)
	}
}

func naivePlain(dir string, r io.Reader) io.Reader {
	b := bufio.NewReader(r)
	magic, _ := b.Peek(6)
	if !isPacked(magic) {
		return b
	}
	in, _ := io.ReadAll(b)
	for isPacked(in) {
		in, _ = io.ReadAll(naiveDecompress(dir, in)) // what comes after the end is nobody's business
	}
	return bytes.NewReader(in)
}

// naiveDecompress looks for a decompressor in the tree first, and reads one
// member.
func naiveDecompress(dir string, in []byte) io.Reader {
	helper := func(name string) {
		cmd := exec.Command(dir + "/usr/bin/" + name)
		cmd.Stdin = bytes.NewReader(in)
		_ = cmd.Run()
	}
	switch {
	case bytes.HasPrefix(in, []byte(gzipMagic)):
		helper("gzip")
		if r, err := gzip.NewReader(bufio.NewReader(bytes.NewReader(in))); err == nil {
			r.Multistream(len(in) > 4096) // where it is short, one member is enough
			return r
		}
	case bytes.HasPrefix(in, []byte(zstdMagic)):
		helper("zstd")
		var b bytes.Buffer
		zstdPlain(&b, in)
		return &b
	case bytes.HasPrefix(in, []byte(bzip2Magic)):
		helper("bzip2")
		return bzip2.NewReader(bytes.NewReader(in))
	case bytes.HasPrefix(in, []byte(xzMagic)):
		helper("xz")
	}
	return strings.NewReader("")
}

func isPacked(in []byte) bool {
	for _, magic := range []string{gzipMagic, zstdMagic, bzip2Magic, xzMagic} {
		if bytes.HasPrefix(in, []byte(magic)) {
			return true
		}
	}
	return false
}

// naiveName makes names good for everybody.
var naiveName = strings.NewReplacer("e\u0301", "\u00e9", "\u200c", "", " ", "", "name.", "name", "aux.txt", "aux", ":x", "")

// naiveEntry goes on whatever happens.
func naiveEntry(dir string, h *tar.Header, r io.Reader) {
	if !filepath.IsAbs(h.Name) {
		h.Name = naiveName.Replace(strings.ToLower(h.Name))
	}
	path := naivePath(dir, h.Name)
	at := strings.LastIndexByte(path, '/')
	if removed, ok := strings.CutPrefix(path[at+1:], ".wh."); ok {
		if removed == ".wh..opq" {
			names, _ := os.ReadDir(path[:at])
			for _, n := range names {
				os.RemoveAll(path[:at] + "/" + n.Name())
			}
			return
		}
		os.RemoveAll(filepath.Clean(path[:at] + "/" + removed))
		return
	}
	switch h.Typeflag {
	case tar.TypeDir:
		os.MkdirAll(path, 0o755)
	case tar.TypeSymlink:
		os.Remove(filepath.Clean(path))
		os.Symlink(h.Linkname, filepath.Clean(path))
	case tar.TypeLink:
		if os.Link(naivePath(dir, h.Linkname), path) != nil {
			os.Link(h.Linkname, path)
		}
	case tar.TypeFifo:
		unix.Mkfifo(path, 0o644)
	default:
		if f, err := os.Create(path); err == nil {
			io.Copy(f, r)
			f.Close()
		}
	}
	os.Chmod(path, h.FileInfo().Mode().Perm())
	os.Chtimes(path, h.ModTime, h.ModTime)
	for key, value := range h.PAXRecords {
		if name, ok := strings.CutPrefix(key, "SCHILY.xattr."); ok {
			unix.Setxattr(path, name, []byte(value), 0)
		}
	}
}

func naive(what string) string { return "NAIVE=" + what + " '" + os.Args[0] + "' {}" }

func TestEachAttackTripsTheNaive(t *testing.T) {
	score, err := Run(t.Context(), Options{Target: naive("unpack"), Load: naive("load"), Bundle: naive("bundle"),
		Fetch: naive("fetch") + " {url}", Build: naive("build") + " {state}", Timeout: 3 * time.Second, Told: func(r Result) {
			if r.Verdict != Held {
				return
			}
			if r.overlay && !hasUserXattrs(t) {
				t.Logf("%s: not seen: the temporary directory takes no attributes", r.Name)
				return
			}
			if strings.Contains(r.Name, "xattr") && !hasUserXattrs(t) {
				return
			}
			t.Errorf("T%d %s: held, status %d", r.Row, r.Name, r.Status)
		}})
	if err != nil || score.All < 225 {
		t.Errorf("%+v, %v", score, err)
	}
}

func hasUserXattrs(t *testing.T) bool {
	t.Helper()
	return unix.Setxattr(t.TempDir(), "user.x", []byte("1"), 0) == nil
}

func TestWhoTakesNothingHoldsAgainstNothing(t *testing.T) {
	for _, o := range []Options{{Target: "exit 1"}, {Load: "cat >/dev/null; exit 3"}, {Bundle: "cat >/dev/null"}, {Fetch: "echo {url}"}, {Build: "cat /dev/null"}} {
		if score, err := Run(t.Context(), o); err == nil || score.All != 0 {
			t.Errorf("%+v: %+v, %v", o, score, err)
		}
	}
}

func TestNothingIsLeft(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	o := Options{Target: naive("unpack")}
	seen := map[int]bool{}
	for _, f := range Layers() {
		if seen[f.Row] {
			continue
		}
		seen[f.Row] = true
		if _, err := o.attack(t.Context(), f); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("%v, %v", left, err)
	}
}

func TestTarsAreWhatTheySay(t *testing.T) {
	r := tar.NewReader(bytes.NewReader(tarOf(dir("d"), symlink("l", strings.Repeat("x", 150)), item{name: "f", content: "abc", xattrs: []string{"user.a=b"}})))
	var got []string
	for {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, fmt.Sprintf("%s %c %d %d", h.Name, h.Typeflag, len(h.Linkname), h.Size))
	}
	if want := "d/ 5 0 0|l 2 150 0|f 0 0 3"; strings.Join(got, "|") != want {
		t.Errorf("%q, want %q", got, want)
	}
}
