package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestApplyRace: somebody flips directories and links to the outside while layers
// are applied. DOCKSMITH_TEST_LONG makes it a minute.
func TestApplyRace(t *testing.T) {
	length := 2 * time.Second
	if os.Getenv("DOCKSMITH_TEST_LONG") != "" {
		length = time.Minute
	}
	a := newArena(t)
	var stop atomic.Bool
	done := make(chan struct{})
	go func() {
		defer close(done)
		d, l := filepath.Join(a.root, "d"), filepath.Join(a.root, "l")
		for !stop.Load() {
			os.Mkdir(d, 0o755)
			os.Symlink("../canary", l)
			os.Rename(d, d+"1")
			os.Rename(l, d)
			os.Remove(filepath.Join(a.root, "f"))
			os.Symlink("../canary/secret", filepath.Join(a.root, "f"))
			os.Rename(d, l)
			os.Rename(d+"1", d)
		}
	}()
	b := rawTar(
		rawMember{name: "d/", flag: '5', mode: 0o777, uid: 3, mtime: 5}, tFile("d/secret", "x"), rawMember{name: "f", data: "x", mode: 0o777, uid: 4},
		tFile("d/dir/secret", "x"), tFile("d/.wh.passwd", ""), tFile("d/dir/.wh..wh..opq", ""), tLink("h", "d/secret"), tFile("h", "y"),
		rawMember{name: "d/dir/", flag: '5', mode: 0o700, pax: []string{"SCHILY.xattr.user.x=y"}}, tFile(".wh.d", ""),
	)
	n, ok := 0, 0
	for end := time.Now().Add(length); time.Now().Before(end); n++ {
		if err := Apply(context.Background(), bytes.NewReader(b), a.root, ApplyOptions{}); err == nil {
			ok++
		}
	}
	stop.Store(true)
	<-done
	a.check()
	t.Logf("%d of %d applied", ok, n)
}

// TestNoPrograms: reading a layer never executes anything, so nothing in an image or on
// PATH can take a decompressor's place.
func TestNoPrograms(t *testing.T) {
	for _, dir := range []string{".", "../rootfs"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil || len(files) == 0 {
			t.Fatal(err)
		}
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			f, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ImportsOnly)
			if err != nil {
				t.Fatal(err)
			}
			for _, imp := range f.Imports {
				switch imp.Path.Value {
				case `"os/exec"`, `"plugin"`, `"net"`, `"net/http"`, `"C"`:
					t.Errorf("%s imports %s", name, imp.Path.Value)
				}
			}
		}
	}
}

// TestApplyIsLinear: twice the entries are twice the work, for the shapes that have
// been superlinear elsewhere. Allocations stand for steps: they do not depend on the machine's load.
func TestApplyIsLinear(t *testing.T) {
	many := func(n int, f func(i int) rawMember) []rawMember {
		var list []rawMember
		for i := range n {
			list = append(list, f(i))
		}
		return list
	}
	for name, shape := range map[string]func(n int) []rawMember{
		"files": func(n int) []rawMember {
			return many(n, func(i int) rawMember { return tFile(fmt.Sprint("d/", i), "") })
		},
		"one name": func(n int) []rawMember { return many(n, func(i int) rawMember { return tFile("f", "x") }) },
		"flips": func(n int) []rawMember {
			return many(n, func(i int) rawMember { return []rawMember{tDir("d"), tSym("d", "x")}[i%2] })
		},
		"hard links": func(n int) []rawMember {
			return append([]rawMember{tFile("f", "")}, many(n, func(i int) rawMember { return tLink(fmt.Sprint("l", i), "f") })...)
		},
		"whiteouts": func(n int) []rawMember {
			return many(n, func(i int) rawMember { return tFile(fmt.Sprint("d/.wh.", i), "") })
		},
		"files and marks": func(n int) []rawMember {
			return many(n, func(i int) rawMember {
				return []rawMember{tFile(fmt.Sprint("d/e/", i), ""), tFile("d/.wh..wh..opq", ""), tFile(".wh.d", "")}[i%3]
			})
		},
		"directories": func(n int) []rawMember { return many(n, func(i int) rawMember { return tDir(fmt.Sprint("d", i)) }) },
		"far apart": func(n int) []rawMember {
			return many(n, func(i int) rawMember { return tFile(fmt.Sprint(i%7, "/", i%5, "/", i), "") })
		},
		"records": func(n int) []rawMember {
			return many(n, func(i int) rawMember { return rawMember{name: fmt.Sprint(i), pax: []string{"comment=x", "mtime=1.5"}} })
		},
	} {
		t.Run(name, func(t *testing.T) {
			cost := func(n int) float64 {
				base, b := rawTar(tDir("d"), tFile("d/old", "")), rawTar(shape(n)...)
				dir := t.TempDir()
				if err := Apply(context.Background(), bytes.NewReader(base), dir, ApplyOptions{}); err != nil {
					t.Fatal(err)
				}
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				if err := Apply(context.Background(), bytes.NewReader(b), dir, ApplyOptions{}); err != nil {
					t.Fatal(err)
				}
				runtime.ReadMemStats(&after)
				return float64(after.Mallocs - before.Mallocs)
			}
			one, two := cost(300), cost(600)
			if two > 2.4*one {
				t.Errorf("%.0f allocations for n, %.0f for 2n", one, two)
			}
		})
	}
}

