package main

import (
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// readSecrets reads what a caller must not say on the command line.
func readSecrets(fd int) (map[string][]byte, error) {
	if fd < 0 {
		return nil, nil
	}
	f := os.NewFile(uintptr(fd), "secrets descriptor")
	if f == nil {
		return nil, cli.Usagef("--secrets-fd %d: not a descriptor", fd)
	}
	defer f.Close()
	if _, err := f.Stat(); err != nil {
		return nil, cli.Usagef("--secrets-fd %d: not an open descriptor", fd)
	}
	if err := sandbox.HideMemory(); err != nil {
		return nil, err
	}
	return sandbox.ReadSecrets(f)
}
