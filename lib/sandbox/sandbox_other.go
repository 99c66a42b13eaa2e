//go:build !linux

package sandbox

import (
	"context"
	"fmt"
	"os"
	"runtime"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// HideMemory returns ErrUnsupportedPlatform.
func HideMemory() error { return unsupported("hide memory") }

func unsupported(verb string) error {
	return fmt.Errorf("%s: %w: %s has no Linux containers", verb, ErrUnsupportedPlatform, runtime.GOOS)
}

// OpenBundle returns ErrUnsupportedPlatform.
func OpenBundle(string) (*Bundle, error) { return nil, unsupported("open bundle") }

// Close does nothing.
func (*Bundle) Close() error { return nil }

// Run returns ErrUnsupportedPlatform.
func Run(context.Context, *Bundle, Options) (Result, error) {
	return Result{Status: 125}, unsupported("run")
}

// Enter returns ErrUnsupportedPlatform.
func Enter(context.Context, Joint, *specs.Spec, Options) (Result, error) {
	return Result{Status: 125}, unsupported("enter container")
}

// JoinUserNamespace returns ErrUnsupportedPlatform.
func JoinUserNamespace(Joint, UserNamespaceOptions) error { return unsupported("enter container") }

// SweepCgroups does nothing.
func SweepCgroups() {}

// EnterUserNamespace does nothing: there is nothing to enter, and programs that
// need no namespace go on.
func EnterUserNamespace(UserNamespaceOptions) error { return nil }

// InUserNamespace tells whether the caller is in a user namespace of its own.
func InUserNamespace() bool { return false }

// OneID tells whether the caller is in a user namespace with a single user id.
func OneID() bool { return false }

// OverlayView returns ErrUnsupportedPlatform.
func OverlayView([]string) (*os.File, error) { return nil, unsupported("mount overlay") }

// Capabilities is possible on Linux only.
func Capabilities() ([]string, error) { return nil, ErrUnsupportedPlatform }

// TakeSurvey returns ErrUnsupportedPlatform.
func TakeSurvey(SurveyOptions) (*Survey, error) { return nil, unsupported("survey") }
