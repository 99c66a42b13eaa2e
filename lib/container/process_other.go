//go:build !linux

package container

import (
	"context"
	"errors"
	"os"
	"syscall"
)

var errUnsupported = errors.New("containers live on Linux")

// Self is possible on Linux only.
func Self() (Process, error) { return Process{}, errUnsupported }

// Identify is possible on Linux only.
func Identify(int) (Process, error) { return Process{}, errUnsupported }

// Alive is false: there is no container here.
func (Process) Alive() bool { return false }

// Open is possible on Linux only.
func (Process) Open() (*os.File, error) { return nil, errUnsupported }

// Signal is possible on Linux only.
func (Process) Signal(syscall.Signal) error { return errUnsupported }

func (Process) wait(context.Context) error { return nil }

// ParseSignal is possible on Linux only.
func ParseSignal(string) (syscall.Signal, error) { return 0, errUnsupported }

func exchange(string, string) bool { return false }
