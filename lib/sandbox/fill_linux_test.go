package sandbox

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// fill mounts a new directory of the host, to be filled, and gives its path.
func (b *box) fill(dest string, options ...string) string {
	b.t.Helper()
	dir := filepath.Join(b.t.TempDir(), "volume")
	b.mkdir(dir)
	b.opts.Mounts = append(b.opts.Mounts, specs.Mount{
		Destination: dest, Type: "bind", Source: dir, Options: append([]string{"rbind", OptionFill}, options...),
	})
	return dir
}

func TestFill(t *testing.T) {
	b := newBox(t)
	app := filepath.Join(b.lower, "app")
	b.mkdir(filepath.Join(app, "sub"))
	b.write("app/sub/file", "text")
	b.check(os.Chmod(filepath.Join(app, "sub/file"), 0o641))
	b.check(os.Symlink("/etc/hosts", filepath.Join(app, "link")))
	b.check(unix.Mkfifo(filepath.Join(app, "fifo"), 0o600))
	_ = unix.Mknod(filepath.Join(app, "device"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))) // not in every user namespace
	owners := unix.Chown(filepath.Join(app, "sub/file"), 33, 44) == nil && unix.Chown(app, 33, 33) == nil
	b.check(os.Chmod(app, 0o710))
	attribute := unix.Setxattr(filepath.Join(app, "sub/file"), "user.x", []byte("y"), 0) == nil
	dir := b.fill("/app", "ro")
	if out := b.sh("cat /app/sub/file; touch /app/new || echo read-only"); !strings.HasPrefix(out, "text") || !strings.Contains(out, "read-only") {
		t.Errorf("%q", out)
	}
	list, err := os.ReadDir(dir)
	b.check(err)
	var got []string
	for _, d := range list {
		got = append(got, d.Name())
	}
	if strings.Join(got, " ") != "fifo link sub" {
		t.Errorf("%q", got)
	}
	var st, top unix.Stat_t
	b.check(unix.Lstat(filepath.Join(dir, "sub/file"), &st))
	b.check(unix.Lstat(dir, &top))
	if st.Mode&0o7777 != 0o641 || top.Mode&0o7777 != 0o710 || owners && (st.Uid != 33 || st.Gid != 44 || top.Uid != 33) {
		t.Errorf("%+v, %+v", st, top)
	}
	value := make([]byte, 9)
	if n, err := unix.Lgetxattr(filepath.Join(dir, "sub/file"), "user.x", value); attribute && (err != nil || string(value[:n]) != "y") {
		t.Errorf("attribute %q, %v", value[:max(n, 0)], err)
	}
	// What has something in it is left alone.
	b.check(os.RemoveAll(filepath.Join(dir, "sub")))
	b.sh("ls /app")
	if _, err := os.Lstat(filepath.Join(dir, "sub")); err == nil {
		t.Error("filled a second time")
	}
}

// TestFillHostile has images whose links lead out of them where a volume is
// mounted and filled.
func TestFillHostile(t *testing.T) {
	outside := t.TempDir()
	if err := os.WriteFile(filepath.Join(outside, "secret"), []byte("s"), 0o600); err != nil {
		t.Fatal(err)
	}
	up := "../../../../../../../../../../.."
	for name, target := range map[string]string{
		"absolute": outside, "upwards": up + outside, "through": "/inner" + "/x",
		"root": "/", "proc": "/proc/self/root" + outside, "descriptor": "/proc/self/fd", "self": "self",
	} {
		b := newBox(t)
		b.check(os.Symlink(up+outside, filepath.Join(b.lower, "inner")))
		b.mkdir(filepath.Join(b.lower, "d"))
		b.check(os.Symlink(target, filepath.Join(b.lower, "d", name)))
		b.check(os.Symlink(outside+"/secret", filepath.Join(b.lower, "d", "file")))
		dir := b.fill("/d/" + name)
		_, res, err := b.run("/bin/true")
		t.Logf("%s: status %d, %v", name, res.Status, err)
		if list, _ := filepath.Glob(filepath.Join(dir, "*", "kernel")); len(list) > 0 {
			t.Errorf("%s: what is mounted in the root was copied, too", name)
		}
		for _, path := range []string{filepath.Join(dir, "secret"), filepath.Join(outside, "x"), filepath.Join(outside, "made")} {
			if _, err := os.Lstat(path); err == nil {
				t.Errorf("%s: %s", name, path)
			}
		}
		if left, err := os.ReadDir(outside); err != nil || len(left) != 1 {
			t.Errorf("%s: outside has %v, %v", name, left, err)
		}
		// A link in what is copied stays a link.
		whole := b.fill("/d")
		b.opts.Mounts = b.opts.Mounts[1:]
		if _, _, err := b.run("/bin/true"); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if got, err := os.Readlink(filepath.Join(whole, "file")); err != nil || got != outside+"/secret" {
			t.Errorf("%s: copied as %q, %v", name, got, err)
		}
	}
}

