package sandbox

import (
	"os"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestDevicesOfABundle has devices by names, modes and owners of their own.
func TestDevicesOfABundle(t *testing.T) {
	b := newBox(t)
	if InUserNamespace() {
		t.Skip("for root")
	}
	mode, uid, gid := os.FileMode(0o640), uint32(3), uint32(4)
	b.spec.Linux.Devices = []specs.LinuxDevice{
		{Path: "/dev/mine/nothing", Type: "c", Major: 1, Minor: 3, FileMode: &mode, UID: &uid, GID: &gid},
		{Path: "/dev/fifo", Type: "p"}, {Path: "/dev/null", Type: "c", Major: 1, Minor: 3},
	}
	out := b.sh("ls -ln /dev/mine/nothing /dev/fifo /; echo x >/dev/mine/nothing && echo opens")
	for _, want := range []string{"crw-r-----    1 3        4           1,   3 ", "prw-rw-rw- ", "\nopens\n", " dev\n"} {
		if !strings.Contains(out, want) {
			t.Errorf("%q is missing:\n%s", want, out)
		}
	}
}
