package sandbox

import (
	"os"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// Bundle is an open OCI runtime bundle: its directory by descriptor, so that
// nothing in it is ever found by following a link, and its decoded config.json.
type Bundle struct {
	// Spec is config.json. Run does not change it.
	Spec *specs.Spec
	// Config is config.json as it was read.
	Config []byte

	dir  *os.File
	path string
}
