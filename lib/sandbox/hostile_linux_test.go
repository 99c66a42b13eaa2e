package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// TestPivotFailureIsFatal runs where pivot_root fails, as it does on an
// initramfs. The command must not run at all.
func TestPivotFailureIsFatal(t *testing.T) {
	b := newBox(t)
	b.spec.Process.Args = []string{"/bin/probe", "*"}
	b.spec.Process.Env = []string{probeVariable + "=exit"}
	raw, err := json.Marshal(b.spec)
	b.check(err)
	b.check(os.WriteFile(filepath.Join(b.dir, "config.json"), raw, 0o600))
	self, err := os.Executable()
	b.check(err)
	cmd := exec.Command(self, b.dir)
	cmd.Env = append(os.Environ(), probeVariable+"=pivot")
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte("refused: not on this machine: pivot_root: no buffer space")) {
		t.Errorf("%v\n%s", err, out)
	}
}

// probePivot runs the bundle dir while pivot_root is forbidden with an error of
// its own, and prints what Run says.
func probePivot(dir string) int {
	errno := uint(unix.ENOBUFS)
	filter, err := compileSeccomp(&specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Syscalls: []specs.LinuxSyscall{
		{Names: []string{"pivot_root"}, Action: specs.ActErrno, ErrnoRet: &errno},
	}}, nil)
	if err != nil {
		return say("filter", err)
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	const threadSync = 1
	if _, _, e := syscall.Syscall(unix.SYS_SECCOMP, seccompSetModeFilter, threadSync, uintptr(unsafe.Pointer(&prog))); e != 0 {
		return say("install the filter", e)
	}
	b, err := OpenBundle(dir)
	if err != nil {
		return say("open", err)
	}
	defer b.Close()
	res, err := Run(context.Background(), b, Options{})
	if err == nil || res.Status != 125 {
		return say("the command ran", err)
	}
	fmt.Println("refused:", err)
	return 0
}

func say(what string, err error) int {
	fmt.Println(what, err)
	return 1
}

// TestMountDestinationRace lets a link and a directory change places where a
// volume is mounted, with the link leading outside. Whatever the volume meets,
// it is never the host's.
func TestMountDestinationRace(t *testing.T) {
	b := newBox(t)
	b.spec.Annotations = nil
	root := filepath.Join(b.dir, "rootfs")
	b.check(os.Rename(b.lower, root))
	b.lower = root
	outside, volume := filepath.Join(b.dir, "outside"), filepath.Join(b.dir, "volume")
	for _, d := range []string{outside + "/target", volume, root + "/d/target"} {
		b.mkdir(d)
	}
	b.check(os.WriteFile(outside+"/target/canary", []byte("x"), 0o600))
	b.check(os.Symlink(outside, root+"/link"))
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				_ = unix.Renameat2(unix.AT_FDCWD, root+"/d", unix.AT_FDCWD, root+"/link", unix.RENAME_EXCHANGE)
			}
		}
	}()
	defer func() { close(stop); <-stopped }()
	b.opts.Mounts = []specs.Mount{{Destination: "/d/target/made/x", Type: "bind", Source: volume, Options: []string{"rbind"}}}
	b.opts.Env = []string{probeVariable + "=exit"}
	ran := 0
	for deadline := time.Now().Add(3 * time.Second); time.Now().Before(deadline); {
		if _, res, err := b.run("/bin/probe", "*"); err == nil && res.Status == '*' {
			ran++
		}
		entries, err := os.ReadDir(outside + "/target")
		if err != nil || len(entries) != 1 || entries[0].Name() != "canary" {
			t.Fatalf("outside has changed: %v, %v", entries, err)
		}
	}
	t.Logf("%d containers ran", ran)
}

