package tests

import (
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// engine is podman with a store of its own, and with ds-runtime.
type engine struct {
	*testing.T
	dir    string
	limits []string
}

func newEngine(t *testing.T) *engine {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("for root")
	}
	for _, program := range []string{"podman", "conmon"} {
		if _, err := exec.LookPath(program); err != nil {
			t.Skipf("there is no %s", program)
		}
	}
	// Sockets lie deep in there, and their paths are short.
	dir, err := os.MkdirTemp("/tmp", "dsp")
	if err != nil {
		t.Fatal(err)
	}
	e := &engine{T: t, dir: dir, limits: []string{"--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024", "--network", "none"}}
	t.Cleanup(func() {
		_, _ = e.call("rm", "--all", "--force", "--time", "0")
		_, _ = e.call("system", "prune", "--all", "--force")
		mounts, _ := filepath.Glob(dir + "/r/overlay")
		for _, m := range mounts {
			_ = exec.Command("umount", m).Run()
		}
		_ = os.RemoveAll(dir)
	})
	return e
}

func (e *engine) command(args ...string) *exec.Cmd {
	return exec.Command("podman", append([]string{
		"--root", e.dir + "/r", "--runroot", e.dir + "/rr", "--tmpdir", e.dir + "/t", "--cgroup-manager", "cgroupfs",
		"--runtime", filepath.Join(top, "bin/ds-runtime"),
	}, args...)...)
}

