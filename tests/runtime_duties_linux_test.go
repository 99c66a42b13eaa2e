package tests

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// A test for each thing that the OCI runtime specification says a runtime must
// do, of its documents on life cycle and on configuration for Linux: the name of
// a row is that of the section, and the duty in our words.

// bundle is one under test, with the runtime that it is for.
type bundle struct {
	*testing.T
	dir, id string
	*specs.Spec
}

var runtimeCaps = []string{"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_KILL", "CAP_SETUID", "CAP_SETGID", "CAP_MKNOD"}

func newBundle(t *testing.T) *bundle {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("for root: an ordinary user's containers are in the other tests")
	}
	busybox := staticProgram("busybox")
	if busybox == "" {
		t.Skip("there is no static busybox")
	}
	b := &bundle{T: t, dir: t.TempDir(), id: fmt.Sprintf("t%d", time.Now().UnixNano())}
	b.must(os.Chmod(b.dir, 0o755))
	for _, d := range []string{"bin", "etc", "tmp", "opt"} {
		b.must(os.MkdirAll(filepath.Join(b.dir, "rootfs", d), 0o755))
	}
	raw, err := os.ReadFile(busybox)
	b.must(err)
	b.must(os.WriteFile(filepath.Join(b.dir, "rootfs/bin/busybox"), raw, 0o755))
	for _, name := range strings.Fields("sh cat ls id sleep true false hostname readlink touch stat ps tty stty mkdir echo env grep wc mount dd mknod") {
		b.must(os.Symlink("busybox", filepath.Join(b.dir, "rootfs/bin", name)))
	}
	b.Spec = &specs.Spec{
		Version: "1.2.0", Hostname: "inside", Root: &specs.Root{Path: "rootfs"}, Annotations: map[string]string{"some": "note"},
		Process: &specs.Process{
			Args: []string{"sh", "-c", "true"}, Env: []string{"PATH=/bin"}, Cwd: "/", NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: runtimeCaps, Effective: runtimeCaps, Permitted: runtimeCaps},
		},
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		},
		Linux: &specs.Linux{Namespaces: []specs.LinuxNamespace{
			{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
		}},
	}
	t.Cleanup(func() { _, _ = b.call("delete", "--force", b.id) })
	return b
}

// staticProgram is one of the machine that runs in an empty root.
func staticProgram(name string) string {
	path, err := exec.LookPath(name)
	if err != nil {
		return ""
	}
	out, err := exec.Command("ldd", path).CombinedOutput()
	if err == nil && !bytes.Contains(out, []byte("not a dynamic")) {
		return ""
	}
	return path
}

func (b *bundle) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bundle) write() {
	b.Helper()
	raw, err := json.Marshal(b.Spec)
	b.must(err)
	b.must(os.WriteFile(filepath.Join(b.dir, "config.json"), raw, 0o600))
}

// call calls the runtime. What the container writes goes to the file out.
func (b *bundle) call(args ...string) (string, error) {
	cmd := exec.Command(filepath.Join(top, "bin/ds-runtime"), append([]string{"--root", filepath.Join(b.dir, "state")}, args...)...)
	var answer, told bytes.Buffer
	cmd.Stdout, cmd.Stderr = &answer, &told
	if args[0] == "create" { // whose streams the container keeps
		out, err := os.OpenFile(filepath.Join(b.dir, "out"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
		if err != nil {
			return "", err
		}
		errs, err := os.Create(filepath.Join(b.dir, "err"))
		if err != nil {
			return "", err
		}
		cmd.Stdout, cmd.Stderr = out, errs
		err = errors.Join(cmd.Run(), out.Close(), errs.Close())
		text, _ := os.ReadFile(filepath.Join(b.dir, "err"))
		if err != nil {
			err = fmt.Errorf("%w: %s", err, text)
		}
		return string(text), err
	}
	err := cmd.Run()
	if err != nil {
		err = fmt.Errorf("%w: %s", err, told.String())
	}
	return answer.String() + told.String(), err
}

func (b *bundle) ok(args ...string) string {
	b.Helper()
	out, err := b.call(args...)
	if err != nil {
		b.Fatalf("%s: %v", strings.Join(args, " "), err)
	}
	return out
}

// fails expects an error that has some words in it.
func (b *bundle) fails(words string, args ...string) {
	b.Helper()
	if out, err := b.call(args...); err == nil || !strings.Contains(err.Error(), words) {
		b.Errorf("%s: %v, want an error with %q\n%s", strings.Join(args, " "), err, words, out)
	}
}

func (b *bundle) create() { b.Helper(); b.write(); b.ok("create", "--bundle", b.dir, b.id) }

// refused expects create to fail, and nothing to be left of it.
func (b *bundle) refused(words string) {
	b.Helper()
	b.write()
	b.fails(words, "create", "--bundle", b.dir, b.id)
	b.fails("no such container", "state", b.id)
}

// status is that of the container, or "" when there is none.
func (b *bundle) state() (s specs.State) {
	b.Helper()
	out, err := b.call("state", b.id)
	if err == nil {
		b.must(json.Unmarshal([]byte(out), &s))
	}
	return s
}

// runs runs a shell command as the container and gives what it writes.
func (b *bundle) runs(command string) string {
	b.Helper()
	b.Process.Args = []string{"sh", "-c", command}
	b.create()
	b.ok("start", b.id)
	b.ends()
	b.ok("delete", b.id)
	out := b.written()
	b.must(os.Remove(filepath.Join(b.dir, "out")))
	return out
}

func (b *bundle) ends() {
	b.Helper()
	for range 1000 {
		if b.state().Status == specs.StateStopped {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	b.Fatal("the container does not end")
}

func (b *bundle) written() string {
	raw, err := os.ReadFile(filepath.Join(b.dir, "out"))
	b.must(err)
	return string(raw)
}

// prints expects a command to write exactly this.
func (b *bundle) prints(command, want string) {
	b.Helper()
	if got := b.runs(command); got != want {
		b.Errorf("%s: %q, want %q", command, got, want)
	}
}

// has expects a command to write this, among other things.
func (b *bundle) has(command string, want ...string) {
	b.Helper()
	got := b.runs(command)
	for _, w := range want {
		if !strings.Contains(got, w) {
			b.Errorf("%s: %q is missing in\n%s", command, w, got)
		}
	}
}

// duty is one row.
type duty struct {
	section, must string
	check         func(b *bundle)
}

func TestRuntimeSpecification(t *testing.T) {
	for _, list := range [][]duty{lifecycleDuties, hookDuties, processDuties, mountDuties, linuxDuties} {
		for _, d := range list {
			t.Run(d.section+"/"+d.must, func(t *testing.T) { d.check(newBundle(t)) })
		}
	}
}
