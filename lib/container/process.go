package container

// Process is a process and no other one that has its pid before or after.
type Process struct {
	PID int `json:"pid"`
	// StartTime is in the kernel's ticks since the boot.
	StartTime uint64 `json:"startTime"`
	// Boot and Namespace say what pids and ticks are counted in.
	Boot      string `json:"boot"`
	Namespace uint64 `json:"namespace,omitempty"`
}
