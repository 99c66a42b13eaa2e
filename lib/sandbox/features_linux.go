package sandbox

import (
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Features is what can be said in a bundle, as the specification has runtimes
// tell it. Whether this machine can do it is another question.
func Features() features.Features {
	on := true
	f := features.Features{
		OCIVersionMin: "1.0.0", OCIVersionMax: specs.Version,
		Hooks:        []string{"prestart", "createRuntime", "createContainer", "startContainer", "poststart", "poststop"},
		MountOptions: mountWords(),
		Linux:        &features.Linux{Cgroup: &features.Cgroup{V1: &on, V2: &on, Systemd: new(bool), SystemdUser: new(bool), Rdma: &on}},
		Annotations:  map[string]string{"dev.docksmith.overlay": "true"},
	}
	for kind := range namespaceFlags {
		f.Linux.Namespaces = append(f.Linux.Namespaces, string(kind))
	}
	for _, name := range capNames {
		f.Linux.Capabilities = append(f.Linux.Capabilities, "CAP_"+name)
	}
	s := &features.Seccomp{Enabled: &on, Operators: []string{
		"SCMP_CMP_EQ", "SCMP_CMP_GE", "SCMP_CMP_GT", "SCMP_CMP_LE", "SCMP_CMP_LT", "SCMP_CMP_MASKED_EQ", "SCMP_CMP_NE",
	}}
	for _, a := range []specs.LinuxSeccompAction{
		specs.ActAllow, specs.ActErrno, specs.ActKill, specs.ActKillProcess, specs.ActKillThread, specs.ActLog, specs.ActTrace, specs.ActTrap,
	} {
		s.Actions = append(s.Actions, string(a))
	}
	for _, a := range seccompArches {
		s.Archs = append(s.Archs, string(a.name))
	}
	f.Linux.Seccomp = s
	slices.Sort(f.Linux.Namespaces)
	slices.Sort(s.Archs)
	return f
}

// mountWords are the options that are not left to a file system.
func mountWords() []string {
	words := append([]string{OptionSubpath, OptionMayLack}, otherWords...)
	for w := range attributeWords {
		words = append(words, w, "r"+w)
	}
	for w := range propagationWords {
		words = append(words, w)
	}
	slices.Sort(words)
	return words
}
