// Package jobs hands out job slots: the leave to do one thing more at the same
// time. There are N of them, or those that a GNU make above us shares among all
// its jobs: then this process is a client of make's jobserver, as a sub-make is.
//
// It does not run anything. The invariant: every token that was read from the
// jobserver goes back to it, the same byte, at the latest with Close; only a
// process that is killed outright takes its tokens with it.
//
//	slots, warning := jobs.Open(0, os.Getenv("MAKEFLAGS"))
//	defer slots.Close()
//	release, err := slots.Acquire(ctx)
//	...
//	release()
package jobs
