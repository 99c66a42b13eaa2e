package tests

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// lifecycleDuties are of runtime.md.
var lifecycleDuties = []duty{
	{"state", "has version, id, status, pid, bundle and annotations", func(b *bundle) {
		b.create()
		s := b.state()
		if s.Version != "1.2.0" || s.ID != b.id || s.Status != specs.StateCreated || s.Pid <= 0 || s.Bundle != b.dir || s.Annotations["some"] != "note" {
			b.Errorf("%+v", s)
		}
	}},
	{"state", "without an id, or of one that is not there, fails", func(b *bundle) {
		b.fails("missing", "state")
		b.fails("no such container", "state", "nobody")
	}},
	{"create", "without an id or a bundle fails", func(b *bundle) {
		b.fails("missing", "create")
		b.fails("config.json", "create", "--bundle", b.dir, b.id)
		b.fails("", "create", "--bundle", "/not/there", b.id)
	}},
	{"create", "refuses an id in use, and one that is none", func(b *bundle) {
		b.create()
		b.fails("exists", "create", "--bundle", b.dir, b.id)
		if b.state().Status != specs.StateCreated {
			b.Error("the first container is gone")
		}
		b.fails("id", "create", "--bundle", b.dir, "../x")
	}},
	{"create", "does not run the program", func(b *bundle) {
		b.Process.Args = []string{"sh", "-c", "echo ran"}
		b.create()
		time.Sleep(50 * time.Millisecond)
		if out := b.written(); out != "" {
			b.Error(out)
		}
	}},
	{"create", "makes the environment, or fails and leaves nothing", func(b *bundle) {
		b.Mounts = append(b.Mounts, specs.Mount{Destination: "/x", Type: "bind", Source: "/not/there", Options: []string{"bind"}})
		b.refused("/not/there")
	}},
	{"create", "later changes of config.json have no effect", func(b *bundle) {
		b.Process.Args = []string{"sh", "-c", "echo first"}
		b.create()
		b.Process.Args = []string{"sh", "-c", "echo second"}
		b.write()
		b.ok("start", b.id)
		b.ends()
		if out := b.written(); out != "first\n" {
			b.Error(out)
		}
	}},
	{"start", "without an id, or of one that is not there, fails", func(b *bundle) {
		b.fails("missing", "start")
		b.fails("no such container", "start", "nobody")
	}},
	{"start", "of what is not created fails and changes nothing", func(b *bundle) {
		b.Process.Args = []string{"sleep", "100"}
		b.create()
		b.ok("start", b.id)
		pid := b.state().Pid
		b.fails("not created", "start", b.id)
		if s := b.state(); s.Pid != pid || s.Status != specs.StateRunning {
			b.Errorf("%+v", s)
		}
		b.ok("kill", b.id, "KILL")
		b.ends()
		b.fails("not created", "start", b.id)
	}},
	{"start", "runs the program, and the status is running", func(b *bundle) {
		b.Process.Args = []string{"sh", "-c", "echo $$; exec sleep 100"}
		b.create()
		b.ok("start", b.id)
		if s := b.state(); s.Status != specs.StateRunning {
			b.Errorf("%+v", s)
		}
		for range 200 {
			if b.written() == "1\n" {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
		b.Error("it did not run")
	}},
	{"start", "of a program that cannot be executed fails", func(b *bundle) {
		b.must(os.WriteFile(filepath.Join(b.dir, "rootfs/script"), []byte("#!/not/there\n"), 0o755))
		b.Process.Args = []string{"/script"}
		b.create()
		b.fails("interpreter", "start", b.id)
		if s := b.state(); s.Status != specs.StateStopped {
			b.Errorf("%+v", s)
		}
	}},
	{"kill", "without an id, or of one that is not there, fails", func(b *bundle) {
		b.fails("missing", "kill")
		b.fails("no such container", "kill", "nobody", "KILL")
	}},
	{"kill", "of what has ended fails", func(b *bundle) {
		b.create()
		b.ok("kill", b.id, "9")
		b.ends()
		b.fails("not running", "kill", b.id, "KILL")
	}},
	{"kill", "sends the signal to the process", func(b *bundle) {
		b.Process.Args = []string{"sh", "-c", "trap 'echo got; exit' USR1; echo ready; while :; do sleep 0.05; done"}
		b.create()
		b.ok("start", b.id)
		for range 200 {
			if b.written() != "" {
				break
			}
			time.Sleep(5 * time.Millisecond)
		}
		b.ok("kill", b.id, "SIGUSR1")
		b.ends()
		if out := b.written(); out != "ready\ngot\n" {
			b.Error(out)
		}
	}},
	{"delete", "without an id, or of one that is not there, fails", func(b *bundle) {
		b.fails("missing", "delete")
		b.fails("no such container", "delete", "nobody")
	}},
	{"delete", "of what runs fails and changes nothing", func(b *bundle) {
		b.Process.Args = []string{"sleep", "100"}
		b.create()
		b.ok("start", b.id)
		b.fails("running", "delete", b.id)
		if s := b.state(); s.Status != specs.StateRunning {
			b.Errorf("%+v", s)
		}
	}},
	{"delete", "removes what create made, and the id can be used again", func(b *bundle) {
		b.Linux.CgroupsPath = "/" + b.id
		b.create()
		pid := b.state().Pid
		b.ok("kill", b.id, "KILL")
		b.ends()
		b.ok("delete", b.id)
		left, err := filepath.Glob("/sys/fs/cgroup/*/" + b.id)
		if err != nil || len(left) > 0 {
			b.Errorf("%v %v", left, err)
		}
		if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), b.dir) {
			b.Error("something is mounted")
		}
		if _, err := os.Stat("/proc/" + strconv.Itoa(pid) + "/root"); err == nil {
			b.Error("the process is there")
		}
		b.create()
	}},
}

