package main

import (
	"runtime"
	"runtime/debug"
)

// collectLater makes garbage collections rare: while a plan is read nearly all
// that is made stays. After the function returned was called, the next one makes
// them come as usual again. That is at a heap of 16 MiB or more, before which most
// cached builds are through: to collect earlier costs them a third of their time.
func collectLater() (planRead func()) {
	usual := debug.SetGCPercent(400) // of 4 MiB, where the runtime begins, or of what is in use
	return func() {
		runtime.AddCleanup(&struct{ p *int }{}, func(int) { debug.SetGCPercent(usual) }, 0)
	}
}
