package sandbox

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

func TestAttemptsFail(t *testing.T) {
	b := newBox(t)
	b.opts.Env = []string{probeVariable + "=attempts"}
	out, res, err := b.run("/bin/probe")
	if err != nil || res.Status != 0 {
		t.Fatalf("status %d, %v\n%s", res.Status, err, out)
	}
	got := map[string]string{}
	if err := json.Unmarshal([]byte(out), &got); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	denied := map[string]string{
		"clone3": "ENOSYS", "AF_INET": "ok", "kcore": "0", "descriptors": "0 1 2", "mknod": "EACCES",
		"read /proc/1/exe": "EACCES", "write /proc/1/exe": "EACCES", "read /proc/1/mem": "EACCES",
		"write sysrq-trigger": "EROFS", "write /proc/sys": "EROFS", "write core_pattern": "EROFS", "write /sys": "EROFS",
	}
	for name, g := range got {
		want := denied[name]
		if want == "" {
			want = "EPERM"
		}
		if name == "mknod" && g == "none" || name == "write /sys" && g == "ENOENT" || name == "write sysrq-trigger" && g == "ENOENT" {
			continue // a user namespace makes no nodes; what is not there cannot be written
		}
		if InUserNamespace() && want == "EROFS" && g == "EACCES" {
			continue // the host's root owns it
		}
		if g != want {
			t.Errorf("%s: %s, want %s", name, g, want)
		}
	}
}

func TestStatus(t *testing.T) {
	b := newBox(t)
	b.opts.Env = []string{probeVariable + "=exit"}
	for _, code := range []int{1, 2, 42, 125, 127, 128, 255} {
		_, res, err := b.run("/bin/probe", string([]byte{byte(code)}))
		if err != nil || res.Status != code || res.Signal != 0 {
			t.Errorf("exit %d: %+v, %v", code, res, err)
		}
	}
	if staticBusybox() == "" {
		return
	}
	for _, sig := range []int{1, 9, 15, 6} {
		_, res, err := b.run("sh", "-c", fmt.Sprintf("kill -%d $$", sig))
		if err != nil || res.Status != 128+sig || res.Signal != sig {
			t.Errorf("signal %d: %+v, %v", sig, res, err)
		}
	}
}

func TestCommandErrors(t *testing.T) {
	b := newBox(t)
	b.write("plain", "no program")
	b.write("bad", "no program")
	b.check(os.Chmod(filepath.Join(b.lower, "bad"), 0o755))
	b.write("script", "#!/not/there\n")
	b.check(os.Chmod(filepath.Join(b.lower, "script"), 0o755))
	for _, c := range []struct {
		name string
		want error
	}{
		{"nothing", ErrCommandNotFound}, {"/nothing", ErrCommandNotFound}, {"", ErrCommandNotFound}, {"/plain/x", ErrCommandNotFound},
		{"/plain", ErrCommandNotInvocable}, {"/bin", ErrCommandNotInvocable}, {"/bad", ErrCommandNotInvocable}, {"/script", ErrCommandNotFound},
	} {
		if _, _, err := b.run(c.name); !errors.Is(err, c.want) {
			t.Errorf("%q: %v, want %v", c.name, err, c.want)
		}
	}
}

func TestNamespacesAreOwn(t *testing.T) {
	b := newBox(t)
	out := b.sh("for n in pid mnt ipc uts net cgroup; do readlink /proc/self/ns/$n; done; hostname; ls /proc; ls /sys/class/net")
	for _, n := range []string{"pid", "mnt", "ipc", "uts", "net", "cgroup"} {
		host, err := os.Readlink("/proc/self/ns/" + n)
		b.check(err)
		if strings.Contains(out, host) || !strings.Contains(out, n+":[") {
			t.Errorf("namespace %s is the host's %s", n, host)
		}
	}
	if !strings.Contains(out, "\nbox\n") {
		t.Error("the host name is not the bundle's")
	}
	if strings.Contains(out, fmt.Sprintf("\n%d\n", os.Getpid())) {
		t.Error("the caller's process is visible")
	}
	if !strings.HasSuffix(out, "\nlo\n") {
		t.Errorf("there are other interfaces than lo:\n%s", out)
	}
}

