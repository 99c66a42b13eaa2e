//go:build unix

// Package rootfs works on paths inside a root file system, by descriptor.
//
// Every path is resolved as a process would see it after chroot(2) into the
// root: absolute names, absolute symbolic links and ".." stay inside. What lies
// in the root is foreign and may be hostile; it may even change while we work.
// Whatever happens there, no call of this package opens, reads, changes or
// removes anything outside. The strings that come back (Resolve, Readlink) are
// words about a moment: only a descriptor is a proof, so act through this
// package again and never join such a string to a path of the host.
//
// It does not protect from who may already write outside the root, and not from
// a mount that somebody places inside.
//
//	root, err := rootfs.Open("/path/of/a/rootfs")
//	defer root.Close()
//	user, err := root.LookupUser("app:staff")
//	f, err := root.OpenFile("/etc/os-release", unix.O_RDONLY, 0)
package rootfs

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// ErrUnsupported is what only Linux can do, elsewhere.
var ErrUnsupported = errors.New("unsupported platform")

// Root is a directory that paths are resolved in. It is not safe for concurrent
// use: Clone gives every goroutine its own.
type Root struct {
	dir   *os.File
	open  opener
	cache []cachedDir
}

// opener opens path inside root as open(2) would after chroot; flags may hold
// O_NOFOLLOW, which is about the last element alone.
type opener func(root int, path string, flags int, perm uint32) (int, error)

// cachedDir is a directory that Parent resolved.
type cachedDir struct {
	path string
	fd   int
}

// cacheSize is how many directories a Root keeps open. Archives and trees come
// sorted, so a few serve as well as many.
const cacheSize = 4

// Open opens the directory dir, following links in its own path, as a root.
func Open(dir string) (*Root, error) {
	fd, err := retry(func() (int, error) { return unix.Open(dir, openDir, 0) })
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", dir, err)
	}
	return FromFile(os.NewFile(uintptr(fd), dir))
}

// FromFile makes a root of an open directory, a detached mount for example. It
// takes ownership of f, also when it returns an error.
func FromFile(f *os.File) (*Root, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		f.Close()
		return nil, fmt.Errorf("open root %s: %w", f.Name(), err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		f.Close()
		return nil, fmt.Errorf("open root %s: %w", f.Name(), unix.ENOTDIR)
	}
	return &Root{dir: f, open: defaultOpener()}, nil
}

// Clone gives a second Root on the same directory, for another goroutine.
func (r *Root) Clone() (*Root, error) {
	fd, err := unix.FcntlInt(r.dir.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("open root %s: %w", r.Name(), err)
	}
	return &Root{dir: os.NewFile(uintptr(fd), r.Name()), open: r.open}, nil
}

// Close closes the root and every descriptor that Parent gave out.
func (r *Root) Close() error {
	r.Forget()
	return r.dir.Close()
}

// Fd is the descriptor of the root, good for *at calls, until Close.
func (r *Root) Fd() int { return int(r.dir.Fd()) }

// Name is the path the root was opened by, for messages.
func (r *Root) Name() string { return r.dir.Name() }

// Parent resolves all of path but its last element and returns a descriptor of
// the directory with that element, which is not followed and need not exist. For
// the root, and for a path that ends in "." or "..", the whole path is resolved
// and base is ".". The descriptor belongs to the Root and is valid until the next
// call of any of its methods; it may be good for *at calls only.
//
// Directories are remembered. Who removes or renames one, or changes a symbolic
// link, calls Forget; otherwise work goes on in the directory that was there before.
func (r *Root) Parent(path string) (dirfd int, base string, err error) {
	if err := check(path); err != nil {
		return -1, "", &os.PathError{Op: "open parent of", Path: path, Err: err}
	}
	dir, base := split(path)
	fd, err := r.directory(dir)
	if err != nil {
		return -1, "", &os.PathError{Op: "open parent of", Path: path, Err: err}
	}
	return fd, base, nil
}

// Dir opens the directory path, links followed in the root, for *at calls. Like
// that of Parent the descriptor belongs to the Root.
func (r *Root) Dir(path string) (int, error) {
	err := check(path)
	if err == nil {
		var fd int
		if fd, err = r.directory(orDot(strings.TrimRight(path, "/"))); err == nil {
			return fd, nil
		}
	}
	return -1, &os.PathError{Op: "open", Path: path, Err: err}
}

// Forget drops the directories that Parent remembers.
func (r *Root) Forget() {
	for _, c := range r.cache {
		unix.Close(c.fd)
	}
	r.cache = r.cache[:0]
}

