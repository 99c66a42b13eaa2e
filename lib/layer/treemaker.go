package layer

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// treeMaker makes entries that come in the order of a layer in an empty
// directory. Directories get their metadata when they are left: so they can be
// filled, and their times are not disturbed.
type treeMaker struct {
	meta     *metaWriter
	root     int
	inherits bool // group of the root directory
	stack    []openedDir
	file     int
	base     string // of the open file
	out      holeWriter
}

// openedDir is a directory on the way to the current entry.
type openedDir struct {
	path  string
	fd    int
	entry *Entry // nil: the root, about which nothing is said
}

func newTreeMaker(root *os.File) (*treeMaker, error) {
	fd := int(root.Fd())
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return nil, pathError("look at", root.Name(), err)
	}
	t := &treeMaker{meta: newMetaWriter(), root: fd, file: -1, inherits: uint32(st.Mode)&unix.S_ISGID != 0}
	t.stack = []openedDir{{path: ".", fd: fd}}
	return t, nil
}

// enter leaves directories until the one that holds path is the current one.
func (t *treeMaker) enter(path string) (dirfd int, base string, err error) {
	dir, base := splitPath(path)
	if dir == "" {
		dir = "."
	}
	for {
		top := &t.stack[len(t.stack)-1]
		if top.path == dir {
			return top.fd, base, nil
		}
		if len(t.stack) == 1 {
			return 0, "", fmt.Errorf("its directory %q is not among the entries", dir)
		}
		if err := t.leave(); err != nil {
			return 0, "", err
		}
	}
}

// leave completes the current directory.
func (t *treeMaker) leave() error {
	top := t.stack[len(t.stack)-1]
	t.stack = t.stack[:len(t.stack)-1]
	if top.fd != t.root {
		defer unix.Close(top.fd)
	}
	if top.entry == nil {
		return nil
	}
	if err := t.meta.open(top.fd, top.entry, t.inherits, false); err != nil {
		return err
	}
	return t.meta.time(top.fd, ".", top.entry)
}

// make makes anything but a regular file.
func (t *treeMaker) make(e *Entry) error {
	if e.Path == "." {
		root := *e
		t.stack[0].entry = &root
		return nil
	}
	dirfd, base, err := t.enter(e.Path)
	if err != nil {
		return err
	}
	switch e.Type {
	case TypeDir:
		return t.dir(dirfd, base, e)
	case TypeSymlink:
		err = unix.Symlinkat(e.Linkname, dirfd, base)
	case TypeLink:
		if err := t.link(dirfd, base, e); err != nil {
			return pathError("link", e.Path, err)
		}
		return nil
	default:
		if err = t.node(dirfd, base, e); notPermitted(err) {
			t.meta.tally.add(e.Type.String()+" device not made: "+err.Error(), e.Path)
			return nil
		}
	}
	if err != nil {
		return pathError("make", e.Path, err)
	}
	if err := t.meta.at(dirfd, base, e); err != nil {
		return err
	}
	return t.meta.time(dirfd, base, e)
}

func (t *treeMaker) dir(dirfd int, base string, e *Entry) error {
	if err := unix.Mkdirat(dirfd, base, 0o700); err != nil {
		return pathError("make directory", e.Path, err)
	}
	fd, err := unix.Openat(dirfd, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return pathError("open", e.Path, err)
	}
	entry := *e
	t.stack = append(t.stack, openedDir{entry.Path, fd, &entry})
	return nil
}

// link finds its target from the root: it was made before, below directories only.
func (t *treeMaker) link(dirfd int, base string, e *Entry) error {
	return unix.Linkat(t.root, e.Linkname, dirfd, base, 0)
}

func (t *treeMaker) node(dirfd int, base string, e *Entry) error {
	kind := uint32(unix.S_IFIFO)
	switch e.Type {
	case TypeChar:
		kind = unix.S_IFCHR
	case TypeBlock:
		kind = unix.S_IFBLK
	}
	if err := mknodat(dirfd, base, kind|0o600, e.Major, e.Minor); err != nil {
		return err
	}
	return unix.Fchmodat(dirfd, base, e.Mode&0o7777, 0)
}

// create begins a regular file.
func (t *treeMaker) create(e *Entry) (*holeWriter, error) {
	dirfd, base, err := t.enter(e.Path)
	if err != nil {
		return nil, err
	}
	flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	err = retry(func() (err error) { t.file, err = unix.Openat(dirfd, base, flags, 0o600); return err })
	if err != nil {
		t.file = -1
		return nil, pathError("create", e.Path, err)
	}
	t.base = base
	t.out = holeWriter{fd: t.file, size: e.Size}
	return &t.out, nil
}

// complete ends a regular file whose content is written.
func (t *treeMaker) complete(e *Entry) error {
	if err := t.out.finish(); err != nil {
		return pathError("write", e.Path, err)
	}
	if err := t.meta.open(t.file, e, t.inherits, false); err != nil {
		return err
	}
	if err := t.meta.time(t.stack[len(t.stack)-1].fd, t.base, e); err != nil {
		return err
	}
	if err := t.closeFile(); err != nil {
		return pathError("close", e.Path, err)
	}
	return nil
}

// closeFile closes the current file, if it is open.
func (t *treeMaker) closeFile() error {
	if t.file < 0 {
		return nil
	}
	err := unix.Close(t.file)
	t.file = -1
	if errors.Is(err, unix.EINTR) {
		err = nil
	}
	return err
}

// finish completes all directories and tells what could not be made.
func (t *treeMaker) finish(warn func(string)) error {
	for len(t.stack) > 0 {
		if err := t.leave(); err != nil {
			return err
		}
	}
	t.meta.tally.tell(warn)
	return nil
}

// abandon closes what an error left open.
func (t *treeMaker) abandon() {
	for _, d := range t.stack {
		if d.fd != t.root {
			unix.Close(d.fd)
		}
	}
	t.stack = nil
	t.closeFile()
}
