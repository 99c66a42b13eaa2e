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

func mknodat(dirfd int, name string, mode uint32, major, minor uint32) error {
	return unix.Mknodat(dirfd, name, mode, int(unix.Mkdev(major, minor)))
}
