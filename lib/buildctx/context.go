package buildctx

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"strings"
	"sync/atomic"

	"golang.org/x/sys/unix"
)

// Options of Open.
type Options struct {
	Ignore *Ignore // what is hidden; nil: nothing
	Index  *Index  // known hashes; nil: every file asked for is read
	Uses   *Uses   // told of what is looked at; nil: nobody
}

// Context is a directory seen through its ignore rules. Its methods may be
// called concurrently. It looks at the directory as it is at each call: nothing
// but file hashes is remembered.
//
// Paths given to it are operands as a Dockerfile has them: they are cleaned
// against the root ("../f", "/f" and "f" are the same). Paths it returns are
// clean, relative and "/"-separated.
type Context struct {
	root  *os.File
	fd    int
	dev   uint64 // of the root
	ino   uint64
	local bool // the root's file system is this kernel's own
	o     Options
	count *atomic.Int64 // nil: nobody counts
}

// Open opens dir, which may itself be reached through symbolic links. Close it
// when the last file opened from it is no longer needed.
func Open(dir string, o Options) (*Context, error) {
	f, err := os.OpenFile(dir, os.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return nil, fmt.Errorf("open context: %w", err)
	}
	return FromFile(f, o), nil
}

// FromFile takes over an open directory, for example a detached mount that has
// no path.
func FromFile(f *os.File, o Options) *Context {
	c := &Context{root: f, fd: int(f.Fd()), o: o}
	var st unix.Stat_t
	if retry(func() error { return unix.Fstat(c.fd, &st) }) == nil {
		c.dev, c.ino, c.local = uint64(st.Dev), st.Ino, isLocal(c.fd)
	}
	return c
}

// Inode is the number of the root; 0: it is not known.
func (c *Context) Inode() uint64 { return c.ino }

// isLocal reports whether a directory is on the root's file system, and that is local.
func (c *Context) isLocal(dir *Info) bool { return c.local && dir.Dev == c.dev }

// Counting is the same context, whose reading of files adds the bytes to n. It
// is closed with c.
func (c *Context) Counting(n *atomic.Int64) *Context {
	counting := *c
	counting.count = n
	return &counting
}

// Close releases the directory. The index, if any, is the caller's to save.
func (c *Context) Close() error { return c.root.Close() }

// IgnoredError is the answer to a path that exists but that the ignore rules
// hide. It is an fs.ErrNotExist.
type IgnoredError struct {
	Path string
	File string // the ignore file
	Rule Rule
}

func (e *IgnoredError) Error() string { return e.Path + ": not in the context" }

// Unwrap makes a hidden path a missing one.
func (e *IgnoredError) Unwrap() error { return fs.ErrNotExist }

// Hint says which rule hides the path.
func (e *IgnoredError) Hint() string {
	if e.Rule.Line == 0 {
		return fmt.Sprintf("it is excluded by %q", e.Rule.Pattern)
	}
	return fmt.Sprintf("it is excluded by %s:%d %q", e.File, e.Rule.Line, e.Rule.Pattern)
}

// Ignored reports whether the rules hide operand, and by which rule. It asks the
// rules alone: the path need not exist.
func (c *Context) Ignored(operand string) (Rule, bool) {
	return c.o.Ignore.Match(Clean(operand))
}

// Lstat describes the entry itself. Symbolic links among its parents are
// followed inside the root; Info.Path tells where that led. A hidden entry is an
// *IgnoredError, except for a hidden directory with something visible below it.
func (c *Context) Lstat(operand string) (Info, error) {
	p := Clean(operand)
	info, err := c.lstat(p)
	if errors.Is(err, unix.ELOOP) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.EXDEV) {
		var dir Info
		if dir, err = c.resolve(path.Dir(p)); err == nil {
			info, err = c.lstat(path.Join(dir.Path, path.Base(p)))
		}
	}
	return info, err
}

// Stat describes what operand leads to after every symbolic link was followed
// inside the root and through visible entries only.
func (c *Context) Stat(operand string) (Info, error) {
	info, err := c.Lstat(operand)
	if err != nil || info.Type != Symlink {
		return info, err
	}
	p, err := c.Resolve(operand)
	if err != nil {
		return info, err
	}
	return c.lstatAny(p)
}

// Readlink returns the target of a symbolic link, as it is written.
func (c *Context) Readlink(operand string) (string, error) {
	info, err := c.Lstat(operand)
	if err == nil && info.Type != Symlink {
		err = pathError("readlink", info.Path, unix.EINVAL)
	}
	return info.Linkname, err
}

// maxLinks is the kernel's own limit on links followed in one path.
const maxLinks = 40

// Resolve follows every symbolic link of operand and returns the clean path of
// an existing, visible entry. Links resolve inside the root, as in a chroot:
// "/" is the root and ".." stops there. A hidden link leads nowhere.
func (c *Context) Resolve(operand string) (string, error) {
	info, err := c.resolve(operand)
	if err != nil {
		return "", err
	}
	return info.Path, c.checkVisible(&info)
}

// resolve is Resolve without the question whether the end is visible: a hidden
// directory may still be on the way to something that is not. Hidden links are
// not followed.
func (c *Context) resolve(operand string) (Info, error) {
	at, links := Info{Path: ".", Type: Dir}, 0
	todo := strings.Split(Clean(operand), "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			if at.Type != Dir {
				return at, pathError("resolve", at.Path, unix.ENOTDIR)
			}
			at = Info{Path: path.Dir(at.Path), Type: Dir}
			continue
		}
		info, err := c.lstatAny(path.Join(at.Path, name))
		if err != nil {
			return info, err
		}
		if info.Type != Symlink {
			at = info
			continue
		}
		if err := c.checkVisible(&info); err != nil {
			return info, err
		}
		c.o.Uses.entry(&info)
		if links++; links > maxLinks {
			return info, pathError("resolve", Clean(operand), unix.ELOOP)
		}
		if strings.HasPrefix(info.Linkname, "/") {
			at = Info{Path: ".", Type: Dir}
		}
		todo = append(strings.Split(info.Linkname, "/"), todo...)
	}
	return at, nil
}

// lstat is Lstat of a clean path without links among its parents.
func (c *Context) lstat(p string) (Info, error) {
	info, err := c.lstatAny(p)
	if err != nil {
		return info, err
	}
	return info, c.checkVisible(&info)
}

func (c *Context) lstatAny(p string) (info Info, err error) {
	info.Path = p
	dir := c.fd
	if parent := path.Dir(p); parent != "." {
		if dir, err = c.openDir(parent); err != nil {
			return info, err
		}
		defer unix.Close(dir)
	}
	err = statAt(&info, dir, path.Base(p), false)
	return info, err
}

func (c *Context) checkVisible(info *Info) error {
	state, decided := c.o.Ignore.state(info.Path)
	if !state.hidden {
		return nil
	}
	if info.Type == Dir && c.o.Ignore.mayRestore(info.Path, state) {
		for _, err := range c.Walk(info.Path, WalkOptions{}) {
			return err // something below is visible, so the directory is
		}
	}
	return &IgnoredError{Path: info.Path, File: c.o.Ignore.name, Rule: c.o.Ignore.rules[decided]}
}

// Clean turns an operand into a path below the root: ".." there is the root, and
// so are "/" and "", which is written ".".
func Clean(operand string) string {
	p := path.Clean("/" + operand)
	if p == "/" {
		return "."
	}
	return p[1:]
}
