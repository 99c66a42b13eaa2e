//go:build !linux

package buildctx

import "golang.org/x/sys/unix"

// openIn opens a path below root that must not hold a symbolic link.
func openIn(root int, path string, flags int) (int, error) {
	return openSteps(root, path, flags)
}

// parseNames adds the names in what reading a directory gave.
func parseNames(buf []byte, names []string) []string {
	_, _, names = unix.ParseDirent(buf, -1, names)
	return names
}
