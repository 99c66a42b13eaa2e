package sandbox

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// document is config.json with the parts that matter, those that are rare or
// large unread. encoding/json prepares for every type below the one it is given,
// and all that the specification can say takes it most of a millisecond, a tenth
// of a container's start.
type document struct {
	Version     string            `json:"ociVersion"`
	Process     *processDocument  `json:"process"`
	Root        *specs.Root       `json:"root"`
	Hostname    string            `json:"hostname"`
	Domainname  string            `json:"domainname"`
	Mounts      []specs.Mount     `json:"mounts"`
	Hooks       json.RawMessage   `json:"hooks"`
	Annotations map[string]string `json:"annotations"`
	Linux       *linuxDocument    `json:"linux"`
}

type processDocument struct {
	Terminal        bool                     `json:"terminal"`
	ConsoleSize     *specs.Box               `json:"consoleSize"`
	User            specs.User               `json:"user"`
	Args            []string                 `json:"args"`
	Env             []string                 `json:"env"`
	Cwd             string                   `json:"cwd"`
	Capabilities    *specs.LinuxCapabilities `json:"capabilities"`
	Rlimits         []specs.POSIXRlimit      `json:"rlimits"`
	NoNewPrivileges bool                     `json:"noNewPrivileges"`
	ApparmorProfile string                   `json:"apparmorProfile"`
	SelinuxLabel    string                   `json:"selinuxLabel"`
	OOMScoreAdj     *int                     `json:"oomScoreAdj"`

	Scheduler       json.RawMessage `json:"scheduler"`
	IOPriority      json.RawMessage `json:"ioPriority"`
	ExecCPUAffinity json.RawMessage `json:"execCPUAffinity"`
}

type linuxDocument struct {
	Sysctl            map[string]string      `json:"sysctl"`
	Namespaces        []specs.LinuxNamespace `json:"namespaces"`
	Devices           []specs.LinuxDevice    `json:"devices"`
	RootfsPropagation string                 `json:"rootfsPropagation"`
	MaskedPaths       []string               `json:"maskedPaths"`
	ReadonlyPaths     []string               `json:"readonlyPaths"`
	MountLabel        string                 `json:"mountLabel"`
	CgroupsPath       string                 `json:"cgroupsPath"`
	UIDMappings       []specs.LinuxIDMapping `json:"uidMappings"`
	GIDMappings       []specs.LinuxIDMapping `json:"gidMappings"`

	Resources    json.RawMessage `json:"resources"`
	Seccomp      json.RawMessage `json:"seccomp"`
	NetDevices   json.RawMessage `json:"netDevices"`
	IntelRdt     json.RawMessage `json:"intelRdt"`
	MemoryPolicy json.RawMessage `json:"memoryPolicy"`
	Personality  json.RawMessage `json:"personality"`
	TimeOffsets  json.RawMessage `json:"timeOffsets"`
}

// decodeConfig reads config.json and refuses what could not be done.
func decodeConfig(raw []byte) (*specs.Spec, error) {
	if len(raw) > maxConfig {
		return nil, fmt.Errorf("config.json: larger than %d bytes", maxConfig)
	}
	var doc document
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&doc); err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("config.json: data after the document")
	}
	spec, err := doc.spec()
	if err == nil {
		err = checkSpec(spec)
	}
	if err != nil {
		return nil, fmt.Errorf("config.json: %w", err)
	}
	return spec, nil
}

// spec gives the document its usual form.
func (doc *document) spec() (*specs.Spec, error) {
	s := &specs.Spec{
		Version: doc.Version, Root: doc.Root, Hostname: doc.Hostname, Domainname: doc.Domainname,
		Mounts: doc.Mounts, Annotations: doc.Annotations,
	}
	if err := decodePresent(doc.Hooks, &s.Hooks); err != nil {
		return nil, err
	}
	if p := doc.Process; p != nil {
		s.Process = &specs.Process{
			Terminal: p.Terminal, ConsoleSize: p.ConsoleSize, User: p.User, Args: p.Args, Env: p.Env, Cwd: p.Cwd, Capabilities: p.Capabilities,
			Rlimits: p.Rlimits, NoNewPrivileges: p.NoNewPrivileges, ApparmorProfile: p.ApparmorProfile,
			SelinuxLabel: p.SelinuxLabel, OOMScoreAdj: p.OOMScoreAdj,
		}
		if err := refusePresent(map[string]json.RawMessage{
			"process.execCPUAffinity": p.ExecCPUAffinity,
		}); err != nil {
			return nil, err
		}
		if err := decodePresent(p.Scheduler, &s.Process.Scheduler); err != nil {
			return nil, err
		}
		if err := decodePresent(p.IOPriority, &s.Process.IOPriority); err != nil {
			return nil, err
		}
	}
	if l := doc.Linux; l != nil {
		s.Linux = &specs.Linux{
			Sysctl: l.Sysctl, Namespaces: l.Namespaces, Devices: l.Devices, RootfsPropagation: l.RootfsPropagation,
			MaskedPaths: l.MaskedPaths, ReadonlyPaths: l.ReadonlyPaths, MountLabel: l.MountLabel,
			CgroupsPath: l.CgroupsPath, UIDMappings: l.UIDMappings, GIDMappings: l.GIDMappings,
		}
		if err := l.rest(s.Linux); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (l *linuxDocument) rest(s *specs.Linux) error {
	if err := refusePresent(map[string]json.RawMessage{
		"linux.netDevices": l.NetDevices, "linux.intelRdt": l.IntelRdt, "linux.memoryPolicy": l.MemoryPolicy,
		"linux.timeOffsets": l.TimeOffsets,
	}); err != nil {
		return err
	}
	if err := errors.Join(decodePresent(l.Seccomp, &s.Seccomp), decodePresent(l.Personality, &s.Personality)); err != nil {
		return err
	}
	return decodePresent(l.Resources, &s.Resources)
}

func present(raw json.RawMessage) bool { return len(raw) > 0 && string(raw) != "null" }

func decodePresent(raw json.RawMessage, v any) error {
	if !present(raw) {
		return nil
	}
	return json.Unmarshal(raw, v)
}

// refusePresent refuses settings that would have no effect.
func refusePresent(members map[string]json.RawMessage) error {
	for name, raw := range members {
		if present(raw) {
			return fmt.Errorf("%s is not applied: remove it", name)
		}
	}
	return nil
}
