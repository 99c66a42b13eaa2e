package tests

import (
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func ptr[T any](v T) *T { return &v }

// processDuties are of config.md: version, root, process, user, host name.
var processDuties = []duty{
	{"version", "of another major is refused", func(b *bundle) { b.Version = "2.0.0"; b.refused("1.x") }},
	{"root", "must be there", func(b *bundle) { b.Root.Path = "nothing"; b.refused("nothing") }},
	{"root", "readonly is read-only inside", func(b *bundle) {
		b.Root.Readonly = true
		b.has("touch /x 2>&1", "Read-only file system")
	}},
	{"root", "otherwise it is written to", func(b *bundle) {
		b.prints("echo hi >/x; cat /x", "hi\n")
		if raw, err := os.ReadFile(filepath.Join(b.dir, "rootfs/x")); err != nil || string(raw) != "hi\n" {
			b.Error(err)
		}
	}},
	{"process", "cwd is where it starts", func(b *bundle) { b.Process.Cwd = "/opt"; b.prints("pwd", "/opt\n") }},
	{"process", "cwd that is not absolute is refused", func(b *bundle) { b.Process.Cwd = "opt"; b.refused("not absolute") }},
	{"process", "env is the environment and nothing else is", func(b *bundle) {
		b.Process.Env = []string{"PATH=/bin", "A=b c", "HOME=/x"}
		b.Setenv("LEAK", "1")
		b.has("env", "A=b c\n", "PATH=/bin\n")
		if out := b.runs("env"); strings.Contains(out, "LEAK") {
			b.Error(out)
		}
	}},
	{"process", "args has at least one entry", func(b *bundle) { b.Process.Args = nil; b.refused("no command") }},
	{"process", "args is searched for in PATH, and its lack is an error", func(b *bundle) {
		b.Process.Args = []string{"nothing"}
		b.refused("not found")
		b.Process.Args = []string{"/etc"}
		b.refused("not a regular file")
	}},
	{"process", "terminal is one of the container's own, on the console socket", func(b *bundle) {
		b.Process.Terminal, b.Process.ConsoleSize = true, &specs.Box{Height: 33, Width: 77}
		b.refused("console socket")
		out := b.onTerminal("tty; stty size; ls -l /dev/console; echo >/dev/tty opens")
		for _, want := range []string{"/dev/pts/0\r\n", "33 77\r\n", "136,   0", "opens\r\n"} {
			if !strings.Contains(out, want) {
				b.Errorf("%q is missing in %q", want, out)
			}
		}
	}},
	{"process", "without a terminal a console socket is refused", func(b *bundle) {
		b.write()
		b.fails("terminal is false", "create", "--bundle", b.dir, "--console-socket", "/not/there", b.id)
	}},
	{"process", "rlimits are set", func(b *bundle) {
		b.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: 70, Hard: 80}, {Type: "RLIMIT_CORE", Soft: 1, Hard: 2}}
		b.has("cat /proc/self/limits", "Max open files            70                   80 ", "Max core file size        1                    2 ")
	}},
	{"process", "rlimits that are not known, or twice there, are refused", func(b *bundle) {
		b.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_WHATEVER"}}
		b.refused("unknown")
		b.Process.Rlimits = []specs.POSIXRlimit{{Type: "RLIMIT_CORE"}, {Type: "RLIMIT_CORE"}}
		b.refused("twice")
	}},
	{"process", "capabilities are exactly those of each set", func(b *bundle) {
		b.Process.Capabilities = &specs.LinuxCapabilities{
			Bounding: []string{"CAP_CHOWN", "CAP_KILL", "CAP_SETUID", "CAP_SETGID"}, Permitted: []string{"CAP_CHOWN", "CAP_KILL"},
			Effective: []string{"CAP_KILL"}, Inheritable: []string{"CAP_CHOWN"}, Ambient: []string{"CAP_CHOWN"},
		}
		b.Process.User.UID = 5
		b.Process.NoNewPrivileges = false
		// Over execve by a user, what is permitted and effective is what was ambient.
		b.has("cat /proc/self/status", "CapInh:\t0000000000000001", "CapPrm:\t0000000000000001", "CapEff:\t0000000000000001",
			"CapBnd:\t00000000000000e1", "CapAmb:\t0000000000000001")
	}},
	{"process", "capabilities that are not known are refused", func(b *bundle) {
		b.Process.Capabilities.Bounding = append(b.Process.Capabilities.Bounding[:0:0], "CAP_EVERYTHING")
		b.refused("CAP_EVERYTHING")
	}},
	{"process", "noNewPrivileges is as it says", func(b *bundle) {
		b.has("cat /proc/self/status", "NoNewPrivs:\t1")
		b.Process.NoNewPrivileges = false
		b.has("cat /proc/self/status", "NoNewPrivs:\t0")
	}},
	{"process", "oomScoreAdj is set, and without it the caller's stays", func(b *bundle) {
		own, err := os.ReadFile("/proc/self/oom_score_adj")
		b.must(err)
		b.prints("cat /proc/self/oom_score_adj", string(own))
		b.Process.OOMScoreAdj = ptr(321)
		b.prints("cat /proc/self/oom_score_adj", "321\n")
	}},
	{"process", "scheduler is set, and one that is not known is refused", func(b *bundle) {
		b.Process.Scheduler = &specs.Scheduler{Policy: specs.SchedBatch, Nice: 7}
		b.has("cat /proc/self/stat | (read a; set -- $a; echo nice ${19} policy ${41})", "nice 7 policy 3\n")
		b.Process.Scheduler = &specs.Scheduler{Policy: "SCHED_SOON"}
		b.refused("SCHED_SOON")
	}},
	{"process", "ioPriority that is none is refused", func(b *bundle) {
		b.Process.IOPriority = &specs.LinuxIOPriority{Class: specs.IOPRIO_CLASS_BE, Priority: 3}
		b.prints("echo runs", "runs\n")
		b.Process.IOPriority.Priority = 9
		b.refused("ioPriority")
	}},
	{"process", "labels of modules that are not applied are refused", func(b *bundle) {
		b.Process.ApparmorProfile = "x"
		b.refused("labels")
		b.Process.ApparmorProfile, b.Process.SelinuxLabel = "", "x"
		b.refused("labels")
	}},
	{"user", "has the ids, the groups and the umask", func(b *bundle) {
		b.Process.User = specs.User{UID: 3, GID: 4, AdditionalGids: []uint32{5, 6}, Umask: ptr(uint32(0o27))}
		b.has("id; umask", "uid=3 gid=4 groups=", "5,6", "\n0027\n")
	}},
	{"hostname", "and domain name are set", func(b *bundle) {
		b.Domainname = "example"
		b.prints("hostname; cat /proc/sys/kernel/domainname", "inside\nexample\n")
	}},
	{"annotations", "that are not known are passed over", func(b *bundle) {
		b.Annotations["org.example"] = "x"
		b.prints("echo runs", "runs\n")
	}},
	{"extensibility", "properties that are not known are passed over", func(b *bundle) {
		b.write()
		file := filepath.Join(b.dir, "config.json")
		raw, err := os.ReadFile(file)
		b.must(err)
		b.must(os.WriteFile(file, []byte(strings.Replace(string(raw), "{", `{"somethingNew":{"a":[1]},`, 1)), 0o600))
		b.ok("create", "--bundle", b.dir, b.id)
	}},
}

