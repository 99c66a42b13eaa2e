package sandbox

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// encoding/json prepares for every type below the one it is given, to read and to
// write: all that config.json can say takes it most of a millisecond, a tenth of
// a container's start. So objects are read member by member here, and the types
// that are rare only where they are there.

// field is where a member of an object goes: a pointer to what is no structure, or
// to one that is rare, or a function that reads the member.
type field struct {
	name string
	to   any
}

// decodeObject reads the members that have a field; null is as if not there.
func decodeObject(raw []byte, fields []field) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	for _, f := range fields {
		v := members[f.name]
		if !present(v) {
			continue
		}
		var err error
		if read, ok := f.to.(func(json.RawMessage) error); ok {
			err = read(v)
		} else {
			err = json.Unmarshal(v, f.to)
		}
		if err != nil {
			return fmt.Errorf("%s: %w", f.name, err)
		}
	}
	return nil
}

// decodeList reads a list of objects, each into one more of to.
func decodeList[T any](to *[]T, fields func(*T) []field) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		var list []json.RawMessage
		if err := json.Unmarshal(raw, &list); err != nil {
			return err
		}
		*to = make([]T, len(list))
		for i := range list {
			if err := decodeObject(list[i], fields(&(*to)[i])); err != nil {
				return err
			}
		}
		return nil
	}
}

// decodeNew reads an object into a new value of its own.
func decodeNew[T any](to **T, fields func(*T) []field) func(json.RawMessage) error {
	return func(raw json.RawMessage) error {
		*to = new(T)
		return decodeObject(raw, fields(*to))
	}
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

// refused is a member that would have no effect.
func refused(name string) field {
	return field{name, func(json.RawMessage) error { return errNotApplied }}
}

var errNotApplied = errors.New("it is not applied: remove it")

// decodeConfig reads config.json and refuses what could not be done.
func decodeConfig(raw []byte) (*specs.Spec, error) {
	if len(raw) > maxConfig {
		return nil, fmt.Errorf("config.json: larger than %d bytes", maxConfig)
	}
	s := &specs.Spec{}
	err := decodeObject(raw, specFields(s))
	if err == nil {
		err = checkSpec(s)
	}
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return s, nil
}

func specFields(s *specs.Spec) []field {
	return []field{
		{"ociVersion", &s.Version}, {"hostname", &s.Hostname}, {"domainname", &s.Domainname}, {"annotations", &s.Annotations},
		{"hooks", &s.Hooks}, {"mounts", decodeList(&s.Mounts, mountFields)}, {"process", decodeNew(&s.Process, processFields)},
		{"root", decodeNew(&s.Root, func(r *specs.Root) []field { return []field{{"path", &r.Path}, {"readonly", &r.Readonly}} })},
		{"linux", decodeNew(&s.Linux, linuxFields)},
	}
}

func mountFields(m *specs.Mount) []field {
	return []field{
		{"destination", &m.Destination}, {"type", &m.Type}, {"source", &m.Source}, {"options", &m.Options},
		{"uidMappings", &m.UIDMappings}, {"gidMappings", &m.GIDMappings},
	}
}

func processFields(p *specs.Process) []field {
	user := func(raw json.RawMessage) error {
		u := &p.User
		return decodeObject(raw, []field{{"uid", &u.UID}, {"gid", &u.GID}, {"umask", &u.Umask}, {"additionalGids", &u.AdditionalGids}})
	}
	return []field{
		{"terminal", &p.Terminal}, {"consoleSize", &p.ConsoleSize}, {"user", user}, {"args", &p.Args}, {"env", &p.Env}, {"cwd", &p.Cwd},
		{"capabilities", decodeNew(&p.Capabilities, capabilityFields)}, {"rlimits", &p.Rlimits}, {"noNewPrivileges", &p.NoNewPrivileges},
		{"apparmorProfile", &p.ApparmorProfile}, {"selinuxLabel", &p.SelinuxLabel}, {"oomScoreAdj", &p.OOMScoreAdj},
		{"scheduler", &p.Scheduler}, {"ioPriority", &p.IOPriority}, refused("execCPUAffinity"),
	}
}

func capabilityFields(c *specs.LinuxCapabilities) []field {
	return []field{
		{"bounding", &c.Bounding}, {"effective", &c.Effective}, {"permitted", &c.Permitted},
		{"inheritable", &c.Inheritable}, {"ambient", &c.Ambient},
	}
}

func linuxFields(l *specs.Linux) []field {
	return []field{
		{"sysctl", &l.Sysctl}, {"devices", &l.Devices}, {"rootfsPropagation", &l.RootfsPropagation},
		{"namespaces", decodeList(&l.Namespaces, func(n *specs.LinuxNamespace) []field {
			return []field{{"type", &n.Type}, {"path", &n.Path}}
		})},
		{"maskedPaths", &l.MaskedPaths}, {"readonlyPaths", &l.ReadonlyPaths}, {"mountLabel", &l.MountLabel}, {"cgroupsPath", &l.CgroupsPath},
		{"uidMappings", &l.UIDMappings}, {"gidMappings", &l.GIDMappings}, {"seccomp", &l.Seccomp}, {"personality", &l.Personality},
		{"resources", func(raw json.RawMessage) error { return decodeResources(raw, &l.Resources) }},
		refused("netDevices"), refused("intelRdt"), refused("memoryPolicy"), refused("timeOffsets"),
	}
}

// decodeResources reads limits. Nearly every bundle has the rule on devices that
// engines give, and nothing else.
func decodeResources(raw json.RawMessage, to **specs.LinuxResources) error {
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return err
	}
	if len(members) > 1 || !present(members["devices"]) {
		return json.Unmarshal(raw, to)
	}
	*to = &specs.LinuxResources{}
	return decodeList(&(*to).Devices, func(d *specs.LinuxDeviceCgroup) []field {
		return []field{{"allow", &d.Allow}, {"type", &d.Type}, {"major", &d.Major}, {"minor", &d.Minor}, {"access", &d.Access}}
	})(members["devices"])
}
