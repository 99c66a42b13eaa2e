package main

import (
	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// inside is how the program goes on in a user namespace.
func inside(stdio *cli.IO) (sandbox.UserNamespaceOptions, error) {
	root, err := stdio.Root()
	return sandbox.UserNamespaceOptions{Root: root}, err
}

// enterNamespace makes an ordinary user root where the files of containers have
// their owners.
func enterNamespace(stdio *cli.IO) error {
	o, err := inside(stdio)
	if err != nil {
		return err
	}
	return sandbox.EnterUserNamespace(o)
}
