package tests

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// everyWay are the ways to run a command in a container, as a format of a shell
// command line.
func (h *hostile) everyWay() map[string]string {
	id := h.sh("ds-exec run -d b -- sleep 1000")
	h.Cleanup(func() { h.output("ds-exec rm -f " + id) })
	ways := map[string]string{
		"run":    "ds-exec run --no-record b -- %s",
		"enter":  "ds-exec enter " + id + " %s",
		"limits": "ds-exec run --no-record --pids-limit 200 b -- %s",
		"RUN":    `printf 'FROM hostile\nRUN %s >/out\n' >ctx/step; ds-build -q --no-cache -t out -f ctx/step ctx >/dev/null; ds-store bundle out o >/dev/null; ds-exec run --no-record o -- cat /out; chmod -R u+rwX o; rm -rf o`,
	}
	if os.Geteuid() != 0 { // who may not set limits
		delete(ways, "limits")
		return ways
	}
	ways["exec"] = "ds-runtime --root $PWD/st create --bundle b made >/dev/null </dev/null 2>&1; ds-runtime --root $PWD/st exec made %s; ds-runtime --root $PWD/st delete --force made"
	return ways
}

// denied expects the probe's attempts to be denied, however it is run.
func (h *hostile) denied(attempts ...string) {
	h.Helper()
	for way, format := range h.everyWay() {
		found := map[string]string{}
		for line := range strings.Lines(h.output(fmt.Sprintf(format, "probe"))) {
			if f := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 3); len(f) == 3 {
				found[f[0]] = f[1]
			}
		}
		for _, a := range attempts {
			if found[a] != "deny" {
				h.Errorf("%s: %s: %q", way, a, found[a])
			}
		}
	}
}

func writeCgroups(h *hostile) {
	h.denied("cgroup-write", "cgroup-release_agent", "cgroup-path", "mount-cgroup2", "unshare-cgroup", "unshare-user", "clone-user", "clone3-user", "unshare-mount")
}

func callForbidden(h *hostile) {
	h.denied("keyctl", "add_key", "request_key", "userfaultfd", "io_uring_setup", "unshare-user", "clone-user", "clone3-user", "tiocsti", "tiocsti-high", "tioclinux",
		"bpf", "perf_event_open", "kexec_load", "init_module", "finit_module", "delete_module", "open_by_handle_at", "mount-tmpfs", "setns", "syslog", "ptrace-init",
		"personality", "socket-vsock", "quotactl", "reboot", "swapon", "settimeofday", "setuid-program", "ambient", "bounding")
}

