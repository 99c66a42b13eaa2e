package tests

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// another is a second container of the bundle's kind, whose process waits.
func (b *bundle) another() (pid int) {
	b.Helper()
	o := newBundle(b.T)
	o.create()
	return o.state().Pid
}

func (b *bundle) only(list ...specs.LinuxNamespace) { b.Linux.Namespaces = list }

// linuxDuties are of config-linux.md.
var linuxDuties = []duty{
	{"default file systems", "are there as the bundle mounts them", func(b *bundle) {
		b.has("cat /proc/self/mountinfo", " /proc ", " /sys ", " /dev/pts ")
	}},
	{"namespaces", "that are listed are new, the others the caller's", func(b *bundle) {
		all := []specs.LinuxNamespaceType{specs.PIDNamespace, specs.NetworkNamespace, specs.IPCNamespace, specs.UTSNamespace, specs.CgroupNamespace, specs.MountNamespace}
		files := map[specs.LinuxNamespaceType]string{specs.NetworkNamespace: "net", specs.MountNamespace: "mnt"}
		for _, listed := range all {
			if listed != specs.MountNamespace {
				b.only(specs.LinuxNamespace{Type: listed}, specs.LinuxNamespace{Type: specs.MountNamespace})
			}
			b.Hostname = ""
			out := b.runs("for n in pid net ipc uts cgroup; do readlink /proc/self/ns/$n; done")
			for _, kind := range all[:5] {
				file := string(kind)
				if files[kind] != "" {
					file = files[kind]
				}
				own, err := os.Readlink("/proc/self/ns/" + file)
				b.must(err)
				if is := strings.Contains(out, own); is == (kind == listed) {
					b.Errorf("%s is listed, and of %s the caller's is %v", listed, kind, is)
				}
			}
			if listed == specs.CgroupNamespace {
				break
			}
		}
	}},
	{"namespaces", "named by path are joined", func(b *bundle) {
		pid := b.another()
		var want string
		var list []specs.LinuxNamespace
		for _, n := range []struct {
			kind specs.LinuxNamespaceType
			file string
		}{{specs.PIDNamespace, "pid"}, {specs.NetworkNamespace, "net"}, {specs.IPCNamespace, "ipc"}, {specs.UTSNamespace, "uts"}} {
			path := fmt.Sprintf("/proc/%d/ns/%s", pid, n.file)
			link, err := os.Readlink(path)
			b.must(err)
			want += link + "\n"
			list = append(list, specs.LinuxNamespace{Type: n.kind, Path: path})
		}
		b.only(append(list, specs.LinuxNamespace{Type: specs.MountNamespace})...)
		b.prints("for n in pid net ipc uts; do readlink /proc/self/ns/$n; done", want)
	}},
	{"namespaces", "paths of another kind, relative ones and doubles are refused", func(b *bundle) {
		b.only(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "/proc/self/ns/ipc"}, specs.LinuxNamespace{Type: specs.MountNamespace})
		b.refused("no namespace of that kind")
		b.only(specs.LinuxNamespace{Type: specs.NetworkNamespace, Path: "ns"})
		b.refused("not absolute")
		b.only(specs.LinuxNamespace{Type: specs.NetworkNamespace}, specs.LinuxNamespace{Type: specs.NetworkNamespace})
		b.refused("twice")
		b.only(specs.LinuxNamespace{Type: "time"})
		b.refused("not known")
	}},
	{"user namespace mappings", "are those of the namespace", func(b *bundle) {
		b.Linux.Namespaces = append(b.Linux.Namespaces, specs.LinuxNamespace{Type: specs.UserNamespace})
		b.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 300000, Size: 10}, {ContainerID: 50, HostID: 310000, Size: 1}}
		b.Linux.GIDMappings = []specs.LinuxIDMapping{{HostID: 400000, Size: 20}}
		b.must(os.Chmod(filepath.Join(b.dir, "rootfs/tmp"), 0o777))
		out := b.runs("cat /proc/self/uid_map /proc/self/gid_map; echo x >/tmp/f; ls -ln /tmp/f")
		if got := strings.Join(strings.Fields(out), " "); !strings.HasPrefix(got, "0 300000 10 50 310000 1 0 400000 20 -rw-r--r-- 1 0 0 ") {
			b.Error(got)
		}
	}},
	{"user namespace mappings", "without a namespace are refused", func(b *bundle) {
		b.Linux.UIDMappings = []specs.LinuxIDMapping{{HostID: 300000, Size: 10}}
		b.refused("no user namespace")
	}},
	{"devices", "are made with type, number, mode and owner", func(b *bundle) {
		b.Linux.Devices = []specs.LinuxDevice{{Path: "/dev/mine", Type: "c", Major: 1, Minor: 5, FileMode: ptr(os.FileMode(0o640)), UID: ptr(uint32(3)), GID: ptr(uint32(4))}}
		b.has("stat -c '%F %a %u %g %t:%T' /dev/mine; dd if=/dev/mine bs=3 count=1 2>/dev/null | wc -c", "character special file 640 3 4 1:5\n3\n")
	}},
	{"default devices", "are there", func(b *bundle) {
		b.prints("for d in null zero full random urandom tty; do stat -c %t:%T /dev/$d; done; for l in ptmx fd stdin stdout stderr; do readlink /dev/$l; done",
			"1:3\n1:5\n1:7\n1:8\n1:9\n5:0\npts/ptmx\n/proc/self/fd\n/proc/self/fd/0\n/proc/self/fd/1\n/proc/self/fd/2\n")
	}},
	{"default devices", "no others can be opened", func(b *bundle) {
		b.has("mknod /tmp/n c 1 3 && cat /tmp/n 2>&1; mknod /dev/n c 1 3 && cat /dev/n 2>&1", "'/tmp/n': Permission denied\n", "'/dev/n': Permission denied\n")
	}},
	{"cgroupsPath", "is where the process is, before it runs", func(b *bundle) {
		b.Linux.CgroupsPath = "/" + b.id + "/inner"
		b.Cleanup(func() {
			list, _ := filepath.Glob("/sys/fs/cgroup/*/" + b.id)
			for _, dir := range append(list, "/sys/fs/cgroup/"+b.id) {
				_ = os.Remove(dir)
			}
		})
		b.create()
		raw, err := os.ReadFile("/proc/" + strconv.Itoa(b.state().Pid) + "/cgroup")
		b.must(err)
		if n := strings.Count(string(raw), ":/"+b.id+"/inner\n"); n == 0 {
			b.Errorf("%s", raw)
		}
	}},
	{"resources", "are what the cgroup says", func(b *bundle) {
		if _, err := os.Stat("/sys/fs/cgroup/memory/memory.limit_in_bytes"); err != nil {
			b.Skip("this machine has cgroups of version 2: the files are in the tests of lib/sandbox")
		}
		b.Linux.CgroupsPath = "/" + b.id
		b.Linux.Resources = &specs.LinuxResources{
			Memory:  &specs.LinuxMemory{Limit: ptr(int64(64 << 20)), Reservation: ptr(int64(32 << 20)), Swappiness: ptr(uint64(10))},
			CPU:     &specs.LinuxCPU{Shares: ptr(uint64(512)), Quota: ptr(int64(50000)), Period: ptr(uint64(100000)), Cpus: "0", Mems: "0"},
			Pids:    &specs.LinuxPids{Limit: ptr(int64(33))},
			Devices: []specs.LinuxDeviceCgroup{{Access: "rwm"}, {Allow: true, Type: "c", Major: ptr(int64(10)), Minor: ptr(int64(229)), Access: "rw"}},
		}
		b.create()
		for file, want := range map[string]string{
			"memory/%s/memory.limit_in_bytes": "67108864", "memory/%s/memory.soft_limit_in_bytes": "33554432", "memory/%s/memory.swappiness": "10",
			"cpu/%s/cpu.shares": "512", "cpu/%s/cpu.cfs_quota_us": "50000", "cpuset/%s/cpuset.cpus": "0", "pids/%s/pids.max": "33",
		} {
			raw, err := os.ReadFile("/sys/fs/cgroup/" + fmt.Sprintf(file, b.id))
			if err != nil || strings.TrimSpace(string(raw)) != want {
				b.Errorf("%s: %s, %v, want %s", file, raw, err, want)
			}
		}
		raw, err := os.ReadFile("/sys/fs/cgroup/devices/" + b.id + "/devices.list")
		if err != nil || strings.Contains(string(raw), "a *:* rwm") || !strings.Contains(string(raw), "c 10:229 rw") {
			b.Errorf("devices: %s, %v", raw, err)
		}
	}},
	{"resources", "that cannot be are refused", func(b *bundle) {
		b.Linux.Resources = &specs.LinuxResources{HugepageLimits: []specs.LinuxHugepageLimit{{Pagesize: "7MB", Limit: 1}}}
		b.refused("hugetlb")
	}},
	{"sysctl", "of the container's namespaces are set, others refused", func(b *bundle) {
		b.Linux.Sysctl = map[string]string{"net.ipv4.ip_default_ttl": "77", "kernel.shmmni": "99"}
		b.prints("cat /proc/sys/net/ipv4/ip_default_ttl /proc/sys/kernel/shmmni", "77\n99\n")
		b.Linux.Sysctl = map[string]string{"kernel.panic": "1"}
		b.refused("not the container's own")
	}},
	{"seccomp", "actions, errors and arguments are as the filter says", func(b *bundle) {
		b.Linux.Seccomp = &specs.LinuxSeccomp{
			DefaultAction: specs.ActAllow, Architectures: []specs.Arch{specs.ArchX86_64, specs.ArchAARCH64},
			Syscalls: []specs.LinuxSyscall{
				{Names: []string{"mkdir", "mkdirat"}, Action: specs.ActErrno, ErrnoRet: ptr(uint(28))},
				{Names: []string{"kill"}, Action: specs.ActErrno, Args: []specs.LinuxSeccompArg{{Index: 1, Value: 10, Op: specs.OpEqualTo}}},
			},
		}
		b.has("mkdir /x 2>&1; kill -0 $$ && echo may; kill -10 $$ 2>&1; grep Seccomp: /proc/self/status", "No space left", "may\n", "not permitted", "Seccomp:\t2")
	}},
	{"seccomp", "default errors are those of the filter, and flags are known or refused", func(b *bundle) {
		b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow, Flags: []specs.LinuxSeccompFlag{"SECCOMP_FILTER_FLAG_WHATEVER"}, Syscalls: []specs.LinuxSyscall{{Names: []string{"mkdir"}, Action: specs.ActErrno}}}
		b.refused("WHATEVER")
		b.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActNotify}
		b.refused("NOTIFY")
	}},
	{"rootfsPropagation", "is that of the root, and one that is not known is refused", func(b *bundle) {
		for p, want := range map[string]string{"private": "", "shared": " shared:", "unbindable": " unbindable "} {
			b.Linux.RootfsPropagation = p
			out := b.runs("grep ' / / ' /proc/self/mountinfo || grep ' / ' /proc/self/mountinfo | head -n 1")
			if !strings.Contains(out, want) || want == "" && strings.Contains(out, "shared:") {
				b.Errorf("%s: %s", p, out)
			}
		}
		b.Linux.RootfsPropagation = "sideways"
		b.refused("sideways")
	}},
	{"maskedPaths", "cannot be read", func(b *bundle) {
		b.must(os.WriteFile(filepath.Join(b.dir, "rootfs/etc/secret"), []byte("text"), 0o644))
		b.Linux.MaskedPaths = []string{"/etc/secret", "/opt", "/not/there"}
		b.must(os.WriteFile(filepath.Join(b.dir, "rootfs/opt/f"), nil, 0o644))
		b.prints("cat /etc/secret; ls /opt", "")
	}},
	{"readonlyPaths", "cannot be written", func(b *bundle) {
		b.Linux.ReadonlyPaths = []string{"/opt", "/proc/sys"}
		b.has("touch /opt/f 2>&1; echo x 2>&1 >/proc/sys/kernel/hostname", "/opt/f: Read-only", "hostname: Read-only")
	}},
	{"personality", "is set, and one that is not known is refused", func(b *bundle) {
		b.Linux.Personality = &specs.LinuxPersonality{Domain: specs.PerLinux32}
		b.has("cat /proc/self/personality", "00000008\n")
		b.Linux.Personality.Domain = "BSD"
		b.refused("BSD")
	}},
	{"others", "what is not applied is refused", func(b *bundle) {
		l := *b.Linux
		for _, change := range []func(){
			func() { b.Linux.IntelRdt = &specs.LinuxIntelRdt{ClosID: "x"} },
			func() { b.Linux.TimeOffsets = map[string]specs.LinuxTimeOffset{"boottime": {Secs: 1}} },
			func() { b.Linux.MountLabel = "x" },
		} {
			change()
			b.refused("not applied")
			again := l
			b.Linux = &again
		}
	}},
	{"exec", "joins the container, with a process of its own", func(b *bundle) {
		b.Process.Args = []string{"sleep", "100"}
		b.Linux.CgroupsPath = "/" + b.id
		b.create()
		b.ok("start", b.id)
		b.must(os.WriteFile(filepath.Join(b.dir, "p.json"), []byte(`{"args":["sh","-c","id; pwd; echo $A; readlink /proc/self/ns/net; cat /proc/1/comm; grep CapEff /proc/self/status; exit 5"],
			"env":["A=b","PATH=/bin"],"cwd":"/opt","user":{"uid":0,"gid":7},"noNewPrivileges":true,"capabilities":{"bounding":["CAP_KILL"],"permitted":["CAP_KILL"],"effective":["CAP_KILL"]}}`), 0o600))
		out, err := b.call("exec", "--process", filepath.Join(b.dir, "p.json"), "--pid-file", filepath.Join(b.dir, "pid"), b.id)
		f := strings.Split(out, "\n")
		if err == nil || !strings.Contains(err.Error(), "exit status 5") || len(f) < 6 || f[0] != "uid=0 gid=7" || f[1] != "/opt" || f[2] != "b" || f[4] != "sleep" || f[5] != "CapEff:\t0000000000000020" {
			b.Errorf("%v\n%s", err, out)
		}
		b.ok("exec", "--detach", b.id, "sh", "-c", "echo >/opt/done $$")
		for range 200 {
			if raw, _ := os.ReadFile(filepath.Join(b.dir, "rootfs/opt/done")); len(raw) > 0 {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		b.Error("the detached process did not run")
	}},
}