// hook is one that appends a line to a file of the machine: a word, what reads
// the state, and the namespaces that it is in.
func (b *bundle) hook(word string) specs.Hook {
	script := "read state; echo '" + word + "' $(echo $state | grep -o '\"status\":\"[a-z]*\"') $(readlink /proc/self/ns/net) >>" + b.dir + "/hooks"
	return specs.Hook{Path: "/bin/sh", Args: []string{"sh", "-c", script}, Env: []string{"PATH=/usr/bin:/bin"}}
}

// called are the lines that hooks wrote.
func (b *bundle) called() []string {
	raw, _ := os.ReadFile(filepath.Join(b.dir, "hooks"))
	return strings.Split(strings.TrimSuffix(string(raw), "\n"), "\n")
}

// all gives the bundle a hook of each kind; those of the container write to its
// root, by a mount of the bundle.
func (b *bundle) all() {
	b.Mounts = append(b.Mounts, specs.Mount{Destination: b.dir, Type: "bind", Source: b.dir, Options: []string{"rbind", "dev"}})
	b.Hooks = &specs.Hooks{
		CreateRuntime: []specs.Hook{b.hook("createRuntime"), b.hook("second")}, CreateContainer: []specs.Hook{b.hook("createContainer")},
		StartContainer: []specs.Hook{b.hook("startContainer")}, Poststart: []specs.Hook{b.hook("poststart")}, Poststop: []specs.Hook{b.hook("poststop")},
	}
	b.Hooks.StartContainer[0].Env = []string{"PATH=/bin"}
	//lint:ignore SA1019 a duty all the same
	b.Hooks.Prestart = []specs.Hook{b.hook("prestart")}
}

// sequence expects the hooks to have been called so far, in this order.
func (b *bundle) sequence(want string) {
	b.Helper()
	var got []string
	for _, line := range b.called() {
		got = append(got, strings.SplitN(line, " ", 2)[0])
	}
	if strings.Join(got, " ") != want {
		b.Errorf("%v, want %s", got, want)
	}
}

func (b *bundle) failing(hooks *[]specs.Hook) {
	*hooks = append([]specs.Hook{{Path: "/bin/sh", Args: []string{"sh", "-c", "echo why >&2; exit 3"}}}, *hooks...)
}

const created = "prestart createRuntime second createContainer"