// mountDuties are of the mounts of config.md.
var mountDuties = []duty{
	{"mounts", "are made in their order", func(b *bundle) {
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/a", Type: "tmpfs"}, specs.Mount{Destination: "/a/b", Type: "tmpfs"}, specs.Mount{Destination: "/a", Type: "tmpfs"})
		b.has("grep -c ' /a' /proc/self/mountinfo; ls -A /a", "3\n")
	}},
	{"mounts", "destinations are absolute", func(b *bundle) {
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "a", Type: "tmpfs"})
		b.refused("absolute")
	}},
	{"mounts", "binds show directories and files, relative to the bundle too", func(b *bundle) {
		b.must(os.MkdirAll(filepath.Join(b.dir, "data"), 0o755))
		b.must(os.WriteFile(filepath.Join(b.dir, "data/f"), []byte("text\n"), 0o644))
		b.Mounts = append(b.Mounts,
			specs.Mount{Destination: "/d", Type: "bind", Source: filepath.Join(b.dir, "data"), Options: []string{"bind", "ro"}},
			specs.Mount{Destination: "/f", Type: "none", Source: "data/f", Options: []string{"rbind"}})
		b.has("cat /d/f /f; touch /d/g 2>&1", "text\ntext\n", "Read-only")
	}},
	{"mounts", "options for the mount and the file system are applied", func(b *bundle) {
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/t", Type: "tmpfs", Source: "my", Options: []string{
			"ro", "nosuid", "nodev", "noexec", "noatime", "nodiratime", "mode=710", "size=12k", "sync"}})
		b.has("grep ' /t ' /proc/self/mountinfo", "ro,nosuid,nodev,noexec,noatime,nodiratime", "tmpfs my ", "sync", "size=12k", "mode=710")
	}},
	{"mounts", "later options win", func(b *bundle) {
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"ro", "rw", "noexec", "exec", "nosuid", "suid", "strictatime", "relatime"}})
		b.has("grep ' /t ' /proc/self/mountinfo", " rw,nodev,relatime ")
	}},
	{"mounts", "options that are not known are refused", func(b *bundle) {
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/t", Type: "tmpfs", Options: []string{"whatever"}})
		b.refused("whatever")
	}},
	{"mounts", "propagation is as asked for", func(b *bundle) {
		for _, p := range []struct{ option, want string }{{"shared", " shared:"}, {"slave", ""}, {"private", ""}, {"unbindable", " unbindable "}} {
			b.Mounts = append(b.Mounts, specs.Mount{Destination: "/" + p.option, Type: "bind", Source: b.dir, Options: []string{"bind", p.option}})
		}
		out := b.runs("cat /proc/self/mountinfo")
		for line := range strings.Lines(out) {
			if strings.Contains(line, " /unbindable ") && !strings.Contains(line, " unbindable ") || strings.Contains(line, " /shared ") && !strings.Contains(line, " shared:") ||
				strings.Contains(line, " /private ") && (strings.Contains(line, "shared:") || strings.Contains(line, "master:")) {
				b.Error(line)
			}
		}
	}},
	{"mounts", "tmpcopyup begins with what is covered", func(b *bundle) {
		dir := filepath.Join(b.dir, "rootfs/opt/deep")
		b.must(os.Mkdir(dir, 0o751))
		b.must(os.WriteFile(filepath.Join(dir, "f"), []byte("text\n"), 0o640))
		b.must(os.Symlink("deep/f", filepath.Join(b.dir, "rootfs/opt/link")))
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/opt", Type: "tmpfs", Options: []string{"tmpcopyup"}})
		b.has("cat /opt/link; stat -c %a /opt/deep /opt/deep/f; echo new >/opt/deep/f", "text\n751\n640\n")
		if raw, _ := os.ReadFile(filepath.Join(dir, "f")); string(raw) != "text\n" {
			b.Errorf("%s", raw)
		}
	}},
	{"mounts", "id-mapped ones are refused", func(b *bundle) {
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/t", Type: "bind", Source: b.dir, Options: []string{"bind", "idmap"}})
		b.refused("id-mapped")
	}},
	{"mounts", "cgroup shows the container's own", func(b *bundle) {
		b.Linux.CgroupsPath = "/" + b.id
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/sys/fs/cgroup", Type: "cgroup", Options: []string{"ro"}})
		b.has("cat /sys/fs/cgroup/pids/cgroup.procs /sys/fs/cgroup/cgroup.procs 2>/dev/null; touch /sys/fs/cgroup/x 2>&1", "1\n", "Read-only")
	}},
}
