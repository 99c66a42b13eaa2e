//go:build !linux

package buildctx

// stampsByKernelClock is not known here, so the careful answer is given.
func stampsByKernelClock(int) bool { return false }
