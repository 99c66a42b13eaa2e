package buildctx

import (
	"errors"
	"os"
	"strings"
	"sync"

	"golang.org/x/sys/unix"
)

// openSteps opens a path that must not hold a symbolic link, one name at a
// time: slower than one openat2, but without a limit on the path's length.
func openSteps(root int, path string, flags int) (int, error) {
	at := root
	for {
		name, rest, more := strings.Cut(path, "/")
		how := flags
		if more {
			how = unix.O_RDONLY | unix.O_DIRECTORY
		}
		fd, err := retryOpen(func() (int, error) {
			return unix.Openat(at, name, how|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		})
		if at != root {
			unix.Close(at)
		}
		if err != nil || !more {
			return fd, err
		}
		at, path = fd, rest
	}
}

func retryOpen(open func() (int, error)) (int, error) {
	for {
		fd, err := open()
		if err != unix.EINTR && err != unix.EAGAIN {
			return fd, err
		}
	}
}

// needsSteps reports whether single steps may do what openat2 could not.
func needsSteps(err error) bool {
	return errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENAMETOOLONG)
}

// openDir opens a directory by a link-free path.
func (c *Context) openDir(path string) (fd int, err error) {
	fd, err = openIn(c.fd, path, unix.O_RDONLY|unix.O_DIRECTORY)
	if err != nil {
		return -1, pathError("open", path, err)
	}
	return fd, nil
}

var direntBuffers = sync.Pool{New: func() any { b := make([]byte, 32<<10); return &b }}

// readNames adds the names in an open directory, in its order. It is Readdirnames
// without what an os.File costs.
func readNames(dir int, path string, names []string) ([]string, error) {
	buf := direntBuffers.Get().(*[]byte)
	defer direntBuffers.Put(buf)
	for {
		var n int
		err := retry(func() (err error) { n, err = unix.ReadDirent(dir, *buf); return err })
		if err != nil {
			return nil, pathError("read", path, err)
		}
		if n <= 0 {
			return names, nil
		}
		names = parseNames((*buf)[:n], names)
	}
}

// statAt fills in what lstat says of a name in an open directory, the entry that
// info.Path names, and a link's target. Local promises that the directory is on a file
// system of this machine, and that the name was listed there.
func statAt(info *Info, dir int, name string, local bool) error {
	var st unix.Stat_t
	err := retry(func() error {
		if local {
			return lookAt(dir, name, &st)
		}
		return unix.Fstatat(dir, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return pathError("lstat", info.Path, err)
	}
	info.fill(&st)
	if info.Type == Symlink {
		target, err := readlinkAt(dir, name, info.Size)
		if err != nil {
			return pathError("readlink", info.Path, err)
		}
		info.Linkname = target
	}
	return nil
}

func readlinkAt(dir int, name string, size int64) (string, error) {
	for n := max(size+1, 128); n <= 1<<20; n *= 2 {
		buf := make([]byte, n)
		m, err := unix.Readlinkat(dir, name, buf)
		if err != nil {
			return "", err
		}
		if int64(m) < n {
			return string(buf[:m]), nil
		}
	}
	return "", unix.ENAMETOOLONG
}

func retry(call func() error) error {
	for {
		if err := call(); err != unix.EINTR {
			return err
		}
	}
}

func pathError(op, path string, err error) error {
	return &os.PathError{Op: op, Path: path, Err: err}
}