func TestFillRefused(t *testing.T) {
	b := newBox(t)
	b.opts.Mounts = []specs.Mount{{Destination: "/x", Type: "tmpfs", Options: []string{OptionFill}}}
	if _, _, err := b.run("/bin/true"); err == nil || !strings.Contains(err.Error(), "is not filled") {
		t.Errorf("%v", err)
	}
}

// TestFillRace lets what a volume covers and a link that leads outside change
// places while it is filled. Nothing from outside gets into the volume, and
// nothing is made there.
func TestFillRace(t *testing.T) {
	b := newBox(t)
	b.spec.Annotations = nil
	root, outside := filepath.Join(b.dir, "rootfs"), filepath.Join(b.dir, "outside")
	b.check(os.Rename(b.lower, root))
	b.lower = root
	for _, d := range []string{"a/sub", "sub"} { // as the link is read outside, and inside
		b.mkdir(filepath.Join(root, "d", d))
		b.mkdir(filepath.Join(outside, d))
		b.check(os.WriteFile(filepath.Join(outside, d, "canary"), []byte("x"), 0o600))
	}
	b.check(os.Symlink(outside, filepath.Join(root, "link")))
	b.check(os.Symlink(outside+"/sub", filepath.Join(root, "below")))
	d, err := os.Open(filepath.Join(root, "d"))
	b.check(err)
	defer d.Close()
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			if i%3 == 0 {
				_ = unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+"/link", unix.RENAME_EXCHANGE)
			} else {
				_ = unix.Renameat2(int(d.Fd()), "sub", unix.AT_FDCWD, root+"/below", unix.RENAME_EXCHANGE)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	b.opts.Env = []string{probeVariable + "=exit"}
	ran := 0
	for deadline := time.Now().Add(2 * time.Second); time.Now().Before(deadline); {
		b.opts.Mounts = nil
		dir := b.fill("/d")
		if _, res, err := b.run("/bin/probe", "*"); err == nil && res.Status == '*' {
			ran++
		}
		b.check(filepath.WalkDir(dir, func(path string, _ fs.DirEntry, err error) error {
			if filepath.Base(path) == "canary" {
				t.Fatalf("from outside: %s", path)
			}
			return err
		}))
		if entries, err := os.ReadDir(outside); err != nil || len(entries) != 2 {
			t.Fatalf("outside has changed: %v, %v", entries, err)
		}
	}
	t.Logf("%d containers ran", ran)
}

// TestCopyFollowsNoLink has links where a moment ago there was something else.
func TestCopyFollowsNoLink(t *testing.T) {
	dir := t.TempDir()
	for _, d := range []string{"from", "to", "outside"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "outside", "canary"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fds := [2]int{}
	for i, name := range []string{"from", "to"} {
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		fds[i] = int(f.Fd())
	}
	for name, target := range map[string]string{"dir": "outside", "file": "outside/canary"} {
		if err := os.Symlink(filepath.Join(dir, target), filepath.Join(dir, "from", name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := copyDir(fds[0], fds[1], "dir"); err == nil {
		t.Error("a link was entered")
	}
	if err := copyFile(fds[0], fds[1], "file", &unix.Stat_t{}); err == nil {
		t.Error("a link was read")
	}
	if found, _ := filepath.Glob(filepath.Join(dir, "to", "*", "canary")); len(found) > 0 {
		t.Errorf("copied: %s", found)
	}
	// Nor is what is already there written through.
	if err := os.Symlink(filepath.Join(dir, "outside"), filepath.Join(dir, "to", "taken")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "from", "taken"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := copyDir(fds[0], fds[1], "taken"); err == nil {
		t.Error("a link in the volume was taken for the directory")
	}
}
