package sandbox

import (
	"fmt"
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// join is a namespace that somebody else made, held open.
type join struct {
	kind specs.LinuxNamespaceType
	file *os.File
}

// openJoins opens the namespaces that the specification names by path, and
// makes sure that each is of its kind.
func openJoins(list []specs.LinuxNamespace) (joins []join, err error) {
	defer func() {
		if err != nil {
			closeJoins(joins)
		}
	}()
	for _, n := range list {
		if n.Path == "" {
			continue
		}
		fd, err := unix.Open(n.Path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		if err != nil {
			return joins, fmt.Errorf("namespace %s: open %s: %w", n.Type, n.Path, err)
		}
		joins = append(joins, join{n.Type, os.NewFile(uintptr(fd), n.Path)})
		kind, err := unix.IoctlRetInt(fd, unix.NS_GET_NSTYPE)
		if err != nil || kind != namespaceFlags[n.Type] {
			return joins, fmt.Errorf("namespace %s: %s is no namespace of that kind", n.Type, n.Path)
		}
	}
	return joins, nil
}

func closeJoins(joins []join) {
	for _, j := range joins {
		j.file.Close()
	}
}

// enter takes the calling thread there; for a pid namespace, its children. A
// user namespace the command joins.
func (j join) enter() error {
	if j.kind == specs.UserNamespace {
		return nil
	}
	if err := unix.Setns(int(j.file.Fd()), namespaceFlags[j.kind]); err != nil {
		return fmt.Errorf("join %s namespace %s: %w", j.kind, j.file.Name(), err)
	}
	return nil
}

// newNamespace tells whether the container gets one that nobody else is in.
func (c *container) newNamespace(kind specs.LinuxNamespaceType) bool {
	for _, n := range c.spec.Linux.Namespaces {
		if n.Type == kind {
			return n.Path == ""
		}
	}
	return false
}

// newFlags are those of unshare(2) for the new namespaces.
func (c *container) newFlags() (flags int) {
	for _, n := range c.spec.Linux.Namespaces {
		if n.Path == "" {
			flags |= namespaceFlags[n.Type]
		}
	}
	return flags
}
