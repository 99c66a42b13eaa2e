package container

import "time"

// Load is what a container takes of the machine.
type Load struct {
	// CPU is the processor time that it has had so far.
	CPU time.Duration
	// Memory is what it has in memory now, in bytes.
	Memory int64
	// Processes is how many it has.
	Processes int
}