// TestApplyKeepsOwners: what may not be given away says whose it is meant to be.
func TestApplyKeepsOwners(t *testing.T) {
	dir := t.TempDir()
	b := rawTar(rawMember{name: "d/", flag: '5', mode: 0o755, uid: 12, gid: 34}, rawMember{name: "d/f", uid: 56, gid: 78, mode: 0o4755},
		rawMember{name: "d/ro", uid: 9, gid: 9, mode: 0o444, pax: []string{"SCHILY.xattr.user.x=y"}}, rawMember{name: "d/shut/", flag: '5', uid: 8, gid: 8, mode: 0o555},
		rawMember{name: "d/shut/", flag: '5', uid: 7, gid: 7, mode: 0o500})
	t.Cleanup(func() { unlock(dir) })
	if err := Apply(context.Background(), bytes.NewReader(b), dir, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	if err := Create(context.Background(), &out, dir, CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	list, err := readAll(out.Bytes(), ReaderOptions{})
	got := strings.Join(list, "\n")
	if err != nil || !strings.Contains(got, `"d" dir 755 12:34`) || !strings.Contains(got, `"d/f" file 4755 56:78`) ||
		!strings.Contains(got, `"d/ro" file 444 9:9`) || !strings.Contains(got, `"d/shut" dir 500 7:7`) || !strings.Contains(got, "user.x=y") {
		if _, xerr := unix.Lgetxattr(filepath.Join(dir, "d"), OwnerXattr, nil); errors.Is(xerr, unix.ENOTSUP) {
			t.Skip("this file system keeps no user attributes")
		}
		t.Errorf("%v\n%s", err, got)
	}
}

// TestApplyWarns: what is left out is told once for each kind.
func TestApplyWarns(t *testing.T) {
	var said []string
	b := rawTar(
		rawMember{name: "a", pax: []string{"SCHILY.xattr.trusted.overlay.opaque=y"}}, rawMember{name: "b", pax: []string{"SCHILY.xattr.trusted.overlay.opaque=y"}},
	)
	b = append(b, []byte("more")...)
	if err := Apply(context.Background(), bytes.NewReader(b), t.TempDir(), ApplyOptions{Warn: func(s string) { said = append(said, s) }}); err != nil {
		t.Fatal(err)
	}
	if len(said) != 2 || !strings.Contains(strings.Join(said, "\n"), `"a" and 1 more: attribute trusted.overlay.opaque left out`) {
		t.Errorf("%q", said)
	}
}

// TestApplyModesOfOthers: an ordinary user can fill a directory that its mode closes.
func TestApplyModesOfOthers(t *testing.T) {
	dir := t.TempDir()
	t.Cleanup(func() { unlock(dir) })
	b := rawTar(rawMember{name: "shut/", flag: '5', mode: 0o100, mtime: 9}, tFile("shut/f", "x"), rawMember{name: "shut/in/", flag: '5', mode: 0o555}, tFile("shut/in/g", "x"))
	if err := Apply(context.Background(), bytes.NewReader(b), dir, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Lstat(filepath.Join(dir, "shut"))
	if err != nil || fi.Mode().Perm() != 0o100 || fi.ModTime().Unix() != 9 {
		t.Errorf("%v %v", fi.Mode(), err)
	}
	if fi, err := os.Lstat(filepath.Join(dir, "shut/in")); err != nil || fi.Mode().Perm() != 0o555 {
		t.Errorf("%v", err)
	}
	// A later layer works in it as well, and leaves the modes as they were.
	b = rawTar(tFile("shut/in/h", "y"), tFile("shut/in/.wh.g", ""))
	if err := Apply(context.Background(), bytes.NewReader(b), dir, ApplyOptions{}); err != nil {
		t.Fatal(err)
	}
	if fi, err := os.Lstat(filepath.Join(dir, "shut/in")); err != nil || fi.Mode().Perm() != 0o555 {
		t.Errorf("%v", err)
	}
}

// TestCat: one file of a merged view.
func TestCat(t *testing.T) {
	layers := [][]byte{
		rawTar(tFile("etc/passwd", "old"), tFile("etc/pass", "short"), tFile("etc/gone", "x"), tFile("d/f", "in d"), tFile("o/f", "hidden"), tSym("lib", "/usr/lib"), tFile("usr/lib/so", "so")),
		rawTar(tFile("etc/passwd", "first"), tFile("etc/passwd", "new"), tFile("etc/.wh.pass", ""), tFile("etc/.wh.gone", ""), tFile("d", "a file"), tFile("o/.wh..wh..opq", ""), tFile("o/g", "seen"), tLink("hard", "etc/passwd"), tSym("sym", "etc/passwd")),
	}
	for path, want := range map[string]string{"etc/passwd": "new", "/etc/passwd": "new", "o/g": "seen", "hard": "new", "lib/so": "so", "d": "a file"} {
		var b bytes.Buffer
		if err := Cat(context.Background(), &b, openers(layers), path); err != nil || b.String() != want {
			t.Errorf("%s: %q %v", path, b.String(), err)
		}
	}
	for _, path := range []string{"etc/pass", "etc/gone", "d/f", "o/f", "none", "none/x"} {
		var b bytes.Buffer
		if err := Cat(context.Background(), &b, openers(layers), path); !errors.Is(err, fs.ErrNotExist) || b.Len() > 0 {
			t.Errorf("%s: %q %v", path, b.String(), err)
		}
	}
	for _, path := range []string{"sym", "etc", "../etc/passwd", ""} {
		if err := Cat(context.Background(), &bytes.Buffer{}, openers(layers), path); err == nil || errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%q: %v", path, err)
		}
	}
}
