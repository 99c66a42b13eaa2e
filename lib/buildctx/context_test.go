package buildctx

import (
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

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// makeTree makes a directory: "dir/", "link -> target", "fifo|", or a file that
// holds its own path.
func makeTree(t testing.TB, names ...string) string {
	t.Helper()
	root := t.TempDir()
	for _, name := range names {
		link, target, isLink := strings.Cut(name, " -> ")
		p := filepath.Join(root, strings.TrimRight(link, "/|"))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		switch {
		case isLink:
			err = os.Symlink(target, p)
		case strings.HasSuffix(name, "/"):
			err = os.MkdirAll(p, 0o755)
		case strings.HasSuffix(name, "|"):
			err = unix.Mkfifo(p, 0o644)
		default:
			err = os.WriteFile(p, []byte(name), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

func openTree(t testing.TB, dir, ignore string) *Context {
	t.Helper()
	g, err := ParseIgnore(strings.NewReader(ignore), ".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	c, err := Open(dir, Options{Ignore: g})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

func walkPaths(t testing.TB, c *Context, top string, o WalkOptions) []string {
	t.Helper()
	var paths []string
	for info, err := range c.Walk(top, o) {
		if err != nil {
			t.Fatal(err)
		}
		paths = append(paths, info.Path)
	}
	return paths
}

func TestWalk(t *testing.T) {
	root := makeTree(t, "a-b", "a/b", "a/c/", "a/d/e/f", "a.x", "z/keep/y", "z/other/y", "l -> a/b", "p|", "empty/")
	for _, c := range []struct {
		name, ignore, top, exclude, want string
	}{
		{"all", "", ".", "", ". a a/b a/c a/d a/d/e a/d/e/f a-b a.x empty l p z z/keep z/keep/y z/other z/other/y"},
		{"nothing", "*", "/", "", "."},
		{"subtree", "", "../a", "", "a a/b a/c a/d a/d/e a/d/e/f"},
		{"file", "", "a.x", "", "a.x"},
		{"link itself", "", "l", "", "l"},
		{"brought back below", "*\n!a/d/e/f\n!z/keep", ".", "", ". a a/d a/d/e a/d/e/f z z/keep z/keep/y"},
		{"brought back in subtree", "*\n!a/d/e/f", "a/d", "", "a/d a/d/e a/d/e/f"},
		{"hidden subtree", "z", "z", "", ""},
		{"hidden subtree with deep rule", "z\n!**/nothing", "z", "", ""},
		{"excluded", "", "a", "d\n!d/e", "a a/b a/c a/d a/d/e a/d/e/f"},
		{"excluded files", "", "a", "**/f\nb", "a a/c a/d a/d/e"},
		{"excluded and ignored", "a/b", "a", "d", "a a/c"},
		{"later rule", "a\n!a/d\na/d/e", "a", "", "a a/d"},
	} {
		t.Run(c.name, func(t *testing.T) {
			tree := openTree(t, root, c.ignore)
			var o WalkOptions
			if c.exclude != "" {
				var err error
				if o.Exclude, err = NewIgnore(strings.Split(c.exclude, "\n")...); err != nil {
					t.Fatal(err)
				}
			}
			got := strings.Join(walkPaths(t, tree, c.top, o), " ")
			if got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
			for range tree.Walk(c.top, o) {
				break // stopping early leaves no worker behind
			}
		})
	}
}

// TestWalkAgreesWithRules walks a tree under many ignore files and compares with
// a verdict on each path alone: pruning and read-ahead must not change the set.
func TestWalkAgreesWithRules(t *testing.T) {
	var names []string
	for _, a := range []string{"a", "b", "src", "node_modules"} {
		for _, b := range []string{"a", "b", "keep", "x.o"} {
			for _, c := range []string{"a", "b", "x.o"} {
				names = append(names, a+"/"+b+".d/"+c, a+"/"+b+".d/sub/"+c, a+"/"+b)
			}
		}
	}
	slices.Sort(names)
	root := makeTree(t, slices.Compact(names)...)
	var all []string
	for _, p := range walkPaths(t, openTree(t, root, ""), ".", WalkOptions{}) {
		if p != "." {
			all = append(all, p)
		}
	}
	for _, text := range ignoreTexts {
		if g, err := ParseIgnore(strings.NewReader(text), ""); err != nil || g == nil {
			continue
		}
		tree := openTree(t, root, text)
		visible := map[string]bool{".": true}
		for _, p := range all {
			if _, hidden := tree.Ignored(p); !hidden {
				for q := p; !visible[q]; q = filepath.Dir(q) {
					visible[q] = true // a directory is there for what it holds
				}
			}
		}
		want := []string{"."}
		for _, p := range all {
			if visible[p] {
				want = append(want, p)
			}
		}
		if diff := cmp.Diff(want, walkPaths(t, tree, ".", WalkOptions{})); diff != "" {
			t.Errorf("%q: %s", text, diff)
		}
		for _, p := range all {
			if _, err := tree.Lstat(p); (err == nil) != visible[p] {
				t.Errorf("%q: Lstat %s: %v, visible %v", text, p, err, visible[p])
			}
		}
	}
}

func TestResolveStaysInside(t *testing.T) {
	outside := makeTree(t, "secret", "dir/secret")
	root := makeTree(t, "file", "dir/file", "etc/passwd", "deep/er/x",
		"up -> ../../../../../../etc/passwd", "abs -> /etc/passwd", "out -> "+outside+"/secret",
		"outdir -> "+outside, "outrel -> ../"+filepath.Base(outside)+"/dir", "loop -> loop", "a -> b", "b -> a",
		"chain -> chain2", "chain2 -> dir/../deep/er/../../dir/file", "dirlink -> dir", "slash -> /", "dangling -> nowhere", "through -> file/x")
	tree := openTree(t, root, "")
	for operand, want := range map[string]string{
		"file": "file", "../file": "file", "/file": "file", "./dir//file": "dir/file", "dir/../file": "file", "": ".", "/": ".", "..": ".",
		"up": "etc/passwd", "abs": "etc/passwd", "chain": "dir/file", "dirlink/file": "dir/file", "slash": ".", "slash/slash/dirlink/../file": "file",
		"out": "!", "outdir/secret": "!", "outrel/secret": "!", "loop": "!", "a": "!", "dangling": "!", "through": "!", "file/x": "!", "nowhere": "!", "nowhere/..": ".",
	} {
		got, err := tree.Resolve(operand)
		if (err != nil) != (want == "!") || err == nil && got != want {
			t.Errorf("Resolve(%q) = %q, %v; want %q", operand, got, err, want)
		}
		r, err := tree.Open(operand)
		if err != nil {
			continue
		}
		data, err := io.ReadAll(r)
		if err := r.Close(); err != nil {
			t.Error(err)
		}
		if string(data) != want || err != nil {
			t.Errorf("Open(%q) read %q, %v; want %q", operand, data, err, want)
		}
	}
	if _, err := tree.Stat("dangling"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a dangling link: %v, want not found", err)
	}
	if info, err := tree.Lstat("dirlink/file"); err != nil || info.Path != "dir/file" {
		t.Errorf("Lstat through a link: %+v, %v", info, err)
	}
	if target, err := tree.Readlink("up"); err != nil || target != "../../../../../../etc/passwd" {
		t.Errorf("Readlink: %q, %v", target, err)
	}
}

func TestHiddenLinks(t *testing.T) {
	root := makeTree(t, "secret/key", "pub/link -> ../secret/key", "pub/dir -> ../secret", "hidden -> pub", "pub/x")
	tree := openTree(t, root, "secret\nhidden\n")
	for _, operand := range []string{"secret", "secret/key", "pub/link", "pub/dir", "pub/dir/key", "hidden/x"} {
		_, err := tree.Stat(operand)
		var ignored *IgnoredError
		if !errors.As(err, &ignored) || !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v, want it hidden", operand, err)
			continue
		}
		if want := "it is excluded by .dockerignore:"; !strings.HasPrefix(ignored.Hint(), want) {
			t.Errorf("%s: hint %q", operand, ignored.Hint())
		}
	}
	if _, err := tree.Lstat("pub/link"); err != nil {
		t.Errorf("a link to something hidden is itself there: %v", err)
	}
}

// TestNothingHangs opens every kind of entry that could block or act.
func TestNothingHangs(t *testing.T) {
	root := makeTree(t, "p|", "l -> p", "d/")
	tree := openTree(t, root, "")
	done := make(chan struct{})
	go func() {
		defer close(done)
		for _, operand := range []string{"p", "l", "d"} {
			if r, err := tree.Open(operand); err == nil {
				r.Close()
				t.Errorf("Open(%s) succeeded", operand)
			}
			if _, err := tree.Hash(operand); err == nil {
				t.Errorf("Hash(%s) succeeded", operand)
			}
		}
		// A file that became a FIFO after it was looked at.
		os.WriteFile(filepath.Join(root, "f"), nil, 0o644)
		info, _ := tree.Stat("f")
		os.Remove(filepath.Join(root, "f"))
		unix.Mkfifo(filepath.Join(root, "f"), 0o644)
		if _, err := tree.OpenInfo(info); !errors.Is(err, ErrChanged) {
			t.Errorf("a swapped file: %v", err)
		}
	}()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("blocked")
	}
}

// TestSwappedParent replaces a directory by a link to the outside between the
// look and the open.
func TestSwappedParent(t *testing.T) {
	outside := makeTree(t, "f")
	root := makeTree(t, "d/f")
	tree := openTree(t, root, "")
	info, err := tree.Stat("d/f")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(root, "d"), filepath.Join(root, "moved")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "d")); err != nil {
		t.Fatal(err)
	}
	if r, err := tree.OpenInfo(info); err == nil {
		r.Close()
		t.Fatal("read through a link that leads outside")
	}
	if fd, err := openSteps(tree.fd, "d/f", unix.O_RDONLY); err == nil {
		unix.Close(fd)
		t.Fatal("the portable way read through a link that leads outside")
	}
}

func TestGlob(t *testing.T) {
	root := makeTree(t, "a.go", "b.go", "c.txt", "x/a.go", "x/y/a.go", "z/a.go", "link -> x", "d/link -> ../x", "[x].go", "a*b", "ign.go")
	tree := openTree(t, root, "ign.go\nz\n!z/a.go")
	for pattern, want := range map[string]string{
		"*.go": "[x].go a.go b.go", "*/a.go": "x/a.go z/a.go", "**/a.go": "x/a.go z/a.go", "link/*": "x/a.go x/y", "li*": "link", "li*/a.go": "",
		"x/*/a.go": "x/y/a.go", "[[]x].go": "[x].go", `a\*b`: "a*b", "../*.txt": "c.txt", "/x/?.go": "x/a.go", "nope*": "", "nope/*": "", "a.go/*": "", "?": "d x z", "[a-b].go": "a.go b.go",
	} {
		got, err := tree.Glob(pattern)
		if err != nil || strings.Join(got, " ") != want {
			t.Errorf("Glob(%q) = %q, %v; want %q", pattern, got, err, want)
		}
	}
	if _, err := tree.Glob("[a"); !errors.Is(err, filepath.ErrBadPattern) {
		t.Errorf("a malformed pattern: %v", err)
	}
}

func TestReadDir(t *testing.T) {
	root := makeTree(t, "b", "a/x", "c/keep", "h/x", "link -> .")
	tree := openTree(t, root, "b\nc\n!c/keep\nh\n!**/none")
	infos, err := tree.ReadDir("link")
	var got []string
	for _, info := range infos {
		got = append(got, fmt.Sprint(info.Path, ":", info.Type))
	}
	if want := "a:dir c:dir link:symlink"; err != nil || strings.Join(got, " ") != want {
		t.Errorf("got %q, %v; want %q", got, err, want)
	}
}

// TestDeepTree walks beyond the length that a path in one system call may have.
func TestDeepTree(t *testing.T) {
	root := t.TempDir()
	name := strings.Repeat("d", 200)
	fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	for range 30 {
		if err == nil {
			err = unix.Mkdirat(fd, name, 0o755)
		}
		var next int
		if err == nil {
			next, err = unix.Openat(fd, name, unix.O_RDONLY|unix.O_DIRECTORY, 0)
		}
		unix.Close(fd)
		fd = next
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if got := walkPaths(t, openTree(t, root, ""), ".", WalkOptions{}); len(got) != 31 {
		t.Errorf("%d entries, want 31", len(got))
	}
}
