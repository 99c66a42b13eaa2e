package sandbox

import (
	"bytes"
	"encoding/binary"
	"os"
	"runtime"
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestUsualFilter compiles the default profile and compares it with the one that
// is there. With UPDATE set it writes that.
func TestUsualFilter(t *testing.T) {
	spec := &specs.Spec{
		Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: usualCaps}},
		Linux:   &specs.Linux{},
	}
	want, err := compileFilter(spec)
	if err != nil {
		t.Fatal(err)
	}
	if os.Getenv("UPDATE") != "" && runtime.GOARCH == "amd64" {
		var b bytes.Buffer
		if err := binary.Write(&b, binary.LittleEndian, want); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile("seccomp_usual_amd64.bpf", b.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	got := usual(spec)
	if got == nil && runtime.GOARCH != "amd64" {
		t.Skipf("none is kept for %s", runtime.GOARCH)
	}
	if !slices.Equal(got, want) {
		t.Errorf("the filter that is kept is not the default profile's: run go generate")
	}
	for name, other := range map[string]*specs.Spec{
		"a profile of its own": {Process: spec.Process, Linux: &specs.Linux{Seccomp: &specs.LinuxSeccomp{}}},
		"no capabilities":      {Process: &specs.Process{}, Linux: &specs.Linux{}},
		"fewer":                {Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: usualCaps[1:]}}, Linux: &specs.Linux{}},
		"more":                 {Process: &specs.Process{Capabilities: &specs.LinuxCapabilities{Bounding: append([]string{"CAP_SYS_ADMIN"}, usualCaps...)}}, Linux: &specs.Linux{}},
	} {
		if usual(other) != nil {
			t.Errorf("%s: the usual filter", name)
		}
	}
}
