package rootfs

import (
	"errors"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// Xattrs returns the extended attributes of path itself, nil where the file
// system has none. It needs /proc.
func (r *Root) Xattrs(path string) (map[string]string, error) {
	fd, base, err := r.Parent(path)
	if err != nil {
		return nil, err
	}
	m, err := XattrsAt(fd, base)
	if err != nil {
		return nil, &os.PathError{Op: "read xattrs of", Path: path, Err: err}
	}
	return m, nil
}

// XattrsAt returns the extended attributes of the entry name of the directory dirfd,
// which is not followed.
func XattrsAt(dirfd int, name string) (map[string]string, error) {
	p := ProcPath(dirfd, name)
	list, err := grow(func(b []byte) (int, error) { return unix.Llistxattr(p, b) })
	if err != nil || len(list) == 0 {
		if errors.Is(err, unix.ENOTSUP) {
			err = nil
		}
		return nil, err
	}
	m := map[string]string{}
	for _, name := range strings.Split(strings.TrimSuffix(string(list), "\x00"), "\x00") {
		v, err := grow(func(b []byte) (int, error) { return unix.Lgetxattr(p, name, b) })
		if errors.Is(err, unix.ENODATA) {
			continue // gone since, or not for us to read
		}
		if err != nil {
			return nil, err
		}
		m[name] = string(v)
	}
	return m, nil
}

// grow calls f with a larger and larger buffer until its answer fits.
func grow(f func([]byte) (int, error)) ([]byte, error) {
	for size := 256; ; size *= 4 {
		buf := make([]byte, size)
		n, err := f(buf)
		if err == unix.ERANGE && size < 1<<20 {
			continue
		}
		if err != nil {
			return nil, err
		}
		return buf[:n], nil
	}
}