func TestHostileBundles(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *box)
		want   string
	}{
		"upper leads out": {func(b *box) {
			b.check(os.Remove(filepath.Join(b.dir, "upper")))
			b.check(os.Symlink("/tmp", filepath.Join(b.dir, "upper")))
		}, "upper directory"},
		"upper climbs out": {func(b *box) { b.spec.Annotations[AnnotationUpper] = "../.." }, "upper directory"},
		"work is missing":  {func(b *box) { delete(b.spec.Annotations, AnnotationWork) }, "belong together"},
		"lower is missing": {func(b *box) { b.spec.Annotations[AnnotationLower] = "/not/there" }, "lower directory"},
		"root is a link": {func(b *box) {
			b.spec.Annotations = nil
			b.check(os.Symlink("/", filepath.Join(b.dir, "rootfs")))
		}, "root"},
		"proc is a link": {func(b *box) {
			b.check(os.Symlink("tmp", filepath.Join(b.lower, "proc")))
		}, "symbolic link"},
		"destination is the root": {func(b *box) {
			b.opts.Mounts = []specs.Mount{{Destination: "/x/..", Type: "tmpfs"}}
		}, "destination"},
		"second proc": {func(b *box) {
			b.opts.Mounts = []specs.Mount{{Destination: "/x", Type: "proc"}}
		}, "only one proc"},
		"disk": {func(b *box) {
			b.spec.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/../etc/passwd", Type: "b", Major: 8}}
		}, "must be in /dev"},
		"sysctl of the machine":             {func(b *box) { b.spec.Linux.Sysctl = map[string]string{"kernel.panic": "1"} }, "not the container's own"},
		"sysctl climbs out":                 {func(b *box) { b.spec.Linux.Sysctl = map[string]string{"net/../kernel/panic": "1"} }, "not the container's own"},
		"working directory of a descriptor": {func(b *box) { b.opts.Cwd = "/proc/self/fd/9" }, "working directory"},
		"user namespace without ids": {func(b *box) {
			b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		}, "uidMappings"},
		"too long a command line": {func(b *box) { b.opts.Env = []string{"A=" + strings.Repeat("x", 9<<20)} }, "too long"},
	} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			if name == "user namespace without ids" && InUserNamespace() {
				t.Skip("for root")
			}
			c.change(b)
			out, res, err := b.run("/bin/true")
			if err == nil || res.Status != 125 || !strings.Contains(err.Error(), c.want) {
				t.Errorf("status %d, %v, want %q\n%s", res.Status, err, c.want, out)
			}
			if errors.Is(err, ErrCommandNotFound) {
				t.Error("the container was made")
			}
		})
	}
}

// TestSpecSeccomp has a filter of the bundle's own that leaves hardly anything.
func TestSpecSeccomp(t *testing.T) {
	b := newBox(t)
	errno := uint(unix.ENOTTY)
	b.spec.Linux.Seccomp = &specs.LinuxSeccomp{
		DefaultAction: specs.ActAllow,
		Syscalls:      []specs.LinuxSyscall{{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: &errno}},
	}
	out := b.sh("mkdir /x 2>&1 || true")
	if !strings.Contains(strings.ToLower(out), "ioctl") && !strings.Contains(out, "tty") {
		t.Errorf("mkdir: %s", out)
	}
	b.spec.Process.NoNewPrivileges = false
	if out := b.sh("cat /proc/self/status"); !strings.Contains(out, "NoNewPrivs:\t0") || !strings.Contains(out, "Seccomp:\t2") {
		t.Errorf("without no_new_privs:\n%s", out)
	}
}

func TestProcessAttributes(t *testing.T) {
	b := newBox(t)
	umask, adj := uint32(0o27), 500
	b.spec.Process.User.Umask = &umask
	b.spec.Process.OOMScoreAdj = &adj
	b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 100, Hard: 200}, {Type: "RLIMIT_CORE"}}
	b.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77", "kernel.shmmni": "99"}
	b.spec.Domainname = "example"
	b.opts.Cwd = "/made/here"
	out := b.sh("umask; cat /proc/self/oom_score_adj; ulimit -n; cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmni /proc/sys/kernel/domainname; pwd")
	if want := "0027\n500\n100\n77\n99\nexample\n/made/here\n"; out != want {
		t.Errorf("%q, want %q", out, want)
	}
	b.spec.Process.Rlimits = nil
	if out := b.sh("ulimit -n"); out != "1024\n" {
		t.Errorf("soft limit of files: %s", out)
	}
}

func TestPlainRootIsLeftAsItWas(t *testing.T) {
	b := newBox(t)
	b.spec.Annotations = nil
	root := filepath.Join(b.dir, "rootfs")
	b.check(os.Rename(b.lower, root))
	b.lower = root
	before := names(t, root)
	b.opts.Readonly = true
	b.opts.Mounts = []specs.Mount{{Destination: "/a/b/c", Type: "tmpfs"}}
	b.sh("ls /a/b/c /dev /proc")
	if after := names(t, root); after != before {
		t.Errorf("before:\n%s\nafter:\n%s", before, after)
	}
}

func names(t *testing.T, dir string) string {
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		fmt.Fprintln(&b, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestSharedNamespaces(t *testing.T) {
	b := newBox(t)
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/dev/mqueue", Type: "mqueue"})
	b.opts.NoNamespaces = true
	var warned []string
	b.opts.Warn = func(s string) { warned = append(warned, s) }
	out := b.sh("for n in net ipc mnt; do readlink /proc/self/ns/$n; done; cat /bin/probe >/dev/null")
	for _, n := range []string{"net", "ipc"} {
		host, err := os.Readlink("/proc/self/ns/" + n)
		b.check(err)
		if !strings.Contains(out, host) {
			t.Errorf("namespace %s is not the caller's:\n%s", n, out)
		}
	}
	if host, _ := os.Readlink("/proc/self/ns/mnt"); strings.Contains(out, host) {
		t.Error("the mount namespace is the caller's")
	}
	if len(warned) != 1 {
		t.Errorf("warnings %q", warned)
	}
}
