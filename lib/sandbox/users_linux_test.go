package sandbox

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// withUsers gives the box a user namespace in which root is another user.
func (b *box) withUsers() {
	if InUserNamespace() {
		b.t.Skip("for root")
	}
	b.check(os.Chmod(b.dir, 0o755))
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
	b.spec.Linux.UIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 300000, Size: 1000}}
	b.spec.Linux.GIDMappings = []specs.LinuxIDMapping{{ContainerID: 0, HostID: 400000, Size: 1000}}
}

func TestUserNamespaceOfABundle(t *testing.T) {
	b := newBox(t)
	b.withUsers()
	b.spec.Mounts = append(b.spec.Mounts, specs.Mount{Destination: "/dev/mqueue", Type: "mqueue"}, specs.Mount{Destination: "/t", Type: "tmpfs"})
	b.spec.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 50, Hard: 60}}
	b.spec.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77"}
	out := b.sh(`cat /proc/self/uid_map /proc/self/gid_map; echo $$; id; ulimit -n; hostname; touch /t/mine && ls -ln /t; ls -ldn /dev /dev/pts
		cat /proc/sys/net/ipv4/ip_default_ttl; for n in pid mnt ipc uts net user; do readlink /proc/self/ns/$n; done; : <>/dev/ptmx && echo ptmx; cat /proc/self/status`)
	for _, want := range []string{
		"0     300000       1000", "0     400000       1000", "\n1\nuid=0 gid=0", "\n50\nbox\n", "-rw-r--r--    1 0        0 ", "\n77\n", "\nptmx\n",
		"CapEff:\t" + boxCapsMask, "Seccomp:\t2",
	} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
	for _, n := range []string{"pid", "mnt", "ipc", "uts", "net", "user"} {
		host, err := os.Readlink("/proc/self/ns/" + n)
		b.check(err)
		if strings.Contains(out, host) {
			t.Errorf("namespace %s is the machine's", n)
		}
	}
	b.spec.Process.User = specs.User{UID: 7, GID: 8, AdditionalGids: []uint32{9}}
	if out := b.sh("id"); out != "uid=7 gid=8 groups=9,8\n" && out != "uid=7 gid=8 groups=8,9\n" && out != "uid=7 gid=8 groups=9\n" {
		t.Errorf("%s", out)
	}
	b.spec.Process.User = specs.User{UID: 1000}
	if _, _, err := b.run("/bin/true"); err == nil || !strings.Contains(err.Error(), "does not exist") {
		t.Errorf("a user without an id: %v", err)
	}
}

// TestUserNamespaceByPath joins the one of a container that was created.
func TestUserNamespaceByPath(t *testing.T) {
	first := newBox(t)
	first.withUsers()
	made, err := first.create(CreateOptions{})
	first.check(err)
	defer reap(t, made.PID)
	defer func() { _ = unix.Kill(made.PID, unix.SIGKILL) }()
	b := newBox(t)
	b.check(os.Chmod(b.dir, 0o755))
	ns := func(file string) string { return fmt.Sprintf("/proc/%d/ns/%s", made.PID, file) }
	b.spec.Linux.Namespaces = []specs.LinuxNamespace{
		{Type: specs.UserNamespace, Path: ns("user")}, {Type: specs.NetworkNamespace, Path: ns("net")}, {Type: specs.IPCNamespace, Path: ns("ipc")},
		{Type: specs.UTSNamespace, Path: ns("uts")}, {Type: specs.PIDNamespace}, {Type: specs.MountNamespace},
	}
	out := b.sh("for n in user net ipc uts; do readlink /proc/self/ns/$n; done; echo $$; cat /proc/self/uid_map")
	want := ""
	for _, n := range []string{"user", "net", "ipc", "uts"} {
		link, err := os.Readlink(ns(n))
		b.check(err)
		want += link + "\n"
	}
	if !strings.HasPrefix(out, want+"1\n") || !strings.Contains(out, "300000") {
		t.Errorf("%s, want %s", out, want)
	}
}

func TestNamespacesByPath(t *testing.T) {
	first := newBox(t)
	made, err := first.create(CreateOptions{})
	first.check(err)
	defer reap(t, made.PID)
	defer func() { _ = unix.Kill(made.PID, unix.SIGKILL) }()
	b := newBox(t)
	b.spec.Linux.Namespaces = nil
	want := ""
	for _, n := range []struct {
		kind specs.LinuxNamespaceType
		file string
	}{{specs.PIDNamespace, "pid"}, {specs.NetworkNamespace, "net"}, {specs.IPCNamespace, "ipc"}, {specs.UTSNamespace, "uts"}, {specs.CgroupNamespace, "cgroup"}} {
		path := fmt.Sprintf("/proc/%d/ns/%s", made.PID, n.file)
		b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: n.kind, Path: path})
		link, err := os.Readlink(path)
		b.check(err)
		want += link + "\n"
	}
	b.spec.Linux.Namespaces = append(b.spec.Linux.Namespaces, specs.LinuxNamespace{Type: specs.MountNamespace})
	out := b.sh("for n in pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done; ps")
	if !strings.HasPrefix(out, want) || strings.Contains(out, "docksmith-init") {
		t.Errorf("%s, want %s", out, want)
	}
	b.spec.Linux.Namespaces[0].Path = b.spec.Linux.Namespaces[1].Path
	if _, _, err := b.run("/bin/true"); err == nil || !strings.Contains(err.Error(), "no namespace of that kind") {
		t.Errorf("a path of another kind: %v", err)
	}
	b.spec.Linux.Namespaces[0].Path = "/not/there"
	if _, _, err := b.run("/bin/true"); err == nil || !strings.Contains(err.Error(), "/not/there") {
		t.Errorf("a path that is not there: %v", err)
	}
}
