//go:build unix

package rootfs

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// openers are the two resolvers; both must pass every test.
func openers() map[string]opener {
	return map[string]opener{"default": defaultOpener(), "walking": openWalking}
}

// testRoot makes a root with a secret beside it.
func testRoot(t *testing.T, open opener) (*Root, string) {
	t.Helper()
	top := t.TempDir()
	dir := filepath.Join(top, "root")
	for _, d := range []string{"a/b/c", "usr/lib", "etc"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(path, text string) {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(top, "secret"), "secret")
	write(filepath.Join(dir, "a/file"), "file")
	write(filepath.Join(dir, "usr/lib/lib.so"), "lib")
	for name, to := range map[string]string{
		"lib": "/usr/lib", "rel": "usr/lib", "up": "../../../../usr/lib", "out": "../secret", "outabs": top + "/secret",
		"loop1": "loop2", "loop2": "loop1", "self": "self", "dangling": "/new/place", "chain": "rel", "a/back": "../a/b",
		"slash": "usr/lib/", "tofile": "a/file", "tofileslash": "a/file/", "root": "/", "dot": ".", "magic": "/proc/self/root",
		"a/b/c/dots": "../../../../../a/file",
	} {
		if err := os.Symlink(to, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	r.open = open
	t.Cleanup(func() { r.Close() })
	return r, dir
}

func TestOpenFile(t *testing.T) {
	for name, open := range openers() {
		t.Run(name, func(t *testing.T) {
			r, _ := testRoot(t, open)
			for path, want := range map[string]string{
				"a/file": "file", "/a/file": "file", "../../a/file": "file", "a/b/../file": "file", "a//./file": "file",
				"lib/lib.so": "lib", "/lib/lib.so": "lib", "rel/lib.so": "lib", "up/lib.so": "lib", "chain/lib.so": "lib",
				"a/back/../file": "file", "slash/lib.so": "lib", "tofile": "file", "root/a/file": "file", "dot/a/file": "file",
				"a/b/c/dots": "file", "root/root/root/lib/lib.so": "lib", strings.Repeat("a/../", 2000) + "a/file": "file",
			} {
				f, err := r.OpenFile(path, unix.O_RDONLY, 0)
				if err != nil {
					t.Errorf("%.40s: %v", path, err)
					continue
				}
				b := make([]byte, 16)
				n, _ := f.Read(b)
				f.Close()
				if string(b[:n]) != want {
					t.Errorf("%.40s: %q, want %q", path, b[:n], want)
				}
			}
			for path, want := range map[string]error{
				"out": unix.ENOENT, "outabs": unix.ENOENT, "../secret": unix.ENOENT, "loop1": unix.ELOOP, "self": unix.ELOOP,
				"self/x": unix.ELOOP, "dangling": unix.ENOENT, "a/file/x": unix.ENOTDIR, "a/file/": unix.ENOTDIR, "a/file/..": unix.ENOTDIR,
				"tofileslash": unix.ENOTDIR, "nope/x": unix.ENOENT, "magic/etc": unix.ENOENT, "a\x00b": unix.EINVAL,
				strings.Repeat("n", 300): unix.ENAMETOOLONG,
			} {
				f, err := r.OpenFile(path, unix.O_RDONLY, 0)
				if !errors.Is(err, want) {
					t.Errorf("%.40q: %v, want %v", path, err, want)
				}
				if err == nil {
					f.Close()
				}
			}
		})
	}
}

func TestOpenCreates(t *testing.T) {
	for name, open := range openers() {
		t.Run(name, func(t *testing.T) {
			r, dir := testRoot(t, open)
			if err := os.Symlink("/etc/made", filepath.Join(dir, "mk")); err != nil {
				t.Fatal(err)
			}
			f, err := r.OpenFile("mk", unix.O_WRONLY|unix.O_CREAT, 0o600)
			if err != nil {
				t.Fatal(err)
			}
			f.Close()
			if _, err := os.Lstat(filepath.Join(dir, "etc/made")); err != nil {
				t.Error(err)
			}
			if _, err := r.OpenFile("mk", unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL, 0o600); !errors.Is(err, unix.EEXIST) {
				t.Errorf("exclusive: %v", err)
			}
			if _, err := r.OpenFile("lib", unix.O_RDONLY|unix.O_NOFOLLOW, 0); !errors.Is(err, unix.ELOOP) {
				t.Errorf("no follow: %v", err)
			}
		})
	}
}

func TestParent(t *testing.T) {
	for name, open := range openers() {
		t.Run(name, func(t *testing.T) {
			r, dir := testRoot(t, open)
			for path, want := range map[string][2]string{ // directory, base
				"a/file": {"a", "file"}, "lib/new": {"usr/lib", "new"}, "lib": {".", "lib"}, "/": {".", "."}, "": {".", "."}, "..": {".", "."},
				"a/b/..": {"a", "."}, "a/b/": {"a", "b"}, "a/.": {"a", "."}, "up/x": {"usr/lib", "x"}, "a/back/..": {"a", "."}, "../../x": {".", "x"},
			} {
				fd, base, err := r.Parent(path)
				if err != nil {
					t.Errorf("%q: %v", path, err)
					continue
				}
				var got, st unix.Stat_t
				if err := errors.Join(unix.Fstat(fd, &got), unix.Stat(filepath.Join(dir, want[0]), &st)); err != nil {
					t.Fatal(err)
				}
				if got.Ino != st.Ino || base != want[1] {
					t.Errorf("%q: base %q, want %v", path, base, want)
				}
			}
		})
	}
}

// TestParentOpensOncePerDirectory counts what a sorted archive costs.
func TestParentOpensOncePerDirectory(t *testing.T) {
	r, dir := testRoot(t, defaultOpener())
	n := 0
	open := r.open
	r.open = func(root int, path string, flags int, perm uint32) (int, error) {
		n++
		return open(root, path, flags, perm)
	}
	for _, d := range []string{"x", "y", "z"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			if _, _, err := r.Parent(d + "/file"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != 3 {
		t.Errorf("%d opens for 3 directories", n)
	}
}

func TestResolveAndMkdirAll(t *testing.T) {
	for name, open := range openers() {
		t.Run(name, func(t *testing.T) {
			r, dir := testRoot(t, open)
			for path, want := range map[string]string{
				"": "/", "/": "/", "lib/x": "/usr/lib/x", "up/../x": "/usr/x", "dangling": "/new/place", "dangling/more/../x": "/new/place/x",
				"no/such/../thing": "/no/thing", "../..": "/", "a/file": "/a/file", "out": "/secret",
			} {
				if got, err := r.Resolve(path); err != nil || got != want {
					t.Errorf("%q: %q %v, want %q", path, got, err, want)
				}
			}
			if _, err := r.Resolve("loop1/x"); !errors.Is(err, unix.ELOOP) {
				t.Errorf("loop: %v", err)
			}
			for path, made := range map[string]string{"p/q/r": "p/q/r", "lib/sub/dir": "usr/lib/sub/dir", "dangling/deep": "new/place/deep", "out/x": "secret/x", "a/b": "a/b"} {
				if err := r.MkdirAll(path, 0o755); err != nil {
					t.Errorf("%q: %v", path, err)
				}
				if fi, err := os.Lstat(filepath.Join(dir, made)); err != nil || !fi.IsDir() {
					t.Errorf("%q: %v", path, err)
				}
			}
			if err := r.MkdirAll("a/file/x", 0o755); !errors.Is(err, unix.ENOTDIR) {
				t.Errorf("below a file: %v", err)
			}
		})
	}
}

func TestStat(t *testing.T) {
	r, _ := testRoot(t, defaultOpener())
	if st, err := r.Stat("lib/lib.so"); err != nil || st.Size != 3 {
		t.Errorf("%d %v", st.Size, err)
	}
	if st, err := r.Lstat("lib"); err != nil || st.Mode&unix.S_IFMT != unix.S_IFLNK {
		t.Errorf("%o %v", st.Mode, err)
	}
	if s, err := r.Readlink("lib"); err != nil || s != "/usr/lib" {
		t.Errorf("%q %v", s, err)
	}
	list, err := r.ReadDir("lib")
	if err != nil || len(list) != 1 || list[0].Name() != "lib.so" {
		t.Errorf("%v %v", list, err)
	}
}

// TestRemoveAll removes a tree that is deeper than any path and than the number of
// descriptors a process may have, and nothing else.
func TestRemoveAll(t *testing.T) {
	r, dir := testRoot(t, defaultOpener())
	if err := os.Mkdir(filepath.Join(dir, "deep"), 0o755); err != nil {
		t.Fatal(err)
	}
	fd, err := unix.Open(filepath.Join(dir, "deep"), unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	for i := 0; i < 5000 && err == nil; i++ {
		if err = unix.Mkdirat(fd, "d", 0o755); err == nil {
			_ = unix.Symlinkat("/a", fd, "link")
			next, e := unix.Openat(fd, "d", unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
			unix.Close(fd)
			fd, err = next, e
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(fd)
	if err := r.RemoveAll("deep"); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveAll("deep/not/there"); err != nil {
		t.Error(err)
	}
	if err := r.RemoveAll("/"); err == nil {
		t.Error("the root was removed")
	}
	if _, err := os.Lstat(filepath.Join(dir, "deep")); !os.IsNotExist(err) {
		t.Errorf("deep: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(dir, "a/file")); err != nil {
		t.Error(err)
	}
	// What its owner has locked goes too.
	locked := filepath.Join(dir, "locked/in")
	if err := errors.Join(os.MkdirAll(locked, 0o755), os.WriteFile(locked+"/f", nil, 0), os.Chmod(locked, 0), os.Chmod(filepath.Dir(locked), 0o500)); err != nil {
		t.Fatal(err)
	}
	if err := r.RemoveAll("locked"); err != nil {
		t.Error(err)
	}
}

// TestRace: somebody flips a directory and a link to the outside while we work.
// DOCKSMITH_TEST_LONG makes it a minute.
func TestRace(t *testing.T) {
	length := 2 * time.Second
	if os.Getenv("DOCKSMITH_TEST_LONG") != "" {
		length = time.Minute
	}
	for name, open := range openers() {
		t.Run(name, func(t *testing.T) {
			r, dir := testRoot(t, open)
			top := filepath.Dir(dir)
			if err := os.Mkdir(filepath.Join(top, "outside"), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(os.Mkdir(filepath.Join(dir, "flip"), 0o755), os.Symlink("../outside", filepath.Join(dir, "evil"))); err != nil {
				t.Fatal(err)
			}
			var stop atomic.Bool
			done := make(chan struct{})
			go func() {
				defer close(done)
				for !stop.Load() { // flip and evil change places, and flip leaves the root and comes back
					swap(filepath.Join(dir, "flip"), filepath.Join(dir, "evil"))
					os.Rename(filepath.Join(dir, "a/b"), filepath.Join(top, "outside/b"))
					os.Rename(filepath.Join(top, "outside/b"), filepath.Join(dir, "a/b"))
				}
			}()
			for end := time.Now().Add(length / 2); time.Now().Before(end); {
				for _, path := range []string{"flip/x", "a/b/c/../../../flip/x", "a/b/../../secret", "evil/x"} {
					if f, err := r.OpenFile(path, unix.O_WRONLY|unix.O_CREAT, 0o600); err == nil {
						f.Close()
					}
					r.MkdirAll(path+"dir/y", 0o755)
					r.Forget()
					r.RemoveAll(path + "dir")
				}
			}
			stop.Store(true)
			<-done
			list, err := os.ReadDir(filepath.Join(top, "outside"))
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range list {
				if d.Name() != "b" {
					t.Errorf("outside now has %s", d.Name())
				}
			}
			if b, err := os.ReadFile(filepath.Join(top, "secret")); err != nil || string(b) != "secret" {
				t.Errorf("the secret: %q %v", b, err)
			}
		})
	}
}

func swap(a, b string) {
	os.Rename(a, a+".tmp")
	os.Rename(b, a)
	os.Rename(a+".tmp", b)
}
