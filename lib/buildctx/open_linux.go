package buildctx

import (
	"encoding/binary"
	"strings"

	"golang.org/x/sys/unix"
)

// openIn opens a path below root that must not hold a symbolic link. The kernel
// checks it in one call where it can.
func openIn(root int, path string, flags int) (int, error) {
	how := unix.OpenHow{
		Flags:   uint64(flags | unix.O_NOFOLLOW | unix.O_CLOEXEC),
		Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	}
	fd, err := retryOpen(func() (int, error) { return unix.Openat2(root, path, &how) })
	if err != nil && needsSteps(err) {
		return openSteps(root, path, flags)
	}
	return fd, err
}

// parseNames adds the names in what getdents64 gave, but for "." and "..". It is
// unix.ParseDirent with one allocation for all names.
func parseNames(buf []byte, names []string) []string {
	const inode, length, nameAt = 0, 16, 19 // offsets in struct linux_dirent64
	for text := string(buf); len(text) > nameAt; {
		n := int(binary.NativeEndian.Uint16(buf[length:]))
		if n <= nameAt || n > len(text) {
			break
		}
		name, _, _ := strings.Cut(text[nameAt:n], "\x00")
		if binary.NativeEndian.Uint64(buf[inode:]) != 0 && name != "." && name != ".." {
			names = append(names, name)
		}
		text, buf = text[n:], buf[n:]
	}
	return names
}