func (e *engine) call(args ...string) (string, error) {
	cmd := e.command(args...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	if err != nil {
		return out.String() + errs.String(), err
	}
	return out.String(), nil
}

func (e *engine) ok(args ...string) string {
	e.Helper()
	out, err := e.call(args...)
	if err != nil {
		e.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// run runs a container with options, of an image, to its end.
func (e *engine) run(options []string, image string, command ...string) (string, error) {
	args := append(append(append([]string{"run", "--rm"}, e.limits...), options...), image)
	return e.call(append(args, command...)...)
}

func (e *engine) prints(want string, options []string, image string, command ...string) {
	e.Helper()
	if out, err := e.run(options, image, command...); err != nil || !strings.Contains(out, want) {
		e.Errorf("podman run %v %s %v: %v, want %q in\n%s", options, image, command, err, want, out)
	}
}

// importBusybox makes the image "box".
func (e *engine) importBusybox() {
	e.Helper()
	busybox := staticProgram("busybox")
	if busybox == "" {
		e.Skip("there is no static busybox")
	}
	raw, err := os.ReadFile(busybox)
	if err != nil {
		e.Fatal(err)
	}
	root := e.TempDir()
	for _, d := range []string{"bin", "tmp", "etc", "opt"} {
		if err := os.Mkdir(filepath.Join(root, d), 0o755); err != nil {
			e.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(root, "bin/busybox"), raw, 0o755); err != nil {
		e.Fatal(err)
	}
	for _, name := range strings.Fields("sh cat ls id sleep true touch ps tty env mount grep") {
		if err := os.Symlink("busybox", filepath.Join(root, "bin", name)); err != nil {
			e.Fatal(err)
		}
	}
	tar := filepath.Join(e.dir, "box.tar")
	if out, err := exec.Command("tar", "-C", root, "-cf", tar, ".").CombinedOutput(); err != nil {
		e.Fatalf("%v\n%s", err, out)
	}
	e.ok("import", tar, "box")
}

func TestPodmanRunsOnOurRuntime(t *testing.T) {
	e := newEngine(t)
	e.importBusybox()
	data := t.TempDir()
	if err := os.WriteFile(filepath.Join(data, "f"), []byte("text\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	e.prints("hello\n", nil, "box", "sh", "-c", "echo hello")
	if _, err := e.run(nil, "box", "sh", "-c", "exit 7"); err == nil || err.Error() != "exit status 7" {
		t.Errorf("status: %v", err)
	}
	e.prints("67108864", []string{"-m", "64m"}, "box", "sh", "-c", "cat /sys/fs/cgroup/memory/memory.limit_in_bytes /sys/fs/cgroup/memory.max 2>/dev/null; true")
	e.prints("33\n", []string{"--pids-limit", "33"}, "box", "sh", "-c", "cat /sys/fs/cgroup/pids/pids.max /sys/fs/cgroup/pids.max 2>/dev/null; true")
	e.prints("Read-only", []string{"--read-only"}, "box", "sh", "-c", "touch /tmp/x && touch /x 2>&1; true")
	e.prints("text\n", []string{"-v", data + ":/data:ro"}, "box", "sh", "-c", "cat /data/f; touch /data/g 2>&1 || true")
	e.prints("uid=1000 gid=1001", []string{"--user", "1000:1001"}, "box", "id")
	e.prints("0     100000      65536", []string{"--uidmap", "0:100000:65536"}, "box", "cat", "/proc/self/uid_map")
	e.prints("NoNewPrivs:\t1", []string{"--security-opt", "no-new-privileges", "--cap-drop", "all"}, "box", "cat", "/proc/self/status")
	if init := staticProgram("tini-static"); init != "" {
		e.prints("podman-init", []string{"--init", "--init-path", init}, "box", "ps")
	}
}

func TestPodmanKeepsContainersOnOurRuntime(t *testing.T) {
	e := newEngine(t)
	e.importBusybox()
	e.ok(append(append([]string{"run", "-d", "--name", "c"}, e.limits...), "box", "sh", "-c", "trap 'echo bye; exit 3' TERM; echo started; while :; do sleep 0.1; done")...)
	for range 100 {
		if strings.Contains(e.ok("logs", "c"), "started") {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	if out := e.ok("exec", "c", "ps"); !strings.Contains(out, "trap") {
		t.Errorf("exec sees other processes:\n%s", out)
	}
	if out := e.ok("exec", "--user", "5", "--env", "A=b", "--workdir", "/opt", "c", "sh", "-c", "id; echo $A; pwd"); !strings.Contains(out, "uid=5") || !strings.HasSuffix(out, "b\n/opt\n") {
		t.Errorf("exec: %s", out)
	}
	if out := e.ok("exec", "-t", "c", "tty"); !strings.Contains(out, "/dev/pts/") {
		t.Errorf("exec -t: %s", out)
	}
	if _, err := e.call("exec", "c", "sh", "-c", "exit 9"); err == nil || err.Error() != "exit status 9" {
		t.Errorf("exec: %v", err)
	}
	e.ok("stop", "--time", "5", "c")
	if out := e.ok("inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", "c"); out != "exited 3\n" {
		t.Errorf("after stop: %s", out)
	}
	if out := e.ok("logs", "c"); out != "started\nbye\n" {
		t.Errorf("logs: %q", out)
	}
	e.ok("start", "c")
	e.ok("kill", "--signal", "KILL", "c")
	e.ok("rm", "--force", "c")
	if list, _ := os.ReadDir("/run/ds-runtime"); len(list) > 0 {
		for _, d := range list {
			if !strings.HasPrefix(d.Name(), ".") {
				t.Logf("there is the state of %s (of another test?)", d.Name())
			}
		}
	}
}

func TestPodmanHasATerminalOnOurRuntime(t *testing.T) {
	e := newEngine(t)
	if _, err := exec.LookPath("script"); err != nil {
		t.Skip("there is no script(1)")
	}
	e.importBusybox()
	// It ends when it is told to: what is written just before the end of a
	// container, engines may lose.
	const command = `'tty; ls -l /dev/console; read x; [ "$x" = over ] && exit 7'`
	line := strings.Join(e.command(append(append([]string{"run", "--rm", "-it"}, e.limits...), "box", "sh", "-c", command)...).Args, " ")
	cmd := exec.Command("script", "-qec", line, "/dev/null")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	var seen []byte
	for buf := make([]byte, 4096); err == nil; {
		var n int
		n, err = out.Read(buf)
		if seen = append(seen, buf[:n]...); bytes.Contains(seen, []byte("/dev/pts/0")) && bytes.Contains(seen, []byte("136,   0")) {
			_, err = io.WriteString(in, "over\n")
			break
		}
	}
	if err != nil {
		t.Errorf("%v\n%s", err, seen)
	}
	in.Close()
	_, _ = io.Copy(io.Discard, out)
	if err := cmd.Wait(); cmd.ProcessState.ExitCode() != 7 {
		t.Errorf("%v\n%s", err, seen)
	}
}

// TestPodmanRunsOurImages has images that we build or have, by way of archives.
func TestPodmanRunsOurImages(t *testing.T) {
	e := newEngine(t)
	busybox := staticProgram("busybox")
	if busybox == "" {
		t.Skip("there is no static busybox")
	}
	store := append(os.Environ(), "DOCKSMITH_ROOT="+e.dir+"/store")
	context := t.TempDir()
	copyFile(t, busybox, filepath.Join(context, "busybox"))
	for name, c := range map[string]struct{ file, want string }{
		"scratch": {"FROM scratch\nCOPY busybox /bin/echo\nENTRYPOINT [\"/bin/echo\", \"scratch\"]\nCMD [\"runs\"]\n", "scratch runs\n"},
		"user":    {"FROM scratch\nCOPY busybox /bin/id\nUSER 1000:1001\nENTRYPOINT [\"/bin/id\"]\n", "uid=1000 gid=1001"},
		"workdir": {"FROM scratch\nCOPY busybox /bin/pwd\nWORKDIR /some/where\nCMD [\"/bin/pwd\"]\n", "/some/where\n"},
		"steps":   {"FROM scratch\nCOPY busybox /bin/sh\nRUN echo made >/made\nENV A=b\nCMD read m </made; echo $m $A\n", "made b\n"},
	} {
		file := filepath.Join(t.TempDir(), "Dockerfile")
		if err := os.WriteFile(file, []byte(c.file), 0o644); err != nil {
			t.Fatal(err)
		}
		archive := filepath.Join(e.dir, name+".tar")
		for _, args := range [][]string{{"build", "-q", "-t", "test/" + name + ":1", "-f", file, context}, {"export", "-o", archive, "test/" + name + ":1"}} {
			cmd := exec.Command(filepath.Join(top, "bin/docksmith"), args...)
			cmd.Env = store
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("docksmith %v: %v\n%s", args, err, out)
			}
		}
		e.ok("load", "-i", archive)
		image := strings.TrimSpace(e.ok("images", "--quiet", "--filter", "reference=*test/"+name+"*"))
		e.prints(c.want, nil, image)
	}
	base := os.Getenv("DOCKSMITH_TEST_DEBIAN")
	if base == "" {
		t.Skip("DOCKSMITH_TEST_DEBIAN is not set: no Debian image is tried")
	}
	e.ok("import", base, "debian")
	e.prints("Debian", nil, "debian", "sh", "-c", "cat /etc/os-release; apt-get --version >/dev/null && dpkg -l | wc -l")
}

func copyFile(t *testing.T, from, to string) {
	t.Helper()
	raw, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, raw, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
}
