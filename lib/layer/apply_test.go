package layer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// arena is a directory with a root to apply to and canaries around it, which no
// tar may touch.
type arena struct {
	t      *testing.T
	root   string
	canary string
	before string
}

func newArena(t *testing.T) *arena {
	t.Helper()
	top := t.TempDir()
	a := &arena{t: t, root: filepath.Join(top, "root"), canary: filepath.Join(top, "canary")}
	t.Cleanup(func() { unlock(a.root) })
	for _, d := range []string{a.root, a.canary, filepath.Join(a.canary, "dir")} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for _, f := range []string{"secret", "dir/secret", "passwd"} {
		if err := os.WriteFile(filepath.Join(a.canary, f), []byte("canary "+f), 0o640); err != nil {
			t.Fatal(err)
		}
	}
	a.before = a.state()
	return a
}

// state is all there is to know about the canaries.
func (a *arena) state() string { return treeState(a.t, a.canary, true) }

func (a *arena) check() {
	a.t.Helper()
	if now := a.state(); now != a.before {
		a.t.Errorf("a canary changed:\n%s\nwas\n%s", now, a.before)
	}
	list, err := os.ReadDir(filepath.Dir(a.root))
	if err != nil || len(list) != 2 {
		a.t.Errorf("beside the root and the canaries: %v %v", list, err)
	}
}

// apply applies tars one after the other in the given form; the overlay form gets
// a directory for each.
func (a *arena) apply(form Form, tars ...[]byte) error {
	if form == Tree {
		for _, b := range tars {
			if err := Apply(context.Background(), bytes.NewReader(b), a.root, ApplyOptions{}); err != nil {
				return err
			}
		}
		return nil
	}
	var lowers []string
	for i, b := range tars {
		dir := filepath.Join(a.root, fmt.Sprint(i))
		if err := os.Mkdir(dir, 0o700); err != nil {
			return err
		}
		if err := Apply(context.Background(), bytes.NewReader(b), dir, ApplyOptions{Form: Overlay, Lowers: lowers}); err != nil {
			return err
		}
		lowers = slices.Insert(lowers, 0, dir)
	}
	return nil
}

// treeState lists a tree: path, type, mode, owner, size or target, content, links, and times if asked.
func treeState(t *testing.T, dir string, times bool) string {
	t.Helper()
	var s strings.Builder
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		fmt.Fprintf(&s, "%q %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(p)
			if err != nil {
				b = []byte(err.Error())
			}
			fmt.Fprintf(&s, " %d %.6x n%d", len(b), sha256.Sum256(b), st.Nlink)
		case unix.S_IFLNK:
			to, _ := os.Readlink(p)
			fmt.Fprintf(&s, " -> %q", to)
		case unix.S_IFCHR, unix.S_IFBLK:
			fmt.Fprintf(&s, " dev %d", st.Rdev)
		}
		if times {
			fmt.Fprintf(&s, " %d.%09d", st.Mtim.Sec, st.Mtim.Nsec)
		}
		s.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return s.String()
}

// unlock lets an ordinary user read and remove what tars have locked.
func unlock(dir string) {
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			os.Chmod(p, 0o700)
			if err != nil { // it could not be read before
				unlock(p)
			}
		}
		return nil
	})
}

// TestApplyReplaces: what a later entry makes of an earlier one.
func TestApplyReplaces(t *testing.T) {
	a := newArena(t)
	one := rawTar(
		tDir("keep"), tFile("keep/a", "a"), tFile("victim", "old"), tLink("twin", "victim"),
		tDir("dir"), tFile("dir/x/y", "y"), tSym("sym", "keep"),
	)
	two := rawTar(
		rawMember{name: "keep/", flag: '5', mode: 0o700, mtime: 77},
		tFile("victim", "new"), tFile("dir", "file now"), tDir("sym"), tFile("sym/in", "in"),
	)
	if err := a.apply(Tree, one, two); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"keep/a": "a", "victim": "new", "twin": "old", "dir": "file now", "sym/in": "in"} {
		if b, err := os.ReadFile(filepath.Join(a.root, path)); err != nil || string(b) != want {
			t.Errorf("%s: %q %v, want %q", path, b, err, want)
		}
	}
	fi, err := os.Lstat(filepath.Join(a.root, "keep"))
	if err != nil || fi.Mode().Perm() != 0o700 || fi.ModTime().Unix() != 77 {
		t.Errorf("keep: %v %v", fi, err)
	}
	if _, err := os.Stat(filepath.Join(a.root, "keep/in")); err == nil {
		t.Error("a directory over a link went through the link")
	}
}

