// How many processors its cgroup leaves is of no importance to a program that
// makes system calls and waits, and the Go runtime reads four files to find out.
//
//go:debug containermaxprocs=0
//go:debug updatemaxprocs=0

// Command ds-exec runs one process in isolation from an OCI runtime bundle.
package main

import (
	"os"
	"path/filepath"

	"docksmith/lib/cli"
)

func main() {
	if filepath.Base(os.Args[0]) == runtimeName {
		cli.Main(runtimeProgram())
	}
	cli.Main(&cli.Command{
		Name:  "ds-exec",
		Short: "Run a process in isolation from an OCI runtime bundle.",
		Long:  "Exit status: that of the command, 128+N when signal N ended it; 125 our failure,\n126 the command cannot be invoked, 127 it is not found.\n\n    ds-store bundle app:v1 run/\n    ds-exec run run/\n    ds-exec run --readonly --memory 64m run/ -- sh -c 'echo hello'",
		Commands: []*cli.Command{
			runCommand(), enterCommand(), psCommand(), logsCommand(), stopCommand(), killCommand(), waitCommand(),
			removeCommand(), volumeCommand(), inspectCommand(), pruneCommand(), gcCommand(), monitorCommand(),
			infoCommand(),
		},
	})
}
