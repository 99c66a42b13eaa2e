package tests

import (
	"os"
	"testing"
)

// TestLuaFromItsSource is the example that needs the world: a Debian base, apt
// in a RUN, a compiler, two stages. The second build does nothing again.
func TestLuaFromItsSource(t *testing.T) {
	if os.Getenv("DOCKSMITH_TEST_NETWORK") == "" {
		t.Skip("DOCKSMITH_TEST_NETWORK is not set: mmdebstrap and apt would need a network")
	}
	needs(t, "mmdebstrap")
	b := newBox(t)
	if _, err := b.try(repository() + "/scripts/base-debian debian:bookworm"); err != nil {
		t.Skipf("mmdebstrap makes no base here: %v", err)
	}
	build := "docksmith build -q --network=host -t lua:5.4 " + repository() + "/tests/examples/lua"
	first := b.sh(build)
	if got := b.sh("docksmith run -e NAME=test lua:5.4"); got != "Hello, test, from Lua 5.4: 2 3 5 7 11 13 17 19 23 29" {
		t.Errorf("the program says %q", got)
	}
	if b.status("ds-exec run --rm $(ds-store bundle --new lua:5.4) -- gcc") != 127 {
		t.Error("the compiler is in the second stage")
	}
	if second := b.sh(build); second != first {
		t.Errorf("built again: %s, first %s", second, first)
	}
}
