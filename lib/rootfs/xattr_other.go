//go:build unix && !linux

package rootfs

import "os"

// Xattrs is not supported on this platform.
func (r *Root) Xattrs(path string) (map[string]string, error) {
	return nil, &os.PathError{Op: "read xattrs of", Path: path, Err: ErrUnsupported}
}

// XattrsAt is not supported on this platform.
func XattrsAt(dirfd int, name string) (map[string]string, error) { return nil, ErrUnsupported }
