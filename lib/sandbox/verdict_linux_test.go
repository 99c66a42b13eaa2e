package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestVictims reads lines of the kernel's log. A process may be called anything.
func TestVictims(t *testing.T) {
	v := &victims{cgroup: "me"}
	const head = "6,1234,5678,-;oom-kill:constraint=CONSTRAINT_MEMCG,nodemask=(null),cpuset=/,mems_allowed=0,"
	for record, want := range map[string]victim{
		head + "oom_memcg=/docksmith/me,task_memcg=/docksmith/me,task=hog,pid=42,uid=0\n SUBSYSTEM=x\n":                  {pid: 42, name: "hog"},
		head + "oom_memcg=/a/docksmith/me,task_memcg=/a/docksmith/me/below,task=hog,pid=42,uid=0\n":                      {pid: 42, name: "hog"},
		head + "oom_memcg=/docksmith/me,task_memcg=/docksmith/me,task=x,pid=1,uid=,pid=42,uid=0\n":                       {pid: 42, name: "x,pid=1,uid="},
		head + "oom_memcg=/docksmith/other,task_memcg=/docksmith/other,task=hog,pid=42,uid=0\n":                          {},
		head + "oom_memcg=/docksmith/other,task_memcg=/docksmith/other,task=oom_memcg=/docksmith/me,pid=42,uid=0\n":      {},
		head + "oom_memcg=/docksmith/me,task_memcg=/docksmith/me,task=hog\n":                                             {},
		head + "oom_memcg=/docksmith/me,task_memcg=/docksmith/me,task=hog,pid=x,uid=0\n":                                 {},
		"4,1,2,-;something else: oom-kill:,oom_memcg=/docksmith/me,task_memcg=/docksmith/me,task=hog,pid=42,uid=0\n":     {},
		"6,1,2,-;Memory cgroup out of memory: Killed process 42 (hog) total-vm:1kB, anon-rss:1kB, file-rss:1kB, UID:0\n": {},
	} {
		got, ok := v.parse(record)
		if ok != (want.pid != 0) || ok && got != want {
			t.Errorf("%s: %+v, %v", record, got, ok)
		}
	}
}

func TestMemoryVerdict(t *testing.T) {
	many := []victim{{7, 7, "a"}, {8, 0, "b"}, {9, 9, "c"}, {10, 10, "d"}, {11, 11, "e"}}
	for want, n := range map[string]int{
		"killed: memory limit of 32 MiB":                                                             0,
		"killed: memory limit of 32 MiB: process 7 (a)":                                              1,
		"killed: memory limit of 32 MiB: process 7 (a), process 9 (c), process 8 of the machine (b)": 3,
		"killed: memory limit of 32 MiB: process 7 (a), process 9 (c), process 10 (d), and 2 more":   5,
	} {
		if got := memoryVerdict(32<<20, many[:n]); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	for n, want := range map[int64]string{0: "0 bytes", 1000: "1000 bytes", 1536 << 10: "1536 KiB", 1 << 40: "1 TiB", 1 << 50: "1024 TiB"} {
		if got := Size(n); got != want {
			t.Errorf("%d: %q, want %q", n, got, want)
		}
	}
}

// TestDelegated makes the trees that systemd makes for a user's session, and asks
// where a container's cgroups go.
func TestDelegated(t *testing.T) {
	for _, c := range []struct {
		own, files, want string
		v2               bool
	}{
		{"/user/mine", "/user/mine/", "/user/mine", false},
		{"/user/mine", "/user/", "/", false}, // it is not there: nothing is delegated
		{"/", "", "/", false},
		// Version 2: not in the own one, which has processes, but beside it.
		{"/app.slice/run.scope", "/app.slice/run.scope/ /app.slice/cgroup.controllers=cpu_memory /app.slice/cgroup.subtree_control=", "/app.slice", true},
		{"/app.slice/x/run.scope", "/app.slice/x/run.scope/ /app.slice/x/cgroup.controllers=pids /app.slice/x/cgroup.subtree_control= /app.slice/cgroup.controllers=pids_memory /app.slice/cgroup.subtree_control=", "/app.slice", true},
		{"/app.slice/run.scope", "/app.slice/run.scope/ /app.slice/cgroup.controllers=cpu_pids /app.slice/cgroup.subtree_control=", "/", true},
		{"/app.slice/run.scope", "/app.slice/run.scope/ /app.slice/cgroup.controllers=memory", "/", true},
	} {
		base := t.TempDir()
		for _, word := range strings.Fields(c.files) {
			name, text, isFile := strings.Cut(word, "=")
			dir := filepath.Join(base, name)
			if isFile {
				dir = filepath.Dir(dir)
			}
			if err := os.MkdirAll(dir, 0o755); err != nil {
				t.Fatal(err)
			}
			if isFile {
				if err := os.WriteFile(filepath.Join(base, name), []byte(strings.ReplaceAll(text, "_", " ")), 0o644); err != nil {
					t.Fatal(err)
				}
			}
		}
		if got := delegated(base, c.own, "memory", c.v2); got != filepath.Join(base, c.want) {
			t.Errorf("%+v: %s", c, strings.TrimPrefix(got, base))
		}
	}
}

// TestCPUSets has a parent with some processors, as both versions tell it.
func TestCPUSets(t *testing.T) {
	for _, c := range []struct {
		file, has, wanted string
		ok                bool
	}{
		{"cpuset.cpus", "0-3", "1-2", true},
		{"cpuset.cpus", "0-3", "4", false},
		{"cpuset.cpus", "0-1,6", "0,6", true},
		{"cpuset.cpus.effective", "0", "0-1", false},
		{"cpuset.cpus", "", "7", true}, // nothing is known, and the kernel will tell
	} {
		parent := t.TempDir()
		if err := os.WriteFile(filepath.Join(parent, c.file), []byte(c.has+"\n"), 0o644); err != nil {
			t.Fatal(err)
		}
		err := setting{files: []string{"cpuset.cpus"}, value: c.wanted}.available(filepath.Join(parent, "me"))
		if (err == nil) != c.ok {
			t.Errorf("%+v: %v", c, err)
		}
	}
	if err := (setting{files: []string{"cpu.shares"}, value: "99999"}).available("/none/me"); err != nil {
		t.Error(err)
	}
}
