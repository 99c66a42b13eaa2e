package sandbox

import (
	"os"
	"path/filepath"

	"docksmith/lib/flock"
)

// SweepCgroups removes the cgroups that were made by Run and whose makers were
// killed. Those in use are left, and those that the caller may not remove.
func SweepCgroups() {
	parents, err := filepath.Glob(filepath.Join(cgroupBase, "*", "docksmith"))
	if err != nil {
		return
	}
	for _, parent := range append(parents, filepath.Join(cgroupBase, "docksmith")) {
		lockAndSweep(parent)
	}
}

func lockAndSweep(parent string) {
	lock, err := os.Open(parent)
	if err != nil {
		return
	}
	defer lock.Close()
	if alone, _ := flock.Try(lock, flock.Exclusive); alone {
		sweep(parent)
	}
}
