//go:build !linux

package main

import (
	"docksmith/lib/build"
	"docksmith/lib/sandbox"
)

type agentProxy struct{}

func serveAgent(string, build.Socket) (*agentProxy, error) {
	return nil, sandbox.ErrUnsupportedPlatform
}

func (*agentProxy) close() {}
