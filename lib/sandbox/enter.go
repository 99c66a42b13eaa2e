package sandbox

import (
	"errors"
	"os"
)

// ErrEnded means that the container ended before it could be entered.
var ErrEnded = errors.New("the container has ended")

// Joint is a container that runs, as Enter needs to know it.
type Joint struct {
	// PID is the id of a process of the container, PIDFD a pidfd of it: what
	// is joined are the namespaces of that process, whoever has the id by then.
	PID   int
	PIDFD *os.File
	// Cgroups are the directories of the container's cgroup.
	Cgroups []string
}
