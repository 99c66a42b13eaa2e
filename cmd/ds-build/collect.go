package main

import (
	"runtime"
	"runtime/debug"
	"sync"
)

// collectLater makes garbage collections rare: while a plan is read nearly all
// that is made stays, and a cached build of 20,000 files needs 16 MiB in all; to
// look for garbage in them costs it an eighth of its time. The first one is at a heap
// of 48 MiB. It makes the next ones come as usual, if planRead was called, and asUsual
// makes all of them.
func collectLater() (planRead, asUsual func()) {
	percent := debug.SetGCPercent(1200) // of 4 MiB, where the runtime begins, or of what is in use
	asUsual = sync.OnceFunc(func() { debug.SetGCPercent(percent) })
	planRead = func() {
		runtime.AddCleanup(&struct{ p *int }{}, func(int) { asUsual() }, 0)
	}
	return planRead, asUsual
}
