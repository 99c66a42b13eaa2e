package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// box is a bundle under test.
type box struct {
	t     testing.TB
	dir   string
	lower string
	spec  *specs.Spec
	opts  Options
}

var boxCaps = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FSETID", "CAP_FOWNER", "CAP_MKNOD", "CAP_NET_RAW", "CAP_SETGID",
	"CAP_SETUID", "CAP_SETFCAP", "CAP_SETPCAP", "CAP_NET_BIND_SERVICE", "CAP_SYS_CHROOT", "CAP_KILL", "CAP_AUDIT_WRITE",
}

// boxCapsMask is the same as the kernel shows it.
const boxCapsMask = "00000000a80425fb"

// newBox makes a bundle with an overlay over a busybox.
func newBox(t testing.TB) *box {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("neither root nor a user namespace")
	}
	if err := tryOverlay(t.TempDir()); err != nil {
		t.Skipf("no overlay: %v", err)
	}
	b := &box{t: t, dir: t.TempDir()}
	b.lower = filepath.Join(b.dir, "image:with\\odd,name")
	for _, d := range []string{"upper", "work", "image:with\\odd,name/bin", "image:with\\odd,name/etc", "image:with\\odd,name/tmp"} {
		b.mkdir(filepath.Join(b.dir, d))
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	b.copy(self, "/bin/probe")
	if busybox := staticBusybox(); busybox != "" {
		b.copy(busybox, "/bin/busybox")
		for _, n := range strings.Fields("sh cat ls id sleep true hostname kill touch rm readlink wc ps mkdir ln dd head") {
			b.check(os.Symlink("busybox", filepath.Join(b.lower, "bin", n)))
		}
	}
	b.spec = &specs.Spec{
		Version: "1.2.0",
		Process: &specs.Process{
			Args: []string{"/bin/true"}, Env: []string{"PATH=/bin"}, Cwd: "/", NoNewPrivileges: true,
			Capabilities: &specs.LinuxCapabilities{Bounding: boxCaps, Effective: boxCaps, Permitted: boxCaps},
		},
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: "box",
		Mounts: []specs.Mount{
			{Destination: "/proc", Type: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
			{Destination: "/dev", Type: "tmpfs", Options: []string{"nosuid", "mode=755", "size=65536k"}},
			{Destination: "/dev/pts", Type: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
			{Destination: "/dev/shm", Type: "tmpfs", Options: []string{"nosuid", "noexec", "nodev", "mode=1777"}},
			{Destination: "/sys", Type: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
			{Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"ro"}},
		},
		Linux: &specs.Linux{
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.PIDNamespace}, {Type: specs.IPCNamespace}, {Type: specs.UTSNamespace}, {Type: specs.MountNamespace},
				{Type: specs.NetworkNamespace}, {Type: specs.CgroupNamespace},
			},
			MaskedPaths:   []string{"/proc/kcore", "/proc/keys", "/proc/acpi", "/sys/firmware", "/proc/not-there"},
			ReadonlyPaths: []string{"/proc/sys", "/proc/sysrq-trigger", "/proc/irq"},
		},
		Annotations: map[string]string{
			AnnotationLower: strings.NewReplacer(`\`, `\\`, `:`, `\:`).Replace(b.lower), AnnotationUpper: "upper", AnnotationWork: "work",
		},
	}
	return b
}

// staticBusybox is one of the machine that runs in an empty root.
func staticBusybox() string {
	for _, p := range []string{"/bin/busybox", "/usr/bin/busybox"} {
		if out, err := exec.Command("ldd", p).CombinedOutput(); err != nil || bytes.Contains(out, []byte("not a dynamic")) {
			if _, err := os.Stat(p); err == nil {
				return p
			}
		}
	}
	return ""
}

func (b *box) check(err error) {
	b.t.Helper()
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *box) mkdir(path string) { b.t.Helper(); b.check(os.MkdirAll(path, 0o755)) }

func (b *box) copy(from, to string) {
	b.t.Helper()
	src, err := os.Open(from)
	b.check(err)
	defer src.Close()
	dst, err := os.OpenFile(filepath.Join(b.lower, to), os.O_CREATE|os.O_WRONLY|os.O_EXCL, 0o755)
	b.check(err)
	_, err = io.Copy(dst, src)
	b.check(errors.Join(err, dst.Close()))
}

func (b *box) write(path, text string) {
	b.t.Helper()
	b.check(os.WriteFile(filepath.Join(b.lower, path), []byte(text), 0o644))
}

// run runs a command and gives its output.
func (b *box) run(args ...string) (string, Result, error) {
	b.t.Helper()
	raw, err := json.Marshal(b.spec)
	b.check(err)
	b.check(os.WriteFile(filepath.Join(b.dir, "config.json"), raw, 0o600))
	bundle, err := OpenBundle(b.dir)
	if err != nil {
		return "", Result{Status: 125}, err
	}
	defer bundle.Close()
	r, w, err := os.Pipe()
	b.check(err)
	var out bytes.Buffer
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(&out, r) }()
	null, err := os.Open("/dev/null")
	b.check(err)
	defer null.Close()
	o := b.opts
	o.Args = args
	if o.Stdin == nil {
		o.Stdin = null
	}
	o.Stdout, o.Stderr = w, w
	res, err := Run(b.t.Context(), bundle, o)
	w.Close()
	<-done
	r.Close()
	return out.String(), res, err
}

// sh runs a shell command that must succeed.
func (b *box) sh(command string) string {
	b.t.Helper()
	if staticBusybox() == "" {
		b.t.Skip("no static busybox")
	}
	out, res, err := b.run("sh", "-c", command)
	if err != nil || res.Status != 0 {
		b.t.Fatalf("%s: status %d, %v\n%s", command, res.Status, err, out)
	}
	return out
}
