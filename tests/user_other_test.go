//go:build !linux

package tests

import "github.com/rogpeppe/go-internal/testscript"

func asUser(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("unsupported platform") }

func giveToUser(string) error { return nil }

func userNamespaces() bool { return false }
