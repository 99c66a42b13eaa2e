//go:build unix

package rootfs

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

const passwd = `root:x:0:0:root:/root:/bin/sh
# a comment:x:5:5::/:
1000:x:0:0:a trap:/trap:/bin/sh
app:x:1000:1000:App:/home/app:/bin/sh
big:x:4294967296:0::/:
minus:x:-1:0::/:
svc:x:77:88::/srv:/bin/false
`

const group = `root:x:0:
app:x:1000:
staff:x:50:app,svc
wheel:x:10:svc,app
dup:x:50:app
bad:x:4294967295:app
almost:x:60:application
`

func userRoot(t *testing.T) (*Root, string) {
	t.Helper()
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte(passwd), 0o644)
	os.WriteFile(filepath.Join(dir, "etc/group"), []byte(group), 0o644)
	r, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { r.Close() })
	return r, dir
}

func TestLookupUser(t *testing.T) {
	r, _ := userRoot(t)
	for spec, want := range map[string]User{
		"":           {0, 0, []uint32{0}, "/root"},
		"0":          {0, 0, []uint32{0}, "/root"},
		"root":       {0, 0, []uint32{0}, "/root"},
		"app":        {1000, 1000, []uint32{1000, 50, 10}, "/home/app"},
		"1000":       {1000, 1000, []uint32{1000, 50, 10}, "/home/app"},
		"01000":      {1000, 1000, []uint32{1000, 50, 10}, "/home/app"},
		"app:staff":  {1000, 50, []uint32{50}, "/home/app"},
		"app:0":      {1000, 0, []uint32{0}, "/home/app"},
		"4242":       {4242, 0, []uint32{0}, "/"},
		"4242:4343":  {4242, 4343, []uint32{4343}, "/"},
		"svc":        {77, 88, []uint32{88, 50, 10}, "/srv"},
		"4294967294": {4294967294, 0, []uint32{0}, "/"},
	} {
		got, err := r.LookupUser(spec)
		if err != nil || got.UID != want.UID || got.GID != want.GID || got.Home != want.Home || !slices.Equal(got.Groups, want.Groups) {
			t.Errorf("%q: %+v %v, want %+v", spec, got, err, want)
		}
	}
	for _, spec := range []string{"4294967295", "4294967296", "18446744073709551616", "-1", "+1", "0x0", "nobody", "app:nogroup", "app:bad",
		"app:4294967295", "big", "minus", "app:", ":", "a:b:c", "1000 ", "root\x00"} {
		if u, err := r.LookupUser(spec); err == nil {
			t.Errorf("%q: %+v", spec, u)
		}
	}
}

// TestLookupUserHostileFiles: what stands in place of the files neither hangs nor leaks.
func TestLookupUserHostileFiles(t *testing.T) {
	for name, put := range map[string]func(path string) error{
		"fifo":      func(p string) error { return unix.Mkfifo(p, 0o644) },
		"directory": func(p string) error { return os.Mkdir(p, 0o755) },
		"socket":    func(p string) error { return unix.Mknod(p, unix.S_IFSOCK|0o644, 0) },
		"huge":      func(p string) error { return os.WriteFile(p, []byte(strings.Repeat("x:x:1:1::/:\n", 1<<17)), 0o644) },
		"sparse": func(p string) error {
			f, err := os.Create(p)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(1 << 40)
		},
		"loop": func(p string) error { return os.Symlink(filepath.Base(p), p) },
	} {
		for _, file := range []string{"etc/passwd", "etc/group"} {
			t.Run(name+" "+file, func(t *testing.T) {
				r, dir := userRoot(t)
				p := filepath.Join(dir, file)
				os.Remove(p)
				if err := put(p); err != nil {
					t.Skipf("cannot make a %s: %v", name, err)
				}
				done := make(chan error, 1)
				go func() { _, err := r.LookupUser("app"); done <- err }()
				select {
				case err := <-done:
					if err == nil {
						t.Error("accepted")
					}
				case <-time.After(10 * time.Second):
					t.Fatal("it hangs")
				}
			})
		}
	}
	t.Run("link outside", func(t *testing.T) {
		r, dir := userRoot(t)
		outside := filepath.Join(t.TempDir(), "passwd")
		os.WriteFile(outside, []byte("app:x:666:666::/:\n"), 0o644)
		os.Remove(filepath.Join(dir, "etc/passwd"))
		if err := os.Symlink(outside, filepath.Join(dir, "etc/passwd")); err != nil {
			t.Fatal(err)
		}
		if u, err := r.LookupUser("app"); err == nil {
			t.Errorf("%+v", u)
		}
		os.MkdirAll(filepath.Join(dir, "store"), 0o755)
		os.WriteFile(filepath.Join(dir, "store/passwd"), []byte("app:x:55:55::/:\n"), 0o644)
		os.Remove(filepath.Join(dir, "etc/passwd"))
		os.Symlink("/store/passwd", filepath.Join(dir, "etc/passwd"))
		if u, err := r.LookupUser("app"); err != nil || u.UID != 55 {
			t.Errorf("%+v %v", u, err)
		}
	})
}

func FuzzLookupUser(f *testing.F) {
	f.Add(passwd, group, "app")
	f.Fuzz(func(t *testing.T, passwd, group, spec string) {
		u, _, err := findUser([]byte(passwd), spec)
		if err == nil && isNumber(spec) {
			if id, err := parseID(spec); err != nil || u.UID != id {
				t.Errorf("%q gave %d", spec, u.UID)
			}
		}
		memberships([]byte(group), spec, 0)
	})
}
