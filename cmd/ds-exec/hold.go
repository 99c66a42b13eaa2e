package main

import (
	"os"

	"docksmith/lib/flock"
)

// hold keeps collections from removing the bundle while it is used: they lock
// what they remove. A bundle that its maker has locked needs no more.
func hold(bundle string) (release func()) {
	dir, err := os.Open(bundle)
	if err != nil {
		return func() {} // to be told by who needs it
	}
	_, _ = flock.Try(dir, flock.Shared)
	return func() { dir.Close() }
}
