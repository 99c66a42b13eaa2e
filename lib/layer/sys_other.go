//go:build unix && !linux

package layer

import "golang.org/x/sys/unix"

// procPath is empty: there is no way by descriptor to the attributes of a
// symbolic link or device here.
func procPath(dirfd int, name string) string { return "" }

// fdPath is empty: the kernel does not tell where a directory is.
func fdPath(fd int) string { return "" }

func mknodat(dirfd int, name string, mode uint32, major, minor uint32) error {
	return unix.ENOTSUP
}
