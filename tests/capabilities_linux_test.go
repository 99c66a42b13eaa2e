package tests

import (
	"encoding/json"
	"os"
	"strconv"
	"strings"
	"testing"
)

// capSets are the five sets, as /proc/self/status has them.
type capSets struct{ inheritable, permitted, effective, bounding, ambient uint64 }

// engineCaps are the fourteen that container engines give.
const engineCaps = 0xa80425fb

func capBits(numbers ...int) (set uint64) {
	for _, n := range numbers {
		set |= 1 << n
	}
	return set
}

// readCapSets runs a command line that runs the probe.
func (h *hostile) readCapSets(script string) (sets capSets, text string) {
	h.Helper()
	text = h.output(script)
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), "\t")
		dst := map[string]*uint64{"CapInh": &sets.inheritable, "CapPrm": &sets.permitted, "CapEff": &sets.effective, "CapBnd": &sets.bounding, "CapAmb": &sets.ambient}[key]
		if dst == nil {
			continue
		}
		n, err := strconv.ParseUint(value, 16, 64)
		if err != nil {
			h.Fatal(err)
		}
		*dst = n
	}
	return sets, text
}

// TestCapabilitiesAreExact: every set of every process that is run in a container
// is what it shall be, and not one more.
func TestCapabilitiesAreExact(t *testing.T) {
	if os.Geteuid() != 0 && !userNamespaces() {
		t.Skip("no user namespaces")
	}
	h := newHostile(t)
	const chown, kill, netBind, sysChroot, netAdmin = 0, 5, 10, 18, 12
	some := capBits(kill, netBind)
	rows := []struct {
		flags string
		want  capSets
	}{
		{"", capSets{0, engineCaps, engineCaps, engineCaps, 0}},
		{"--no-init", capSets{0, engineCaps, engineCaps, engineCaps, 0}},
		{"--no-seccomp", capSets{0, engineCaps, engineCaps, engineCaps, 0}},
		{"--cap-drop all", capSets{}},
		{"--cap-drop ALL --cap-add KILL --cap-add cap_net_bind_service", capSets{0, some, some, some, 0}},
		{"--cap-drop kill --cap-drop CAP_CHOWN", capSets{0, engineCaps &^ capBits(kill, chown), engineCaps &^ capBits(kill, chown), engineCaps &^ capBits(kill, chown), 0}},
		{"--cap-add net_admin", capSets{0, engineCaps | capBits(netAdmin), engineCaps | capBits(netAdmin), engineCaps | capBits(netAdmin), 0}},
		{"--cap-drop sys_chroot --cap-add sys_chroot", capSets{0, engineCaps, engineCaps, engineCaps, 0}},
	}
	if hasMoreIDs() {
		rows = append(rows, []struct {
			flags string
			want  capSets
		}{
			{"--user 7", capSets{0, 0, 0, engineCaps, 0}},
			{"--user 7:8 --cap-add sys_chroot --cap-drop all", capSets{0, 0, 0, capBits(sysChroot), 0}},
		}...)
	}
	for _, r := range rows {
		t.Run("run "+r.flags, func(t *testing.T) { h.in(t).capabilitiesOf(r.flags, r.want) })
	}
	t.Run("RUN", func(t *testing.T) { h.in(t).capabilitiesOfSteps() })
	t.Run("exec", func(t *testing.T) {
		needsRoot(t, "the runtime's own exec is tried as root")
		h.in(t).capabilitiesOfRuntime()
	})
	for _, wrong := range []string{"--cap-add nonsense", "--cap-drop CAP_NONSENSE", "--cap-add net_admin --isolation none"} {
		if out := h.output("ds-exec run --no-record " + wrong + " b -- probe sets"); !strings.Contains(out, "ds-exec run: error:") || !strings.Contains(out, "capabilit") {
			t.Errorf("%s: %s", wrong, out)
		}
	}
}

func TestCapabilitiesAreExactAsUser(t *testing.T) {
	runAsOrdinary(t, "TestCapabilitiesAreExact", func(*testing.T, string) string { return "no user namespaces, or for root" })
}

// in is h for a part of its test.
func (h *hostile) in(t *testing.T) *hostile {
	inner, b := *h, *h.box
	b.t = t
	inner.T, inner.box = t, &b
	return &inner
}

