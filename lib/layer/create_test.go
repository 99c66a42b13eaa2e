package layer

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

func create(t testing.TB, dir string, o CreateOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Create(context.Background(), &b, dir, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func diff(t testing.TB, lower, upper string, o CreateOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := Diff(context.Background(), &b, lower, upper, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func apply(t testing.TB, layer []byte, dir string) {
	t.Helper()
	if err := Apply(context.Background(), bytes.NewReader(layer), dir, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
}

// listing reads a layer with archive/tar: "type name".
func listing(t testing.TB, layer []byte) []string {
	t.Helper()
	var list []string
	for r := tar.NewReader(bytes.NewReader(layer)); ; {
		h, err := r.Next()
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		list = append(list, string(h.Typeflag)+" "+h.Name)
	}
}

func wantListing(t testing.TB, layer []byte, want ...string) {
	t.Helper()
	if got := listing(t, layer); !slices.Equal(got, want) {
		t.Errorf("entries:\n got %q\nwant %q", got, want)
	}
}

// Apply(Diff(a, b), a) is b, and Apply(Create(a)) is a.
func TestRoundTripRandomTrees(t *testing.T) {
	for seed := range uint64(60) {
		a, b, c := t.TempDir(), t.TempDir(), t.TempDir()
		g := newGrower(t, seed, a)
		for range 25 {
			g.step()
		}
		first := create(t, a, CreateOptions{KeepTimes: true})
		apply(t, first, b)
		apply(t, first, c)
		if got, want := dump(t, b, true), dump(t, a, true); got != want {
			t.Fatalf("seed %d: Apply(Create(a)) is not a:\n%s\n--- want\n%s", seed, got, want)
		}
		g.dir = b
		for range 12 {
			g.step()
		}
		delta := diff(t, a, b, CreateOptions{KeepTimes: true})
		apply(t, delta, c)
		if got, want := dump(t, c, false), dump(t, b, false); got != want {
			t.Fatalf("seed %d: Apply(Diff(a, b), a) is not b:\n%s\n--- want\n%s\n--- delta\n%q", seed, got, want, listing(t, delta))
		}
		if rest := listing(t, diff(t, b, c, CreateOptions{})); len(rest) > 0 {
			t.Fatalf("seed %d: Diff of equal trees has %q", seed, rest)
		}
	}
}

func writeTree(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		p := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		if strings.HasSuffix(name, "/") {
			os.MkdirAll(p, 0o755)
			continue
		}
		if err := os.WriteFile(p, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func TestCreateOrderAndTypes(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"b": "1", "a.b": "2", "a/z": "3", "a/b/c": "4", "e/": ""})
	os.Symlink("a/z", filepath.Join(dir, "l"))
	os.Link(filepath.Join(dir, "a/z"), filepath.Join(dir, "h"))
	sock, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(sock)
	cwd, _ := os.Getwd()
	os.Chdir(dir) // the name of a socket is short
	err = unix.Bind(sock, &unix.SockaddrUnix{Name: "s"})
	os.Chdir(cwd)
	if err != nil {
		t.Fatal(err)
	}
	var warned []string
	tarball := create(t, dir, CreateOptions{Warn: func(s string) { warned = append(warned, s) }})
	wantListing(t, tarball, "5 a/", "5 a/b/", "0 a/b/c", "0 a/z", "0 a.b", "0 b", "5 e/", "1 h", "2 l")
	if len(warned) != 1 || !strings.Contains(warned[0], `"s"`) {
		t.Errorf("warnings: %q", warned)
	}
	wantListing(t, create(t, t.TempDir(), CreateOptions{Root: true}), "5 ./")
}

func TestCreateRefusesWhiteoutNames(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"d/.wh.x": ""})
	if err := Create(context.Background(), io.Discard, dir, CreateOptions{}); err == nil {
		t.Error("a file named .wh.x was taken for a deletion")
	}
}

func TestCreateOptions(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"x": "1", "f": "2"})
	os.Chmod(filepath.Join(dir, "x"), 0o4711|os.ModeSetuid)
	os.Chmod(filepath.Join(dir, "f"), 0o660)
	os.Chtimes(filepath.Join(dir, "f"), time.Unix(99, 0), time.Unix(99, 5e8))
	header := func(o CreateOptions, name string) *tar.Header {
		for r := tar.NewReader(bytes.NewReader(create(t, dir, o))); ; {
			h, err := r.Next()
			if err != nil {
				t.Fatal(err)
			}
			if h.Name == name {
				return h
			}
		}
	}
	if h := header(CreateOptions{}, "x"); h.Mode != 0o4711 || h.ModTime.Unix() != 0 || h.Uname != "" {
		t.Errorf("plain: %+v", h)
	}
	if h := header(CreateOptions{Normalize: true}, "x"); h.Mode != 0o755 || h.Uid != 0 {
		t.Errorf("normalized executable: %+v", h)
	}
	if h := header(CreateOptions{Normalize: true}, "f"); h.Mode != 0o644 {
		t.Errorf("normalized file: %+v", h)
	}
	if h := header(CreateOptions{Owner: &[2]uint32{7, 4000000000}}, "f"); h.Uid != 7 || h.Gid != 4000000000 {
		t.Errorf("owner: %+v", h)
	}
	if h := header(CreateOptions{KeepTimes: true}, "f"); !h.ModTime.Equal(time.Unix(99, 0)) {
		t.Errorf("kept time: %v", h.ModTime)
	}
	if h := header(CreateOptions{Epoch: time.Unix(1e9, 1)}, "f"); !h.ModTime.Equal(time.Unix(1e9, 0)) {
		t.Errorf("epoch: %v", h.ModTime)
	}
}

func TestDiff(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	same := map[string]string{"same": "1", "d/same": "2", "d/e/changed": "old", "gone": "", "gonedir/x": "", "todir": "", "tofile/x": "", "mode": ""}
	writeTree(t, a, same)
	writeTree(t, b, map[string]string{"same": "1", "d/same": "2", "d/e/changed": "new", "todir/x": "", "tofile": "", "mode": "", "new/x": ""})
	os.Chmod(filepath.Join(b, "mode"), 0o600)
	os.Chtimes(filepath.Join(b, "same"), time.Unix(1, 0), time.Unix(1, 0))
	wantListing(t, diff(t, a, b, CreateOptions{}),
		"0 .wh.gone", "0 .wh.gonedir", "5 d/", "5 d/e/", "0 d/e/changed", "0 mode", "5 new/", "0 new/x", "5 todir/", "0 todir/x", "0 tofile")
	wantListing(t, diff(t, b, b, CreateOptions{}))
	os.Chmod(b, 0o711)
	os.Chmod(a, 0o755)
	if list := listing(t, diff(t, a, b, CreateOptions{})); list[0] != "5 ./" {
		t.Errorf("a changed root is not written: %q", list)
	}
}

// A file with several names is written with all of them or not at all.
func TestDiffHardLinks(t *testing.T) {
	a, b := t.TempDir(), t.TempDir()
	for _, d := range []string{a, b} {
		writeTree(t, d, map[string]string{"a": "1", "z/": ""})
		os.Link(filepath.Join(d, "a"), filepath.Join(d, "b"))
	}
	wantListing(t, diff(t, a, b, CreateOptions{}))
	os.Link(filepath.Join(b, "a"), filepath.Join(b, "z/new"))
	wantListing(t, diff(t, a, b, CreateOptions{}), "0 a", "1 b", "5 z/", "1 z/new")
	// b is cut from a, with the same content.
	os.Remove(filepath.Join(b, "z/new"))
	os.Remove(filepath.Join(b, "b"))
	writeTree(t, b, map[string]string{"b": "1"})
	wantListing(t, diff(t, a, b, CreateOptions{}), "0 b")
	// a changed, b is as it was.
	writeTree(t, b, map[string]string{"a": "2"})
	wantListing(t, diff(t, a, b, CreateOptions{}), "0 a")
}

// The same tree gives the same bytes, however it came to be.
func TestDeterminism(t *testing.T) {
	a := t.TempDir()
	g := newGrower(t, 5, a)
	for range 60 {
		g.step()
	}
	want := create(t, a, CreateOptions{})
	b := t.TempDir()
	old := unix.Umask(0o077)
	apply(t, create(t, a, CreateOptions{}), b)
	unix.Umask(old)
	t.Setenv("TZ", "Asia/Tokyo")
	t.Setenv("LANG", "de_DE.UTF-8")
	if !bytes.Equal(create(t, b, CreateOptions{}), want) {
		t.Error("a copy gives other bytes")
	}
	if !bytes.Equal(create(t, a+"/.", CreateOptions{}), want) {
		t.Error("another spelling of the path gives other bytes")
	}
}

func TestCreateAgreesWithTar(t *testing.T) {
	if _, err := exec.LookPath("tar"); err != nil {
		t.Skip("tar is not installed")
	}
	dir := t.TempDir()
	g := newGrower(t, 11, dir)
	for range 60 {
		g.step()
	}
	os.WriteFile(filepath.Join(dir, strings.Repeat("n", 200)), nil, 0o644)
	cmd := exec.Command("tar", "--numeric-owner", "-tvf", "-")
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	ours := create(t, dir, CreateOptions{KeepTimes: true})
	cmd.Stdin = bytes.NewReader(ours)
	got, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	// What tar itself would have made of the same tree, in the same order.
	names := listing(t, ours)
	var list strings.Builder
	for _, n := range names {
		list.WriteString(strings.TrimSuffix(n[2:], "/") + "\x00")
	}
	make := exec.Command("tar", "-C", dir, "--no-recursion", "--null", "--verbatim-files-from", "-T", "-", "--format=pax",
		"--pax-option=delete=atime,delete=ctime,delete=mtime", "-cf", "-")
	make.Stdin = strings.NewReader(list.String())
	theirs, err := make.Output()
	if err != nil {
		t.Fatal(err)
	}
	cmd = exec.Command("tar", "--numeric-owner", "-tvf", "-")
	cmd.Env = append(os.Environ(), "TZ=UTC", "LC_ALL=C")
	cmd.Stdin = bytes.NewReader(theirs)
	want, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(squeeze(got), squeeze(want)) {
		t.Errorf("tar -tv reads\n%s\n--- of its own archive\n%s", got, want)
	}
}

// squeeze removes the padding, whose width depends on what came before.
func squeeze(b []byte) []byte {
	for bytes.Contains(b, []byte("  ")) {
		b = bytes.ReplaceAll(b, []byte("  "), []byte(" "))
	}
	return b
}

// What an ordinary user unpacks packs again to the same bytes.
func TestRecordedOwner(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"d/f": "x", "d/own": "y"})
	for _, p := range []string{"d", "d/f"} {
		if err := unix.Setxattr(filepath.Join(dir, p), OwnerXattr, []byte("33:44"), 0); err != nil {
			t.Skipf("the file system of %s takes no user attributes: %v", dir, err)
		}
	}
	os.Symlink("f", filepath.Join(dir, "d/l"))
	got := create(t, dir, CreateOptions{})
	for r := tar.NewReader(bytes.NewReader(got)); ; {
		h, err := r.Next()
		if err == io.EOF {
			break
		}
		if len(h.PAXRecords) > 0 {
			t.Errorf("%s: records %q", h.Name, h.PAXRecords)
		}
		want := [2]int{33, 44}
		if h.Name == "d/own" || h.Name == "d/l" && os.Geteuid() == 0 {
			want = [2]int{os.Geteuid(), os.Getegid()}
		}
		if h.Uid != want[0] || h.Gid != want[1] {
			t.Errorf("%s: owner %d:%d, want %v", h.Name, h.Uid, h.Gid, want)
		}
	}
	unix.Setxattr(filepath.Join(dir, "d"), OwnerXattr, []byte("x"), 0)
	if err := Create(context.Background(), io.Discard, dir, CreateOptions{}); err == nil {
		t.Error("a malformed owner was accepted")
	}
}

