//go:build !linux

package sandbox

import (
	"context"
	"os"
	"syscall"

	"github.com/opencontainers/runtime-spec/specs-go"
	"github.com/opencontainers/runtime-spec/specs-go/features"
)

// Create returns ErrUnsupportedPlatform.
func Create(*Bundle, CreateOptions) (*Created, error) { return nil, unsupported("create") }

// Start returns ErrUnsupportedPlatform.
func (*Created) Start() error { return unsupported("start") }

// Undo returns ErrUnsupportedPlatform.
func (*Created) Undo() error { return unsupported("undo") }

// Exec returns ErrUnsupportedPlatform.
func Exec(context.Context, Joint, *specs.Spec, ExecOptions) (Result, error) {
	return Result{Status: 125}, unsupported("exec")
}

// StartHooks returns ErrUnsupportedPlatform.
func StartHooks(Joint, *specs.Spec, specs.State) error { return unsupported("run hooks") }

// RunHooks returns ErrUnsupportedPlatform.
func RunHooks(string, []specs.Hook, specs.State) error { return unsupported("run hooks") }

// StopHooks does nothing.
func StopHooks([]specs.Hook, specs.State, func(string)) {}

// SignalCgroups returns ErrUnsupportedPlatform.
func SignalCgroups([]string, syscall.Signal) error { return unsupported("signal cgroups") }

// KillCgroups returns ErrUnsupportedPlatform.
func KillCgroups([]string) error { return unsupported("kill cgroups") }

// RemoveCgroups returns ErrUnsupportedPlatform.
func RemoveCgroups([]string) error { return unsupported("remove cgroups") }

// SendTerminal returns ErrUnsupportedPlatform.
func SendTerminal(string, *os.File) error { return unsupported("send terminal") }

// Features is nothing.
func Features() features.Features { return features.Features{} }
