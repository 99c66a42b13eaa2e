package sandbox

import (
	"slices"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// TestTerminalIsNamed: programs on a terminal want to know what it is.
func TestTerminalIsNamed(t *testing.T) {
	for _, c := range []struct {
		terminal bool
		of       bool // the specification's own, which says all of its environment
		image    []string
		caller   []string
		want     []string
	}{
		{true, false, []string{"A=b"}, nil, []string{"A=b", "TERM=xterm"}},
		{true, false, []string{"TERM=linux"}, nil, []string{"TERM=linux"}},
		{true, false, []string{"TERM=linux"}, []string{"TERM=vt100"}, []string{"TERM=vt100"}},
		{true, false, nil, []string{"TERM="}, []string{"TERM="}},
		{false, false, []string{"A=b"}, nil, []string{"A=b"}},
		{false, true, []string{"A=b"}, nil, []string{"A=b"}},
	} {
		spec := &specs.Spec{
			Process: &specs.Process{Args: []string{"sh"}, Cwd: "/", Env: c.image, Terminal: c.of},
			Root:    &specs.Root{Path: "rootfs"}, Linux: &specs.Linux{},
		}
		got, err := Options{Terminal: c.terminal, Env: c.caller}.apply(spec)
		if err != nil || !slices.Equal(got.Process.Env, c.want) || !slices.Equal(spec.Process.Env, c.image) {
			t.Errorf("%+v: %v, %v", c, got.Process.Env, err)
		}
	}
}
