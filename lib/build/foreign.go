package build

import (
	"fmt"

	"docksmith/lib/oci"
)

// ForeignError says that a command of an image for another platform does not
// run here, and why.
type ForeignError struct {
	Platform oci.Platform
	Err      error
}

func (e *ForeignError) Error() string {
	return fmt.Sprintf("the image is for %s: %v", oci.PlatformString(e.Platform), e.Err)
}

func (e *ForeignError) Unwrap() error { return e.Err }

// statusNotInvocable is the status of a command that is there and that the
// kernel does not execute.
const statusNotInvocable = 126

// foreign tells whether programs for p are not this machine's own. An image
// that does not say what it is for is taken for one of its own, and so is one
// for another variant of its architecture: only the processor can tell.
func foreign(p oci.Platform) bool {
	host := oci.HostPlatform()
	return p.OS != "" && p.OS != host.OS || p.Architecture != "" && p.Architecture != host.Architecture
}

// canRun refuses a platform that this machine is known not to run.
func (b *builder) canRun(p oci.Platform) error {
	if !foreign(p) {
		return nil
	}
	host := oci.HostPlatform()
	if p.OS != host.OS || b.o.CanRun == nil {
		return &ForeignError{p, fmt.Errorf("this machine runs %s", oci.PlatformString(host))}
	}
	if err := b.o.CanRun(p); err != nil {
		return &ForeignError{p, err}
	}
	return nil
}