// capabilitiesOf looks at a command, and at those that are brought in to it.
func (h *hostile) capabilitiesOf(flags string, want capSets) {
	got, text := h.readCapSets("ds-exec run --no-record " + flags + " b -- probe sets")
	if got != want {
		h.Errorf("run: %x, want %x\n%s", got, want, text)
	}
	id := h.sh("ds-exec run -d " + flags + " b -- sleep 1000 2>/dev/null")
	defer h.output("ds-exec rm -f " + id)
	if got, text := h.readCapSets("ds-exec enter " + id + " probe sets"); got != want {
		h.Errorf("enter: %x, want %x\n%s", got, want, text)
	}
	if hasMoreIDs() {
		want := capSets{bounding: want.bounding}
		if got, text := h.readCapSets("ds-exec enter --user 9 " + id + " probe sets"); got != want {
			h.Errorf("enter as a user: %x, want %x\n%s", got, want, text)
		}
	}
}

// hasMoreIDs tells whether a container has users beside root.
func hasMoreIDs() bool { return os.Geteuid() == 0 || hasIDRange() }

// capabilitiesOfSteps are those of RUN, of root and of another user.
func (h *hostile) capabilitiesOfSteps() {
	h.Helper()
	users := map[string]capSets{"root": {0, engineCaps, engineCaps, engineCaps, 0}}
	if hasMoreIDs() {
		users["7"] = capSets{bounding: engineCaps}
	}
	for user, want := range users {
		h.write("ctx/step", "FROM hostile\nRUN chmod 777 /tmp\nUSER "+user+"\nRUN probe sets >/tmp/out\n")
		h.sh("ds-build -q --no-cache -t out -f ctx/step ctx >/dev/null; ds-store bundle out o")
		if got, text := h.readCapSets("ds-exec run --no-record o -- cat /tmp/out"); got != want {
			h.Errorf("RUN as %s: %x, want %x\n%s", user, got, want, text)
		}
		h.sh("chmod -R u+rwX o; rm -rf o")
	}
}

// capabilitiesOfRuntime are those of create and exec, by what config.json says.
func (h *hostile) capabilitiesOfRuntime() {
	h.Helper()
	var spec map[string]any
	if err := json.Unmarshal([]byte(h.sh("cat b/config.json")), &spec); err != nil {
		h.Fatal(err)
	}
	process := spec["process"].(map[string]any)
	process["capabilities"] = map[string][]string{
		"bounding": {"CAP_KILL", "CAP_CHOWN"}, "permitted": {"CAP_KILL"}, "effective": {"CAP_KILL"}, "inheritable": {"CAP_KILL"}, "ambient": {"CAP_KILL"},
	}
	process["user"] = map[string]int{"uid": 7, "gid": 7}
	process["args"] = []string{"probe", "sets"}
	raw, err := json.Marshal(spec)
	if err != nil {
		h.Fatal(err)
	}
	h.sh("ds-store bundle hostile r")
	h.write("r/config.json", string(raw))
	kill := capBits(5)
	runtime := "ds-runtime --root $PWD/state "
	want := capSets{kill, kill, kill, kill | capBits(0), kill}
	h.sh(runtime + "create --bundle r r >r.out 2>&1 </dev/null; " + runtime + "start r")
	for range 200 {
		if strings.Contains(h.sh("cat r.out"), "CapAmb") {
			break
		}
		h.sh("sleep 0.02")
	}
	if got, text := h.readCapSets("cat r.out"); got != want {
		h.Errorf("create: %x, want %x\n%s", got, want, text)
	}
	h.sh(runtime + "delete --force r; rm -rf r; ds-store bundle hostile r; " + runtime + "create --bundle r e >/dev/null 2>&1 </dev/null")
	for flags, want := range map[string]capSets{
		"": {0, engineCaps, engineCaps, engineCaps, 0}, "--user 7": {bounding: engineCaps},
		"--cap CAP_NET_ADMIN": {0, engineCaps | capBits(12), engineCaps | capBits(12), engineCaps | capBits(12), 0},
	} {
		if got, text := h.readCapSets(runtime + "exec " + flags + " e probe sets"); got != want {
			h.Errorf("exec %s: %x, want %x\n%s", flags, got, want, text)
		}
	}
	h.sh(runtime + "delete --force e")
}