// configureFromImage has files and labels in an image that configure some
// runtime or other.
func configureFromImage(h *hostile) {
	h.write("ctx/evil.json", `{"process":{"capabilities":{"bounding":["CAP_SYS_ADMIN"]}},"linux":{"seccomp":{"defaultAction":"SCMP_ACT_ALLOW"}},"krun":{"cpus":64}}`)
	var script strings.Builder
	script.WriteString("FROM hostile\n")
	for _, name := range []string{"/.krun_config.json", "/krun.json", "/config.json", "/.docksmith/config.json", "/etc/docksmith.json", "/etc/containers/containers.conf",
		"/etc/ld.so.preload", "/run/.containerenv", "/.dockerenv", "/etc/oci/config.json", "/usr/share/containers/seccomp.json"} {
		fmt.Fprintf(&script, "COPY evil.json %s\n", name)
	}
	for _, label := range []string{"run.oci.handler=krun", "run.oci.hooks.stderr=/f", "dev.docksmith.overlay.upper=/", "dev.docksmith.overlay.lower=/", "dev.docksmith.overlay.work=/",
		"io.podman.annotations.privileged=TRUE", "org.systemd.property.X=1", "run.oci.seccomp.receiver=/f", "dev.docksmith.isolation=none"} {
		fmt.Fprintf(&script, "LABEL %s\n", label)
	}
	script.WriteString("ENV DOCKSMITH_ISOLATION=none DOCKSMITH_NO_SECCOMP=1 GODEBUG=x=1 LD_PRELOAD=/bin/evil _CONTAINERS_USERNS_CONFIGURED=1\n")
	h.write("ctx/step", script.String())
	h.sh("ds-build -q -t configured -f ctx/step ctx >/dev/null; ds-store bundle configured c")
	type config struct {
		Process struct {
			Capabilities    map[string][]string
			NoNewPrivileges bool
		}
		Linux, Mounts, Hooks json.RawMessage
		Annotations          map[string]string
	}
	var plain, configured config
	for name, c := range map[string]*config{"b": &plain, "c": &configured} {
		if err := json.Unmarshal([]byte(h.sh("cat "+name+"/config.json")), c); err != nil {
			h.Fatal(err)
		}
	}
	if string(plain.Linux) != string(configured.Linux) || string(plain.Mounts) != string(configured.Mounts) || configured.Hooks != nil ||
		fmt.Sprint(plain.Process) != fmt.Sprint(configured.Process) {
		h.Errorf("the image changed the bundle:\n%s", h.sh("cat c/config.json"))
	}
	for _, key := range []string{"dev.docksmith.overlay.upper", "dev.docksmith.overlay.work"} {
		if configured.Annotations[key] != plain.Annotations[key] {
			h.Errorf("%s is %q", key, configured.Annotations[key])
		}
	}
	// Who makes nodes may have had a /dev of his own image in the way.
	verdicts := func(bundle string) []string {
		return slices.DeleteFunc(strings.Split(h.output("ds-exec run --no-record "+bundle+" -- env -u LD_PRELOAD probe"), "\n"), func(l string) bool { return l == "" })
	}
	if a, b := verdicts("b"), verdicts("c"); !slices.Equal(a, b) || len(a) < 100 {
		h.Errorf("the image changed what it may:\n%s\n%s", a, b)
	}
}

// escape starts processes that do what they can to stay: in sessions of their
// own, orphaned, deaf to signals, with the streams open.
const escape = `for i in 1 2 3; do ( trap "" HUP INT TERM; setsid sh -c "trap \"\" HUP INT TERM; sleep %[1]s & sleep %[1]s" & ) & done; sleep 0.2; echo started`

func (h *hostile) gone(word string, within time.Duration, script string) {
	h.Helper()
	begun := time.Now()
	out := h.output(script)
	if took := time.Since(begun); took > within {
		h.Errorf("%s: it took %v", script, took)
	}
	if !strings.Contains(out, "started") {
		h.Errorf("%s: %s", script, out)
	}
	eventually(h.T, "what stayed is gone", func() bool { return len(processes("sleep\x00"+word)) == 0 })
}

func outliveContainer(h *hostile) {
	word := fmt.Sprintf("31%d.5", os.Getpid())
	escaping := fmt.Sprintf(escape, word)
	for _, flags := range []string{"", "--no-init ", "--isolation=chroot ", "--isolation=none "} {
		h.gone(word, 20*time.Second, "ds-exec run --no-record "+flags+"b -- sh -c '"+escaping+"'")
	}
	for _, flags := range []string{"", "--isolation=chroot "} {
		outliveEntered(h, flags, word, escaping)
	}
}

// outliveEntered: what was brought in ends with the container, and does not hold up
// who brought it.
func outliveEntered(h *hostile, flags, word, escaping string) {
	h.Helper()
	id := h.sh("ds-exec run -d " + flags + "b -- sleep 1000")
	begun := time.Now()
	if out := h.output("ds-exec enter " + id + " sh -c '(" + escaping + ") >/dev/null 2>&1; echo started'"); !strings.Contains(out, "started") || time.Since(begun) > 20*time.Second {
		h.Errorf("enter: %v: %s", time.Since(begun), out)
	}
	if len(processes("sleep\x00"+word)) == 0 {
		h.Error("what was brought in did not run")
	}
	h.sh("ds-exec rm -f " + id)
	eventually(h.T, "what was brought in is gone", func() bool { return len(processes("sleep\x00"+word)) == 0 })
}

func outliveStep(h *hostile) {
	word := fmt.Sprintf("32%d.5", os.Getpid())
	h.write("ctx/step", "FROM hostile\nRUN "+fmt.Sprintf(escape, word)+"\n")
	h.gone(word, 30*time.Second, "ds-build --progress=plain --no-cache -f ctx/step ctx")
}