// hookDuties are of runtime.md and the hooks of config.md.
var hookDuties = []duty{
	{"hooks", "are called at their points, in their order, with the state", func(b *bundle) {
		b.all()
		b.Process.Args = []string{"sleep", "100"}
		b.create()
		b.sequence(created)
		b.ok("start", b.id)
		b.sequence(created + " startContainer poststart")
		b.ok("kill", b.id, "KILL")
		b.ends()
		b.ok("delete", b.id)
		b.sequence(created + " startContainer poststart poststop")
		want := map[string]string{"prestart": "creating", "createContainer": "creating", "startContainer": "created", "poststart": "running", "poststop": "stopped"}
		for _, line := range b.called() {
			f := strings.Fields(line)
			if w := want[f[0]]; w != "" && (len(f) < 2 || f[1] != `"status":"`+w+`"`) {
				b.Errorf("%s, want status %s", line, w)
			}
		}
	}},
	{"hooks", "are in the namespaces that are theirs", func(b *bundle) {
		b.all()
		b.Process.Args = []string{"sleep", "100"}
		b.create()
		b.ok("start", b.id)
		own, err := os.Readlink("/proc/self/ns/net")
		b.must(err)
		theirs, err := os.Readlink("/proc/" + strconv.Itoa(b.state().Pid) + "/ns/net")
		b.must(err)
		for _, line := range b.called() {
			want := own
			if strings.Contains(strings.SplitN(line, " ", 2)[0], "Container") {
				want = theirs
			}
			if !strings.Contains(line, want) {
				b.Errorf("%s: want %s", line, want)
			}
		}
	}},
	{"hooks", "that fail before the start are errors, and the container is gone", func(b *bundle) {
		b.all()
		for _, list := range []*[]specs.Hook{&b.Hooks.CreateRuntime, &b.Hooks.CreateContainer} {
			saved := *list
			b.failing(list)
			b.refused("why")
			*list = saved
		}
	}},
	{"hooks", "startContainer that fails is an error, and the container ends", func(b *bundle) {
		b.all()
		b.failing(&b.Hooks.StartContainer)
		b.Process.Args = []string{"sh", "-c", "echo ran"}
		b.create()
		b.fails("why", "start", b.id)
		if s := b.state(); s.Status != specs.StateStopped || b.written() != "" {
			b.Errorf("%+v %s", s, b.written())
		}
	}},
	{"hooks", "poststart that fails is an error, and the container ends", func(b *bundle) {
		b.all()
		b.failing(&b.Hooks.Poststart)
		b.Process.Args = []string{"sleep", "100"}
		b.create()
		b.fails("why", "start", b.id)
		if s := b.state(); s.Status != specs.StateStopped {
			b.Errorf("%+v", s)
		}
	}},
	{"hooks", "poststop that fails is a warning, and the others are called", func(b *bundle) {
		b.all()
		b.failing(&b.Hooks.Poststop)
		b.create()
		if out := b.ok("delete", b.id); !strings.Contains(out, "why") {
			b.Error(out)
		}
		b.sequence(created + " poststop")
	}},
	{"hooks", "have their own arguments and environment", func(b *bundle) {
		h := specs.Hook{Path: "/bin/sh", Args: []string{"zero", "-c", "echo $0 $A $B >" + b.dir + "/hooks"}, Env: []string{"A=one"}}
		h.Args = []string{"zero", "-c", "echo $A,$B >" + b.dir + "/hooks; cat /proc/$$/cmdline >>" + b.dir + "/hooks"}
		b.Setenv("B", "leaked")
		b.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{h}}
		b.create()
		if got := strings.Join(b.called(), "\n"); !strings.HasPrefix(got, "one,\nzero\x00-c") {
			b.Errorf("%q", got)
		}
	}},
	{"hooks", "paths are absolute, timeouts greater than zero", func(b *bundle) {
		zero := 0
		b.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "true"}}}
		b.refused("not absolute")
		b.Hooks = &specs.Hooks{Poststop: []specs.Hook{{Path: "/bin/true", Timeout: &zero}}}
		b.refused("greater than zero")
	}},
	{"hooks", "end with their timeout", func(b *bundle) {
		one := 1
		b.Hooks = &specs.Hooks{CreateRuntime: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "60"}, Timeout: &one}}}
		b.refused("timeout")
		b.Hooks = &specs.Hooks{StartContainer: []specs.Hook{{Path: "/bin/sleep", Args: []string{"sleep", "60"}, Timeout: &one}}}
		b.create()
		b.fails("timeout", "start", b.id)
	}},
}
