package layer

import (
	"strconv"

	"golang.org/x/sys/unix"
)

// procPath names an entry of an open directory for calls that only take paths.
func procPath(dirfd int, name string) string {
	p := "/proc/self/fd/" + strconv.Itoa(dirfd)
	if name != "" {
		p += "/" + name
	}
	return p
}

// fdPath is where an open directory is now, or "" or something else if the kernel
// does not tell.
func fdPath(fd int) string {
	b := make([]byte, unix.PathMax)
	n, err := unix.Readlink(procPath(fd, ""), b)
	if err != nil || n == len(b) {
		return ""
	}
	return string(b[:n])
}

func mknodat(dirfd int, name string, mode uint32, major, minor uint32) error {
	return unix.Mknodat(dirfd, name, mode, int(unix.Mkdev(major, minor)))
}