func TestCreateFails(t *testing.T) {
	dir := t.TempDir()
	writeTree(t, dir, map[string]string{"f": "x"})
	if err := Create(context.Background(), fullWriter{}, dir, CreateOptions{}); err == nil {
		t.Error("write error lost")
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := Create(ctx, io.Discard, dir, CreateOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := Create(context.Background(), io.Discard, filepath.Join(dir, "f"), CreateOptions{}); err == nil {
		t.Error("a file was taken for a directory")
	}
	if err := Diff(context.Background(), io.Discard, filepath.Join(dir, "no"), dir, CreateOptions{}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("missing lower: %v", err)
	}
}

func TestScanIsCreate(t *testing.T) {
	dir := t.TempDir()
	g := newGrower(t, 17, dir)
	for range 60 {
		g.step()
	}
	list, err := Scan(context.Background(), dir, ".", CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Pack(context.Background(), &b, "", list, PackOptions{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(b.Bytes(), create(t, dir, CreateOptions{})) {
		t.Error("Pack(Scan(dir)) is not Create(dir)")
	}
	list, err = Scan(context.Background(), dir, "srv/www", CreateOptions{})
	if err != nil || list[0].Path != "srv/www" {
		t.Fatal(list[0].Path, err)
	}
	b.Reset()
	if err := Pack(context.Background(), &b, "", list, PackOptions{}); err != nil {
		t.Error(err)
	}
}