func TestProcessStatus(t *testing.T) {
	b := newBox(t)
	out := b.sh("cat /proc/self/status; cat /proc/1/status; ls -l /proc/self/fd | wc -l")
	for _, want := range []string{
		"CapInh:\t0000000000000000", "CapPrm:\t" + boxCapsMask, "CapEff:\t" + boxCapsMask, "CapBnd:\t" + boxCapsMask,
		"CapAmb:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("/proc/self/status lacks %q", want)
		}
	}
	_, init, _ := strings.Cut(out[10:], "\nName:")
	for _, want := range []string{"CapPrm:\t0000000000000000", "CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"} {
		if !strings.Contains(init, want) {
			t.Errorf("/proc/1/status lacks %q", want)
		}
	}
}

func TestNothingLeaks(t *testing.T) {
	b := newBox(t)
	before := fingerprint(t, b.lower)
	canary := "canary-" + randomName()
	b.sh("echo x >/tmp/" + canary + "; echo y >/bin/probe; rm /bin/ls; mkdir -p /etc/new; ln -s /etc/passwd /out")
	if _, err := os.Stat("/tmp/" + canary); err == nil {
		t.Error("a file written inside is outside")
	}
	if _, err := os.Stat(filepath.Join(b.dir, "upper/tmp", canary)); err != nil {
		t.Errorf("the file is not in the upper directory: %v", err)
	}
	if after := fingerprint(t, b.lower); after != before {
		t.Error("the lower directory changed")
	}
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); bytes.Contains(mounts, []byte(filepath.Base(b.dir))) {
		t.Error("something stayed mounted")
	}
	for _, name := range []string{"dev", "proc", "sys", "etc/hosts", "etc/resolv.conf", "etc/hostname"} {
		if _, err := os.Lstat(filepath.Join(b.dir, "upper", name)); err == nil {
			t.Errorf("the mount point %s is in the upper directory", name)
		}
	}
}

