//go:build !linux

package buildctx

// openIn opens a path below root that must not hold a symbolic link.
func openIn(root int, path string, flags int) (int, error) {
	return openSteps(root, path, flags)
}
