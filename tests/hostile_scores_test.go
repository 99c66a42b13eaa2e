package tests

import (
	"os"
	"os/exec"
	"regexp"
	"strings"
	"testing"
)

// hostileTargets are programs that ds-verify hostile attacks, as they are usually
// called; those that are not installed are left out. {} is the directory.
var hostileTargets = []struct{ needs, name, args string }{
	{"", "ds-layer, ds-store", ""},
	{"tar", "GNU tar", `--target 'tar -xf - -C {}'`},
	{"tar", "GNU tar -P", `--target 'tar -xPf - -C {}'`},
	{"busybox", "busybox tar", `--target 'busybox tar -xf - -C {}'`},
	{"bsdtar", "bsdtar", `--target 'bsdtar -xf - -C {}'`},
	{"umoci", "umoci raw unpack", `--whole --target 'd=$(mktemp -d); tar -xf - -C $d; umoci raw unpack $ROOTLESS --image $d:latest {}; s=$?; rm -rf $d; exit $s'`},
	{"skopeo", "skopeo copy", `--load 'd=$(mktemp -d); cat >$d/a; skopeo copy -q oci-archive:$d/a oci:{}/i:x; s=$?; rm -rf $d; exit $s'`},
	{"podman", "podman load", `--load 'd=$(mktemp -d -p /tmp); podman --root $d/r --runroot $d/s --storage-driver vfs load -q; s=$?; rm -rf $d; exit $s'`},
}

var scoreLine = regexp.MustCompile(`(?m)^score: [0-9]+ of [0-9]+ held$`)

// TestHostileScores prints how our programs and others do; ours hold against all.
func TestHostileScores(t *testing.T) {
	b := newBox(t)
	if os.Geteuid() != 0 {
		b.env = append(b.env, "ROOTLESS=--rootless")
	}
	for _, target := range hostileTargets {
		if target.needs != "" {
			if _, err := exec.LookPath(target.needs); err != nil {
				t.Logf("%-20s not installed", target.name)
				continue
			}
			if testing.Short() || os.Getenv("DOCKSMITH_PEERS") == "" && target.needs != "tar" {
				continue // they take long
			}
		}
		out, err := b.command("ds-verify hostile " + target.args + " 2>&1").CombinedOutput()
		score := scoreLine.FindString(string(out))
		t.Logf("%-20s %s", target.name, score)
		switch {
		case target.needs == "" && err != nil:
			t.Errorf("ours do not hold: %v\n%s", err, out)
		case score == "":
			t.Errorf("%s: no score: %v\n%s", target.name, err, out)
		}
		for line := range strings.Lines(string(out)) {
			if target.needs != "" && testing.Verbose() && !strings.HasPrefix(line, "held") && !strings.HasPrefix(line, "score") {
				t.Logf("%20s %s", "", strings.TrimSpace(line))
			}
		}
	}
}
