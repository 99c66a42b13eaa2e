package main

import (
	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// oneIDHint says after a command that failed what it may have lacked: whether it
// did, only its own messages tell, which went past us.
func oneIDHint(stdio *cli.IO, res sandbox.Result) {
	if res.Status != 0 && res.Signal == 0 && sandbox.OneID() {
		stdio.Warnf("only one user id is mapped, so the command found no other owners and users: " +
			"if that is why it failed, give the user a range in /etc/subuid and /etc/subgid and install newuidmap")
	}
}
