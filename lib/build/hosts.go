package build

import (
	"errors"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Host is a name that RUN commands find in /etc/hosts.
type Host struct{ Name, Address string }

// hosts is what /etc/hosts says: what ds-exec would provide, and the names of
// the options.
func (r *runJob) hosts(hostname string) string {
	text := "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\t" + hostname + "\n"
	if r.network == NetworkHost {
		text = readOr("/etc/hosts", text)
	}
	for _, h := range r.b.o.Hosts {
		text += h.Address + "\t" + h.Name + "\n"
	}
	return text
}

// mountFile mounts a new file over one of /etc.
func (m *maker) mountFile(spec *specs.Spec, name, text string) error {
	file := filepath.Join(m.temp.Path(), name)
	if err := errors.Join(os.WriteFile(file, []byte(text), 0o644), os.Chmod(file, 0o644)); err != nil {
		return err
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: "/etc/" + name, Type: "bind", Source: name, Options: []string{"bind", "nosuid", "noexec"},
	})
	return nil
}
