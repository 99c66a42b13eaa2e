package main

import (
	"errors"
	"fmt"
	"runtime"

	"docksmith/lib/build"
	"docksmith/lib/oci"
	"docksmith/lib/sandbox"
)

// emulates implements build.Options.CanRun by what the kernel lists.
func emulates(p oci.Platform) error {
	return sandbox.CanRun(sandbox.HandlerDir, runtime.GOARCH, p.Architecture)
}

// emulationHint is how the machine could run what it did not.
func emulationHint(e *build.ForeignError) string {
	if e.Platform.OS != oci.HostPlatform().OS {
		return "a stage that runs nothing can be built for any platform"
	}
	if why, ok := errors.AsType[*sandbox.EmulationError](e); ok && why.Handler != "" {
		return fmt.Sprintf("as root: echo -1 >%[1]s/%[2]s, then write the handler's line with the flag F to %[1]s/register", sandbox.HandlerDir, why.Handler)
	}
	return "an emulator registered in " + sandbox.HandlerDir + " with the flag F runs it: on Debian, install qemu-user-static and binfmt-support"
}