// directory gives a remembered or new descriptor of a directory.
func (r *Root) directory(path string) (int, error) {
	if path == "." {
		return r.Fd(), nil
	}
	for i, c := range r.cache {
		if c.path == path {
			if i > 0 {
				copy(r.cache[1:i+1], r.cache[:i])
				r.cache[0] = c
			}
			return c.fd, nil
		}
	}
	fd, err := r.open(r.Fd(), path, openDir, 0)
	if err != nil {
		return -1, err
	}
	if len(r.cache) == cacheSize {
		unix.Close(r.cache[cacheSize-1].fd)
		r.cache = r.cache[:cacheSize-1]
	}
	r.cache = slices.Insert(r.cache, 0, cachedDir{path, fd})
	return fd, nil
}

// OpenFile opens path as os.OpenFile would inside the root. Symbolic links are
// followed in the root, the last one too unless flags hold O_NOFOLLOW. flags are
// those of open(2); O_CLOEXEC is added. What may be a fifo or a device needs O_NONBLOCK.
func (r *Root) OpenFile(path string, flags int, perm uint32) (*os.File, error) {
	fd, err := r.openPath("open", path, flags|unix.O_CLOEXEC, perm)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(fd), path), nil
}

func (r *Root) openPath(op, path string, flags int, perm uint32) (int, error) {
	err := check(path)
	if err == nil {
		var fd int
		if fd, err = r.open(r.Fd(), orDot(path), flags, perm); err == nil {
			return fd, nil
		}
	}
	return -1, &os.PathError{Op: op, Path: path, Err: err}
}

// Lstat describes path itself, a symbolic link too.
func (r *Root) Lstat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	fd, base, err := r.Parent(path)
	if err != nil {
		return st, err
	}
	if err := unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return st, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return st, nil
}

// Stat describes what path leads to.
func (r *Root) Stat(path string) (unix.Stat_t, error) {
	var st unix.Stat_t
	err := check(path)
	if err == nil {
		err = r.stat(path, &st)
	}
	if err != nil {
		return st, &os.PathError{Op: "stat", Path: path, Err: err}
	}
	return st, nil
}

// Readlink returns the text of the symbolic link path.
func (r *Root) Readlink(path string) (string, error) {
	fd, base, err := r.Parent(path)
	if err != nil {
		return "", err
	}
	s, err := readlinkat(fd, base)
	if err != nil {
		return "", &os.PathError{Op: "readlink", Path: path, Err: err}
	}
	return s, nil
}

// ReadDir lists the directory path, sorted by name.
func (r *Root) ReadDir(path string) ([]os.DirEntry, error) {
	f, err := r.OpenFile(path, unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	list, err := f.ReadDir(-1)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b os.DirEntry) int { return strings.Compare(a.Name(), b.Name()) })
	return list, nil
}

// MkdirAll makes the directory path and those above it that lack, with mode perm
// less the umask. Links are followed; where one leads to nothing, the directory
// is made there, inside the root.
func (r *Root) MkdirAll(path string, perm uint32) error {
	if err := check(path); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	if err := mkdirAll(r.Fd(), path, perm); err != nil {
		return &os.PathError{Op: "mkdir", Path: path, Err: err}
	}
	return nil
}

// Resolve follows every link of path inside the root and returns the clean
// absolute path of what it leads to, seen from the root. What does not exist
// keeps its name. A loop of links is an error (ELOOP).
func (r *Root) Resolve(path string) (string, error) {
	if err := check(path); err != nil {
		return "", &os.PathError{Op: "resolve", Path: path, Err: err}
	}
	s, err := resolve(r.Fd(), path)
	if err != nil {
		return "", &os.PathError{Op: "resolve", Path: path, Err: err}
	}
	return s, nil
}

// RemoveAll removes path and all below it, at any depth, with few descriptors and
// without following a link. A path that does not exist is not an error; the root itself is.
func (r *Root) RemoveAll(path string) error {
	fd, base, err := r.Parent(path)
	if isNotExist(err) {
		return nil
	}
	if err != nil {
		return err
	}
	if base == "." {
		return &os.PathError{Op: "remove", Path: path, Err: unix.EINVAL}
	}
	err = RemoveAt(fd, base)
	r.Forget()
	if err != nil {
		return &os.PathError{Op: "remove", Path: path, Err: err}
	}
	return nil
}

// check refuses what no file system call can take.
func check(path string) error {
	if strings.IndexByte(path, 0) >= 0 {
		return unix.EINVAL
	}
	return nil
}

// split divides path into a directory ("." for the root) and a last element that
// is a name, or "." when there is none.
func split(path string) (dir, base string) {
	path = strings.TrimRight(path, "/")
	i := strings.LastIndexByte(path, '/')
	dir, base = strings.TrimRight(path[:i+1], "/"), path[i+1:]
	switch base {
	case "", ".":
		base = "."
	case "..":
		dir, base = path, "."
	}
	return orDot(dir), base
}

func orDot(path string) string {
	if path == "" {
		return "."
	}
	return path
}