// TestApplyTimes: a directory has the time its entry says, whatever is made in it
// before or after; one that the layer does not mention keeps its own.
func TestApplyTimes(t *testing.T) {
	a := newArena(t)
	d := func(name string, mtime int64) rawMember {
		return rawMember{name: name + "/", flag: '5', mode: 0o755, mtime: mtime}
	}
	one := rawTar(tFile("b/early", ""), d("a", 11), tFile("a/x", ""), d("b", 22), tFile("a/y", ""), d("a/sub", 33), tFile("a/sub/z", ""), tFile("c/d/e", ""))
	two := rawTar(tFile("a/sub/new", ""), tFile("b/.wh.early", ""))
	if err := a.apply(Tree, one, two); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int64{"a": 11, "b": 22, "a/sub": 33, "c": 0, "c/d": 0} {
		fi, err := os.Lstat(filepath.Join(a.root, path))
		if err != nil || fi.ModTime().Unix() != want {
			t.Errorf("%s: %v %v, want %d", path, fi.ModTime(), err, want)
		}
	}
}

// TestApplySameLayerWhiteouts: a whiteout never touches what its own layer adds.
func TestApplySameLayerWhiteouts(t *testing.T) {
	lower := []rawMember{tDir("d"), tFile("d/old", "old"), tDir("d/sub"), tFile("d/sub/old", "old"), tFile("f", "old")}
	adds := []rawMember{tDir("d"), tFile("d/new", "new"), tDir("d/sub"), tFile("d/sub/new", "new"), tFile("f", "new")}
	marks := []rawMember{tFile("d/.wh..wh..opq", ""), tFile(".wh.f", ""), tFile("d/.wh.sub", "")}
	for _, order := range []string{"marks first", "marks last"} {
		upper := append(slices.Clone(marks), adds...)
		if order == "marks last" {
			upper = append(slices.Clone(adds), marks...)
		}
		t.Run(order, func(t *testing.T) {
			a := newArena(t)
			if err := a.apply(Tree, rawTar(lower...), rawTar(upper...)); err != nil {
				t.Fatal(err)
			}
			var got []string
			filepath.WalkDir(a.root, func(p string, d fs.DirEntry, err error) error {
				if !d.IsDir() {
					b, _ := os.ReadFile(p)
					got = append(got, strings.TrimPrefix(p, a.root+"/")+"="+string(b))
				}
				return nil
			})
			want := []string{"d/new=new", "d/sub/new=new", "f=new"}
			if !slices.Equal(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
}

// TestApplyLegitimate: images whose links are absolute or point up far must work.
func TestApplyLegitimate(t *testing.T) {
	a := newArena(t)
	err := a.apply(Tree,
		rawTar(tDir("usr/lib"), tSym("lib", "/usr/lib"), tSym("usr/lib/up", "../../../../../../etc"), tDir("etc"), tSym("etc/self", "self")),
		rawTar(tFile("lib/libc.so", "c"), tFile("usr/lib/up/passwd", "root"), tFile("etc/self", "no loop")))
	if err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{"usr/lib/libc.so": "c", "etc/passwd": "root", "etc/self": "no loop"} {
		if b, err := os.ReadFile(filepath.Join(a.root, path)); err != nil || string(b) != want {
			t.Errorf("%s: %q %v", path, b, err)
		}
	}
	a.check()
}

// TestApplySparse: holes stay holes, and zeros become some.
func TestApplySparse(t *testing.T) {
	a := newArena(t)
	zeros := strings.Repeat("\x00", 1<<20)
	gnu := rawMember{name: "gnu", flag: 'S', magic: "ustar  \x00", data: "tail", edit: func(h []byte) {
		copy(h[386:], fmt.Sprintf("%011o\x00%011o\x00", 1<<30, 4))
		copy(h[483:], fmt.Sprintf("%011o\x00", 1<<30+4))
	}}
	pax := rawMember{name: "GNUSparseFile.0/x", pax: []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=pax", "GNU.sparse.realsize=1073741824"},
		data: "1\n4096\n5\n" + strings.Repeat("\x00", 512-9) + "hello"}
	if err := a.apply(Tree, rawTar(gnu, pax, tFile("zeros", "a"+zeros+"b"))); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]int64{"gnu": 1<<30 + 4, "pax": 1 << 30, "zeros": 1<<20 + 2} {
		var st unix.Stat_t
		if err := unix.Lstat(filepath.Join(a.root, path), &st); err != nil || st.Size != want || st.Blocks*512 > 256<<10 {
			t.Errorf("%s: size %d blocks %d %v", path, st.Size, st.Blocks, err)
		}
	}
	b := make([]byte, 5)
	f, err := os.Open(filepath.Join(a.root, "pax"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.ReadAt(b, 4096); err != nil || string(b) != "hello" {
		t.Errorf("%q %v", b, err)
	}
}

// TestApplyLimits: each limit is an error of its own, not a full disk.
func TestApplyLimits(t *testing.T) {
	big := rawTar(tFile("a", "12345"), tFile("b", "12345"), rawMember{name: "c", pax: []string{"SCHILY.xattr.user.x=" + strings.Repeat("x", 100)}}, tFile("d/e/f", ""))
	for _, l := range []Limits{{Bytes: 9}, {Entries: 3}, {Depth: 2}, {Xattrs: 90}} {
		err := Apply(context.Background(), bytes.NewReader(big), t.TempDir(), ApplyOptions{Limits: l})
		if err == nil {
			t.Errorf("%+v: accepted", l)
		}
	}
	huge := rawMember{name: "x", flag: 'S', magic: "ustar  \x00", edit: func(h []byte) {
		copy(h[483:], "\x80\x00\x00\x00\x7f\xff\xff\xff\xff\xff\xff\xff")
	}}
	if err := Apply(context.Background(), bytes.NewReader(rawTar(huge)), t.TempDir(), ApplyOptions{}); err == nil {
		t.Error("a hole of 8 EiB was accepted")
	}
}

// TestApplyDepth: links do not make a tree deeper than a name may be, whether its
// directories are named by the layer or not.
func TestApplyDepth(t *testing.T) {
	path := strings.Repeat("d/", 30) + "d"
	for name, members := range map[string][]rawMember{
		"named":   {tDir(path), tSym("l", path), tDir("l/a")},
		"implied": {tDir(path), tSym("l", path), tFile("l/a/f", "x")},
		"chain":   {tDir(path[:21]), tSym("k", path[:21]), tDir("k/" + path[:21]), tSym("l", "k/"+path[:21]), tDir("l/" + path[:21])},
	} {
		for _, form := range []Form{Tree, Overlay} {
			for depth, want := range map[int]bool{31: false, 40: true} {
				err := Apply(context.Background(), bytes.NewReader(rawTar(members...)), t.TempDir(), ApplyOptions{Form: form, Limits: Limits{Depth: depth}})
				if (err == nil) != want {
					t.Errorf("%s, %d deep: %v", name, depth, err)
				}
			}
		}
	}
	// The kernel does not tell a path that is longer than it may be.
	link := strings.Repeat(strings.Repeat("n", 200)+"/", 15) + "n"
	long := []rawMember{{name: "a", flag: '5', mode: 0o755, pax: []string{"path=" + link}}, {name: "l", flag: '2', pax: []string{"linkpath=" + link}},
		{name: "a", flag: '5', mode: 0o755, pax: []string{"path=l/" + link}}, tDir("l/n/a")}
	for depth, want := range map[int]bool{20: false, 64: true} {
		err := Apply(context.Background(), bytes.NewReader(rawTar(long...)), t.TempDir(), ApplyOptions{Limits: Limits{Depth: depth}})
		if (err == nil) != want {
			t.Errorf("long names, %d deep: %v", depth, err)
		}
	}
}

// TestApplyCut: a tar that ends anywhere but after its end mark is an error.
func TestApplyCut(t *testing.T) {
	whole := rawTar(tFile("a", strings.Repeat("x", 600)), tDir("d"), tFile("d/b", "y"))
	for n := 0; n < len(whole)-1023; n += 256 {
		err := Apply(context.Background(), bytes.NewReader(whole[:n]), t.TempDir(), ApplyOptions{})
		if err == nil {
			t.Errorf("cut to %d of %d bytes: accepted", n, len(whole))
		}
	}
}

// TestApplyCancel: a reader that hangs does not hold a cancelled Apply.
func TestApplyCancel(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Millisecond)
	defer cancel()
	if err := Apply(ctx, r, t.TempDir(), ApplyOptions{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func openers(layers [][]byte) []func() (io.ReadCloser, error) {
	var list []func() (io.ReadCloser, error)
	for _, b := range layers {
		list = append(list, func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil })
	}
	return list
}
