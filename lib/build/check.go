package build

import (
	"fmt"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// check refuses, before anything of a stage runs, what this engine cannot do or
// was not given leave to do.
func (b *builder) check(s *plan.Stage) error {
	for _, st := range s.Steps {
		if err := b.checkStep(st); err != nil {
			return err
		}
	}
	return nil
}

func (b *builder) checkStep(st *plan.Step) error {
	for _, f := range st.Flags() {
		if err := b.checkFlag(st, f); err != nil {
			return b.fault(st.Line, err)
		}
	}
	return nil
}

// supported are the flags that steps obey; those of HEALTHCHECK check themselves.
var supported = map[dockerfile.Op][]string{
	dockerfile.Run:  {"network", "mount", "security"},
	dockerfile.Copy: {"from", "chown", "chmod", "exclude", "link", "parents"},
	dockerfile.Add:  {"chown", "chmod", "exclude", "link", "unpack", "checksum", "keep-git-dir"},
}

func (b *builder) checkFlag(st *plan.Step, f plan.Flag) error {
	if st.Op == dockerfile.Healthcheck {
		return nil
	}
	if f.Name == "device" {
		return fmt.Errorf("RUN --device=%s: no device is ever given to a step", f.Value)
	}
	known := false
	for _, name := range supported[st.Op] {
		known = known || name == f.Name
	}
	if !known {
		return fmt.Errorf("%s --%s is not supported yet", st.Op, f.Name)
	}
	switch f.Name {
	case "network":
		return b.checkNetwork(f.Value)
	case "security":
		return b.checkSecurity(f.Value)
	}
	return nil
}

func (b *builder) checkNetwork(value string) error {
	switch value {
	case "none", "default":
		return nil
	case "host":
		if b.o.Network != NetworkHost && !b.o.AllowHostNetwork {
			return &LeaveError{fmt.Errorf("RUN --network=host: the build was not given the host's network"), AllowNetworkHost}
		}
		return nil
	}
	return fmt.Errorf("RUN --network=%s: want default, none or host", value)
}

func (b *builder) checkSecurity(value string) error {
	switch value {
	case "sandbox":
		return nil
	case "insecure":
		if b.o.Insecure == nil {
			return &LeaveError{fmt.Errorf("RUN --security=insecure: the build was not given leave to run without a sandbox"), AllowInsecure}
		}
		return nil
	}
	return fmt.Errorf("RUN --security=%s: want sandbox or insecure", value)
}

// What a Dockerfile needs leave for, in the words of docker buildx.
const (
	AllowNetworkHost = "network.host"
	AllowInsecure    = "security.insecure"
)

// LeaveError is a wish of the Dockerfile that the caller has to allow.
type LeaveError struct {
	Err error
	// Allow is the leave that lacks, one of the above.
	Allow string
}

func (e *LeaveError) Error() string { return e.Err.Error() }

func (e *LeaveError) Unwrap() error { return e.Err }
