package tests

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// rootlessRow is a command line and what it prints, on both streams, to a user
// with a range of ids and to one without. ME is the user's id, FIRST the first of
// the range.
type rootlessRow struct{ name, script, ranged, single string }

// oneIDWords are said wherever one id is not enough.
const oneIDWords = "give the user a range in /etc/subuid and /etc/subgid and install newuidmap"

var rootlessRows = []rootlessRow{
	{"who one is", "ds-exec run --no-record b -- sh -c 'id -u; id -g'", "0\n0\n", "0\n0\n"},
	{"ids outside", "ds-exec run --no-record b -- cat /proc/self/uid_map | tr -s ' '", " 0 ME 1\n 1 FIRST", " 0 ME 1\n"},
	{"root's files", "mkdir -p v; ds-exec run --no-record -v ./v:/v b -- sh -c '>/v/f; stat -c %u /v/f'; stat -c %u v/f", "0\nME\n", "0\nME\n"},
	{"another owner", "mkdir -p v; ds-exec run --no-record -v ./v:/v b -- sh -c '>/v/g; chown 33:33 /v/g; stat -c %u /v/g'; stat -c %u v/g", "33\nFIRST+32\n", "chown: /v/g: Invalid argument\n0\nME\n"},
	{"another owner, and nothing else", "ds-exec run --no-record b -- chown 33 /tmp; echo $?", "0\n", oneIDWords + "\n1\n"},
	{"another user", "ds-exec run --no-record --user 33 b -- id -u; echo $?", "33\n0\n", oneIDWords + ", or run as root\n125\n"},
	{"another user entered", `id=$(ds-exec run -d b -- sleep 100); ds-exec enter --user 33 $id id -u; echo $?; ds-exec rm -f $id >/dev/null`, "33\n0\n", oneIDWords + ", or run as root\n125\n"},
	{"groups", "ds-exec run --no-record --user 0:44 b -- id -g; echo $?", "44\n0\n", oneIDWords},
	{"a step's owner", `printf 'FROM base\nRUN chown 33 /tmp\n' >f; ds-build -q --no-cache -f f . >/dev/null; echo $?`, "0\n", oneIDWords},
	{"a step's user", `printf 'FROM base\nUSER 33\nRUN id -u\n' >f; ds-build -q --no-cache -f f . >/dev/null; echo $?`, "0\n", oneIDWords},
	{"owners of copies", `printf 'FROM base\nCOPY --chown=33 v/f /f\n' >f; ds-build -q -t chowned -f f . >/dev/null; echo $?`, "0\n", "0\n"},
	{"devices", "ds-exec run --no-record b -- mknod /tmp/n b 7 0; echo $?", "Operation not permitted\n1\n", "Operation not permitted\n"},
	{"limits", "ds-exec run --no-record --memory 64m b -- true; echo $?", "no cgroup controller is delegated", "no cgroup controller is delegated"},
	{"ports of the machine", "ds-exec run --no-record --network host b -- true; echo $?", "the command uses the machine's network\n0\n", "the command uses the machine's network\n0\n"},
}

// TestRootless shows an ordinary user what is documented.
func TestRootless(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("for ordinary users: TestRootlessUsers runs it for two of them")
	}
	b := newBox(t)
	b.bundles(1)
	b.sh("mv b0 b")
	first := 0
	if hasIDRange() {
		fields := strings.Fields(b.sh("ds-exec run --no-record b -- cat /proc/self/uid_map"))
		if len(fields) < 6 {
			t.Fatalf("ids: %v", fields)
		}
		_, _ = fmt.Sscan(fields[4], &first)
	}
	for _, r := range rootlessRows {
		t.Run(r.name, func(t *testing.T) {
			want := r.single
			if hasIDRange() {
				want = r.ranged
			}
			want = strings.NewReplacer("ME", fmt.Sprint(os.Getuid()), "FIRST+32", fmt.Sprint(first+32), "FIRST", fmt.Sprint(first)).Replace(want)
			cmd := b.command(r.script)
			cmd.Args = []string{"sh", "-c", r.script}
			out, _ := cmd.CombinedOutput() // the script says how things end
			if !strings.Contains(string(out), want) {
				t.Errorf("%s\n%s\nwant %q", r.script, out, want)
			}
		})
	}
}

func TestRootlessUsers(t *testing.T) {
	needsRoot(t, "TestRootless has done it")
	for name, uid := range map[string]uint32{"one id": ordinary, "range of ids": userWithRange(t)} {
		t.Run(name, func(t *testing.T) {
			if uid == 0 {
				t.Skip("no ordinary user of this machine has a range of ids")
			}
			runAs(t, uid, "TestRootless", skipReasons)
		})
	}
}

// TestRootlessInstall installs a Debian package as an ordinary user, on the
// machine's network.
func TestRootlessInstall(t *testing.T) {
	if os.Getenv("DOCKSMITH_TEST_NETWORK") == "" {
		t.Skip("DOCKSMITH_TEST_NETWORK is not set: apt would need a network")
	}
	debian := filepath.Join(top, "debian.tar")
	if os.Geteuid() == 0 {
		needs(t, "mmdebstrap")
		if out, err := exec.Command("mmdebstrap", "--variant=apt", "bookworm", debian).CombinedOutput(); err != nil {
			t.Fatalf("mmdebstrap: %v\n%s", err, out)
		}
		for _, uid := range []uint32{ordinary, userWithRange(t)} {
			if uid != 0 {
				runAs(t, uid, "TestRootlessInstall", skipReasons)
			}
		}
		return
	}
	if _, err := os.Stat(debian); err != nil {
		t.Skip("for root, who makes a Debian for two ordinary users")
	}
	b := newBox(t)
	b.sh("docksmith base --from-tar " + debian + " debian:bookworm")
	alone := ""
	if !hasIDRange() { // apt would become another user to fetch
		alone = `echo "APT::Sandbox::User \"root\";" >/etc/apt/apt.conf.d/alone; `
	}
	out := b.sh(`docksmith run --network host debian:bookworm sh -ec '` + alone + `apt-get update -qq >/dev/null; apt-get install -y --no-install-recommends hello >/dev/null 2>&1; hello'`)
	if !strings.Contains(out, "Hello, world!") {
		t.Error(out)
	}
}
