package sandbox

// CreateOptions is for Create.
type CreateOptions struct {
	Options
	// Gate is the path of a socket that Create makes and Start speaks to. It
	// must not be there yet, in a directory that only the caller may enter.
	Gate string
}

// Created is what its maker must remember of a container to start it later and
// to take it away in the end. It is kept as JSON.
type Created struct {
	// PID is of the container's process.
	PID int `json:"pid"`
	// Gate is the socket at which it waits.
	Gate string `json:"gate"`
	// Command is what it executes.
	Command string `json:"command"`
	// Steps are what it does between Start and that.
	Steps []string `json:"steps"`
	// Cgroups are the container's directories.
	Cgroups []string `json:"cgroups,omitempty"`
}