// fingerprint is of all names, modes and contents of a tree.
func fingerprint(t *testing.T, dir string) string {
	h := sha256.New()
	err := filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		fmt.Fprintln(h, path, info.Mode(), info.Size(), info.ModTime().UnixNano())
		if info.Mode().IsRegular() {
			f, err := os.Open(path)
			if err != nil {
				return err
			}
			defer f.Close()
			_, err = io.Copy(h, f)
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestMountPointsBehindLinks has an image whose links lead the destinations of
// mounts elsewhere, and one that tries to lead them out.
func TestMountPointsBehindLinks(t *testing.T) {
	b := newBox(t)
	b.check(os.Symlink("../run/resolve/stub.conf", filepath.Join(b.lower, "etc/resolv.conf")))
	b.check(os.Symlink("/run", filepath.Join(b.lower, "var")))
	b.check(os.Symlink("../../../../../../tmp", filepath.Join(b.lower, "up")))
	outside := filepath.Join(b.dir, "volume")
	b.mkdir(outside)
	b.check(os.WriteFile(filepath.Join(outside, "f"), []byte("volume\n"), 0o644))
	b.opts.Mounts = []specs.Mount{
		{Destination: "/var/deep/data", Type: "bind", Source: outside, Options: []string{"rbind", "ro"}},
		{Destination: "/up/x/y", Type: "bind", Source: outside, Options: []string{"rbind", "ro"}},
	}
	out := b.sh("cat /run/deep/data/f /tmp/x/y/f; touch /run/deep/data/new 2>&1 || true; readlink /etc/resolv.conf; wc -c </etc/resolv.conf")
	if !strings.HasPrefix(out, "volume\nvolume\n") || !strings.Contains(out, "Read-only") || !strings.HasSuffix(out, "stub.conf\n0\n") {
		t.Errorf("unexpected:\n%s", out)
	}
	if _, err := os.Stat("/tmp/x/y"); err == nil {
		t.Error("a mount point was made outside")
	}
	if left, _ := os.ReadDir(filepath.Join(b.dir, "upper")); len(left) > 0 {
		t.Errorf("the upper directory has %v", left)
	}
}

// TestTerminalsOpen asks for a new terminal, as apt, script and sshd do.
func TestTerminalsOpen(t *testing.T) {
	b := newBox(t)
	if out := b.sh(": <>/dev/ptmx && ls /dev/pts"); out != "ptmx\n" {
		t.Errorf("unexpected:\n%s", out)
	}
}

func TestReadonlyRoot(t *testing.T) {
	b := newBox(t)
	b.opts.Readonly = true
	b.opts.Mounts = []specs.Mount{{Destination: "/scratch", Type: "tmpfs", Options: []string{"mode=1777"}}}
	out := b.sh("touch /x 2>&1; touch /scratch/y && echo written")
	if !strings.Contains(out, "Read-only file system") || !strings.Contains(out, "written") {
		t.Errorf("unexpected:\n%s", out)
	}
}

func TestInitReapsAndEndsWithTheCommand(t *testing.T) {
	b := newBox(t)
	out := b.sh("(sleep 0.1 & exec sleep 0.05) ; (sh -c 'sleep 0.01 &') ; sleep 0.3; ps")
	if strings.Contains(out, "Z") && strings.Contains(out, "[sleep]") {
		t.Errorf("zombies:\n%s", out)
	}
	start := time.Now()
	b.sh("sleep 100 & sleep 100 & true")
	if time.Since(start) > 20*time.Second {
		t.Error("background processes kept the container")
	}
}

func TestNoInit(t *testing.T) {
	b := newBox(t)
	b.opts.NoInit = true
	if out := b.sh("echo $$; ps"); !strings.HasPrefix(out, "1\n") || strings.Contains(out, "docksmith-init") {
		t.Errorf("unexpected:\n%s", out)
	}
}

func TestUsers(t *testing.T) {
	b := newBox(t)
	if len(ownIDs().uids) < 2 && InUserNamespace() {
		t.Skip("only one user id is mapped")
	}
	b.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n")
	b.write("etc/group", "root:x:0:\napp:x:1001:\nstaff:x:50:app,other\nwheel:x:60:app\n")
	for _, c := range []struct{ user, ids, groups, home string }{
		{"", "uid=0(root) gid=0(root) ", "", "/root"},
		{"app", "uid=1000(app) gid=1001(app) ", "50(staff) 60(wheel)", "/home/app"},
		{"app:staff", "uid=1000(app) gid=50(staff) ", "", "/home/app"},
		{"1000:1001", "uid=1000(app) gid=1001(app) ", "", "/home/app"},
		{"4321", "uid=4321 gid=0(root) ", "", "/"},
		{"4321:99", "uid=4321 gid=99 ", "", "/"},
	} {
		b.opts.User = c.user
		out := b.sh("echo $(id) $HOME; cat /proc/self/status")
		first, status, _ := strings.Cut(out, "\n")
		if !strings.HasPrefix(first, c.ids) || !strings.HasSuffix(first, " "+c.home) {
			t.Errorf("user %q: %q, want %q, home %s", c.user, first, c.ids, c.home)
		}
		for _, g := range strings.Fields(c.groups) {
			if !strings.Contains(first, g) {
				t.Errorf("user %q: %q lacks group %s", c.user, first, g)
			}
		}
		if !strings.HasPrefix(c.ids, "uid=0") && !strings.Contains(status, "CapEff:\t0000000000000000") {
			t.Errorf("user %q keeps capabilities:\n%s", c.user, status)
		}
	}
	for _, bad := range []string{"nobody-here", "4294967296", "app:nogroup", "-1"} {
		b.opts.User = bad
		if _, _, err := b.run("/bin/true"); err == nil {
			t.Errorf("user %q: no error", bad)
		}
	}
}

func TestLimits(t *testing.T) {
	b := newBox(t)
	b.opts.Limits = Limits{Memory: 32 << 20}
	if g, err := (cgroupPlan{resources: b.opts.Limits.resources(nil), name: randomName()}).make(); err != nil {
		t.Skipf("no memory limit here: %v", err)
	} else {
		g.remove()
	}
	if staticBusybox() == "" {
		t.Skip("no static busybox")
	}
	_, res, err := b.run("dd", "if=/dev/zero", "of=/dev/null", "bs=128M", "count=1")
	if err != nil || res.Status != 137 || !res.OOM || res.PeakMemory < 16<<20 || res.PeakMemory > 32<<20 {
		t.Errorf("%+v, %v", res, err)
	}
	if v := res.Verdicts; len(v) != 1 || v[0] != "killed: memory limit of 32 MiB: process 2 (dd)" {
		t.Errorf("%q", v)
	}
	b.opts.Limits = Limits{Pids: 4}
	out, _, err := b.run("sh", "-c", "for i in 1 2 3 4 5 6; do sleep 1 & done; wait")
	if err != nil || !strings.Contains(out, "can't fork") {
		t.Errorf("%v\n%s", err, out)
	}
	b.opts.Limits = Limits{CPUs: 0.5}
	if out := b.sh("cat /sys/fs/cgroup/cpu/cpu.cfs_quota_us /sys/fs/cgroup/cpu.max 2>/dev/null || true"); !strings.Contains(out, "50000") {
		t.Errorf("quota: %s", out)
	}
	left, _ := filepath.Glob("/sys/fs/cgroup/*/docksmith/*")
	for _, l := range left {
		if info, err := os.Stat(l); err == nil && info.IsDir() && time.Since(info.ModTime()) < time.Minute {
			t.Logf("cgroup %s is there (of another test?)", l)
		}
	}
}

func TestSupervisorKilled(t *testing.T) {
	b := newBox(t)
	if staticBusybox() == "" {
		t.Skip("no static busybox")
	}
	raw, err := json.Marshal(b.spec)
	b.check(err)
	b.check(os.WriteFile(filepath.Join(b.dir, "config.json"), raw, 0o600))
	self, err := os.Executable()
	b.check(err)
	cmd := exec.Command(self, b.dir)
	cmd.Env = append(os.Environ(), probeVariable+"=supervise")
	out, err := cmd.StdoutPipe()
	b.check(err)
	b.check(cmd.Start())
	var pid int
	buf := make([]byte, 4096)
	text := ""
	for !strings.Contains(text, "\npid ") || !strings.HasSuffix(text, "\n") {
		n, err := out.Read(buf)
		if err != nil {
			t.Fatalf("%v: %s", err, text)
		}
		text += string(buf[:n])
	}
	if _, err := fmt.Sscanf(text[strings.Index(text, "\npid ")+1:], "pid %d", &pid); err != nil {
		t.Fatal(err)
	}
	b.check(cmd.Process.Kill())
	_ = cmd.Wait()
	for range 200 {
		if unix.Kill(pid, 0) == unix.ESRCH {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Errorf("process %d outlived its supervisor", pid)
}

// probeSupervise runs what TestSupervisorKilled kills.
func probeSupervise(dir string) int {
	bundle, err := OpenBundle(dir)
	if err != nil {
		return say("open", err)
	}
	_, err = Run(context.Background(), bundle, Options{
		Args:    []string{"sh", "-c", "trap '' TERM HUP INT; while :; do sleep 1; done"},
		Started: func(pid int) { fmt.Printf("\npid %d\n", pid) },
	})
	return say("it ended by itself", err)
}

// BenchmarkRun is the whole of a container without the start of ds-exec.
func BenchmarkRun(b *testing.B) {
	if staticBusybox() == "" {
		b.Skip("no static busybox")
	}
	x := newBox(b)
	for b.Loop() {
		if _, res, err := x.run("/bin/true"); err != nil || res.Status != 0 {
			b.Fatalf("%+v, %v", res, err)
		}
	}
}
