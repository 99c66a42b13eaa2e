//go:build !linux

package tests

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

const ordinary = 0

func asUser(ts *testscript.TestScript, _ bool, _ []string) { ts.Fatalf("unsupported platform") }

func giveToUser(string) error { return nil }

func userWithRange(*testing.T) uint32 { return 0 }

func userNamespaces() bool { return false }

func buildAsOrdinary(t *testing.T, _ *box) string { t.Skip("unsupported platform"); return "" }

func (b *box) peak(string) int64 { b.t.Skip("unsupported platform"); return 0 }
