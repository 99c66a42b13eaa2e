package sandbox

import (
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// ExecOptions is for Exec.
type ExecOptions struct {
	// Process is what to run. Without capabilities it has the container's.
	Process *specs.Process
	// Stdin, Stdout and Stderr are the process's; nil means the caller's.
	Stdin, Stdout, Stderr *os.File
	// Console gets the near end of a terminal; as in Options.
	Console func(near *os.File) error
	// Detach leaves the process to itself once it has executed.
	Detach bool
	// Started is called with the process's id, seen from the caller. Optional.
	Started func(pid int)
	// PreserveFDs and NoSeccomp are as in Options.
	PreserveFDs int
	NoSeccomp   bool

	path string // of the program, when it is not Process.Args[0]
}
