package main

import (
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// inside is how the program goes on in a user namespace: as root there, the
// store would be another one by default.
func inside(stdio *cli.IO) (sandbox.UserNamespaceOptions, error) {
	root, err := stdio.Root()
	return sandbox.UserNamespaceOptions{Env: []string{"DOCKSMITH_ROOT=" + root}}, err
}

// enterNamespace makes an ordinary user root where the files of containers have
// their owners.
func enterNamespace(stdio *cli.IO) error {
	o, err := inside(stdio)
	if err != nil || os.Geteuid() == 0 {
		return err
	}
	return sandbox.EnterUserNamespace(o)
}
