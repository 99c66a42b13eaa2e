package sandbox

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// begun is a file system that the command began from within its namespaces: a
// proc is of the pid namespace of who opens it, and this thread is not in the one
// that it makes children in; and others belong to the user namespace of who
// opens them.
type begun struct {
	fstype string
	fd     int
}

// toBegin are those that the command is to begin.
func (c *container) toBegin() (types []string) {
	if hasNamespace(c.spec, specs.PIDNamespace) {
		types = []string{"proc"}
	}
	if c.wanted == nil {
		return types
	}
	for _, m := range c.spec.Mounts {
		if slices.Contains(m.Options, "tmpcopyup") {
			continue // which keeps the owners of what it copies
		}
		if m.Type == "tmpfs" || m.Type == "devpts" || m.Type == "mqueue" && c.newNamespace(specs.IPCNamespace) {
			types = append(types, m.Type)
		}
	}
	return types
}

func (c *container) takeBegun(m *mount) (int, bool) {
	for i, b := range c.begun {
		if b.fstype == m.fstype && !m.attr.copyUp {
			c.begun = append(c.begun[:i:i], c.begun[i+1:]...)
			return b.fd, true
		}
	}
	return -1, false
}
