package sandbox

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// checkSpec refuses what cannot be done, before anything is made.
func checkSpec(s *specs.Spec) error {
	switch {
	case !strings.HasPrefix(s.Version, "1."):
		return fmt.Errorf("ociVersion %q is not 1.x", s.Version)
	case s.Process == nil:
		return errors.New("no process")
	case s.Root == nil || s.Root.Path == "":
		return errors.New("no root")
	case s.Linux == nil:
		return errors.New("no linux section")
	case s.Process.ApparmorProfile != "" || s.Process.SelinuxLabel != "" || s.Linux.MountLabel != "":
		return errors.New("security labels are not applied: remove them")
	case s.Linux.RootfsPropagation != "" && propagationWords[s.Linux.RootfsPropagation] == 0:
		return fmt.Errorf("rootfsPropagation %q is not known", s.Linux.RootfsPropagation)
	}
	seen := map[specs.LinuxNamespaceType]bool{}
	for _, n := range s.Linux.Namespaces {
		switch {
		case seen[n.Type]:
			return fmt.Errorf("namespace %s is listed twice", n.Type)
		case n.Path != "" && !path.IsAbs(n.Path):
			return fmt.Errorf("namespace %s: path %q is not absolute", n.Type, n.Path)
		}
		seen[n.Type] = true
		if namespaceFlags[n.Type] == 0 {
			return fmt.Errorf("namespace %q is not known", n.Type)
		}
	}
	return errors.Join(checkStrings(s), checkHooks(s.Hooks))
}

// checkStrings refuses NUL bytes, which would cut what the kernel gets.
func checkStrings(s *specs.Spec) error {
	all := append([]string{s.Process.Cwd, s.Root.Path, s.Hostname, s.Domainname}, s.Process.Args...)
	all = append(all, s.Process.Env...)
	for _, m := range s.Mounts {
		all = append(append(all, m.Destination, m.Source, m.Type), m.Options...)
	}
	for _, v := range s.Annotations {
		all = append(all, v)
	}
	for _, v := range all {
		if strings.IndexByte(v, 0) >= 0 {
			return fmt.Errorf("NUL byte in %q", v)
		}
	}
	return nil
}

var namespaceFlags = map[specs.LinuxNamespaceType]int{
	specs.PIDNamespace: unix.CLONE_NEWPID, specs.MountNamespace: unix.CLONE_NEWNS, specs.IPCNamespace: unix.CLONE_NEWIPC,
	specs.UTSNamespace: unix.CLONE_NEWUTS, specs.NetworkNamespace: unix.CLONE_NEWNET, specs.CgroupNamespace: unix.CLONE_NEWCGROUP,
	specs.UserNamespace: unix.CLONE_NEWUSER,
}

// apply gives the specification with the options worked in. The original stays
// as it is.
func (o Options) apply(orig *specs.Spec) (_ *specs.Spec, err error) {
	s, p, r, l := *orig, *orig.Process, *orig.Root, *orig.Linux
	s.Process, s.Root, s.Linux = &p, &r, &l
	if len(o.Args) > 0 {
		p.Args = o.Args
	}
	for _, e := range o.Env {
		if key, _, ok := strings.Cut(e, "="); !ok || key == "" {
			return nil, fmt.Errorf("environment %q is not KEY=VALUE", e)
		}
	}
	p.Env = mergeEnv(p.Env, o.Env)
	if o.Terminal && !slices.ContainsFunc(p.Env, func(e string) bool { return strings.HasPrefix(e, "TERM=") }) {
		p.Env = append(p.Env[:len(p.Env):len(p.Env)], "TERM=xterm") // as container engines have it: what images know
	}
	s.Mounts = append(append([]specs.Mount{}, s.Mounts...), o.Mounts...)
	r.Readonly = r.Readonly || o.Readonly
	if o.Hostname != "" {
		s.Hostname = o.Hostname
	}
	if o.Cwd != "" {
		p.Cwd = o.Cwd
	}
	if p.Cwd == "" {
		p.Cwd = "/"
	}
	p.Terminal = p.Terminal || o.Terminal
	l.Namespaces = o.namespaces(l.Namespaces)
	if p.Capabilities, err = o.capabilities(p.Capabilities); err != nil {
		return nil, fmt.Errorf("capabilities: %w", err)
	}
	if o.Isolation == IsolationNone {
		if err := unlock(&p, &l); err != nil {
			return nil, err
		}
	}
	switch {
	case len(p.Args) == 0:
		return nil, errors.New("no command: neither the bundle nor the command line names one")
	case !path.IsAbs(p.Cwd):
		return nil, fmt.Errorf("working directory %q is not absolute", p.Cwd)
	}
	if err := o.Limits.Apply(&s); err != nil {
		return nil, err
	}
	return &s, checkStrings(&s)
}

func (o Options) namespaces(list []specs.LinuxNamespace) []specs.LinuxNamespace {
	var out []specs.LinuxNamespace
	mount := specs.LinuxNamespace{Type: specs.MountNamespace}
	var network *specs.LinuxNamespace
	for _, n := range list {
		switch {
		case n.Type == specs.UserNamespace && entered() && n.Path == "": // we are in it
		case n.Type == specs.MountNamespace:
			mount = n
		case n.Type == specs.NetworkNamespace:
			network = &n
		case !o.NoNamespaces:
			out = append(out, n)
		}
	}
	if o.Network == "none" {
		network = &specs.LinuxNamespace{Type: specs.NetworkNamespace}
	}
	if network != nil && o.Network != "host" && !o.NoNamespaces {
		out = append(out, *network)
	}
	return append(out, mount)
}

func hasNamespace(s *specs.Spec, kind specs.LinuxNamespaceType) bool {
	for _, n := range s.Linux.Namespaces {
		if n.Type == kind {
			return true
		}
	}
	return false
}
