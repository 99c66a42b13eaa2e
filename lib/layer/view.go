package layer

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"docksmith/lib/rootfs"

	"golang.org/x/sys/unix"
)

// view looks at a stack of overlay directories as overlayfs would merge them.
// Nothing is mounted, so it works for everybody and everywhere.
type view struct {
	layers []*rootfs.Root // top first; 0 is the one being made
	// opaque: the layer being made hides all that is below.
	opaque bool
}

// mergedDir is a directory of the merged view: its path without links, and the
// layers, top first, whose content is seen in it.
type mergedDir struct {
	path string
	in   []int
}

// found is what a name of a mergedDir is.
type found struct {
	st    unix.Stat_t
	layer int       // the topmost one that has it
	dir   mergedDir // if it is a directory
}

func (f *found) kind() uint32 { return uint32(f.st.Mode) & unix.S_IFMT }

func newView(upper *rootfs.Root, lowers []string) (*view, error) {
	v := &view{}
	r, err := upper.Clone()
	for err == nil {
		v.layers = append(v.layers, r)
		if len(lowers) == 0 {
			return v, nil
		}
		r, err = rootfs.Open(lowers[0])
		lowers = lowers[1:]
	}
	return nil, errors.Join(err, v.close())
}

func (v *view) close() error {
	var errs []error
	for _, r := range v.layers {
		errs = append(errs, r.Close())
	}
	return errors.Join(errs...)
}

func (v *view) root() mergedDir {
	d := mergedDir{path: "."}
	for i := range v.layers {
		if i == 0 || !v.opaque {
			d.in = append(d.in, i)
		}
	}
	return d
}

// lookup finds a name in a directory; nil if it is in no layer, or hidden.
func (v *view) lookup(d mergedDir, name string) (*found, error) {
	path := joinPath(d.path, name)
	var f *found
	for n, i := range d.in {
		fd, base, err := v.layers[i].Parent(path)
		var st unix.Stat_t
		if err == nil {
			err = unix.Fstatat(fd, base, &st, unix.AT_SYMLINK_NOFOLLOW)
		}
		if errors.Is(err, unix.ENOENT) {
			continue
		}
		if err != nil {
			return nil, pathError("look at", path, cause(err))
		}
		if isWhiteout(&st) {
			return f, nil
		}
		isDir := uint32(st.Mode)&unix.S_IFMT == unix.S_IFDIR
		if f == nil {
			f = &found{st: st, layer: i, dir: mergedDir{path: path}}
		} else if !isDir {
			return f, nil
		}
		if !isDir {
			return f, nil
		}
		f.dir.in = append(f.dir.in, i)
		if n < len(d.in)-1 && isOpaque(fd, base) {
			return f, nil
		}
	}
	return f, nil
}

// maxLinks is how many symbolic links one path may lead through.
const maxLinks = 40

// walk follows path through the merged view, the last element too, as far as it
// exists: stack holds the directories from the root, rest the names that lack.
func (v *view) walk(path string) (stack []mergedDir, rest []string, err error) {
	stack = []mergedDir{v.root()}
	todo := strings.Split(path, "/")
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			stack = stack[:max(1, len(stack)-1)]
			continue
		}
		f, err := v.lookup(stack[len(stack)-1], name)
		if err != nil {
			return nil, nil, err
		}
		if f == nil {
			return stack, append([]string{name}, todo...), nil
		}
		switch f.kind() {
		case unix.S_IFDIR:
			stack = append(stack, f.dir)
		case unix.S_IFLNK:
			if links++; links > maxLinks {
				return nil, nil, pathError("resolve", path, unix.ELOOP)
			}
			text, err := v.layers[f.layer].Readlink(f.dir.path)
			if err != nil {
				return nil, nil, err
			}
			if strings.HasPrefix(text, "/") {
				stack = stack[:1]
			}
			todo = append(strings.Split(text, "/"), todo...)
		default:
			return nil, nil, pathError("open", f.dir.path, unix.ENOTDIR)
		}
	}
	return stack, nil, nil
}

// resolve is the path of the directory path without links; what lacks keeps its name.
func (v *view) resolve(path string) (string, error) {
	stack, rest, err := v.walk(path)
	if err != nil {
		return "", err
	}
	real := strings.TrimPrefix(stack[len(stack)-1].path, ".")
	for _, name := range rest {
		switch name {
		case "", ".":
		case "..":
			real, _ = splitPath(real)
		default:
			real = strings.TrimPrefix(real+"/"+name, "/")
		}
	}
	return orDot(real), nil
}

// hides tells whether the layers below have something at base of the directory dir
// that would be seen if the layer being made had not.
func (v *view) hides(dir, base string) (bool, error) {
	stack, rest, err := v.walk(dir)
	if errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil || len(rest) > 0 {
		return false, err
	}
	f, err := v.lookup(stack[len(stack)-1].below(), base)
	return f != nil, err
}

// merges tells whether path leads to a directory in which the layers below have a part.
func (v *view) merges(path string) (bool, error) {
	stack, rest, err := v.walk(path)
	if errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil || len(rest) > 0 {
		return false, err
	}
	return len(stack[len(stack)-1].below().in) > 0, nil
}

// below is the directory without what the layer being made has in it.
func (d mergedDir) below() mergedDir {
	if len(d.in) > 0 && d.in[0] == 0 {
		d.in = d.in[1:]
	}
	return d
}

// directory is the entry of a directory of the layers below, at a path without
// links; nil if there is none to be seen.
func (v *view) directory(path string) (*Entry, error) {
	stack, rest, err := v.walk(path)
	if errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err != nil || len(rest) > 0 {
		return nil, err
	}
	seen := stack[len(stack)-1].below()
	if len(seen.in) == 0 {
		return nil, nil
	}
	f := &found{layer: seen.in[0], dir: seen}
	if f.st, err = v.layers[f.layer].Lstat(f.dir.path); err != nil {
		return nil, err
	}
	return v.entry(f)
}

// entry describes what was found as a tar would.
func (v *view) entry(f *found) (*Entry, error) {
	e := &Entry{
		Path: f.dir.path, Type: TypeDir, Mode: uint32(f.st.Mode) & 0o7777, UID: f.st.Uid, GID: f.st.Gid,
		ModTime: time.Unix(f.st.Mtim.Unix()),
	}
	xattrs, err := v.layers[f.layer].Xattrs(f.dir.path)
	if err != nil && !errors.Is(err, rootfs.ErrUnsupported) {
		return nil, err
	}
	if value, ok := xattrs[OwnerXattr]; ok {
		if e.UID, e.GID, err = parseOwner(value); err != nil {
			return nil, fmt.Errorf("%q: %w", e.Path, err)
		}
	}
	for name, value := range xattrs {
		if !steering(name) && !hostXattr(name) {
			if e.Xattrs == nil {
				e.Xattrs = map[string]string{}
			}
			e.Xattrs[name] = value
		}
	}
	return e, nil
}

// rootNames are the names to be seen at the root of the layers below.
func (v *view) rootNames() ([]string, error) {
	defer func(opaque bool) { v.opaque = opaque }(v.opaque)
	v.opaque = false
	root := v.root().below()
	seen := map[string]bool{}
	var names []string
	for _, i := range root.in {
		list, err := v.layers[i].ReadDir(".")
		if err != nil {
			return nil, err
		}
		for _, d := range list {
			if seen[d.Name()] {
				continue
			}
			seen[d.Name()] = true
			if f, err := v.lookup(root, d.Name()); err != nil {
				return nil, err
			} else if f != nil {
				names = append(names, d.Name())
			}
		}
	}
	slices.Sort(names)
	return names, nil
}

// linkBelow makes a hard link to a file of the layers below: a copy, because the
// file of a lower layer is not ours to give another name.
func (a *applier) linkBelow(e *Entry, base string) error {
	dir, name := splitPath(e.Linkname)
	stack, rest, err := a.view.walk(dir)
	var f *found
	if err == nil && len(rest) == 0 {
		f, err = a.view.lookup(stack[len(stack)-1], name)
	}
	if err == nil && f == nil {
		err = unix.ENOENT
	}
	if err != nil {
		return fmt.Errorf("link %q to %q: %w", e.Path, e.Linkname, cause(err))
	}
	copied, err := a.view.entry(f)
	if err != nil {
		return err
	}
	copied.Path = e.Path
	switch f.kind() {
	case unix.S_IFREG:
		return a.copyBelow(f, copied, base)
	case unix.S_IFLNK:
		copied.Type = TypeSymlink
		if copied.Linkname, err = a.view.layers[f.layer].Readlink(f.dir.path); err != nil {
			return err
		}
		return a.symlink(copied, base)
	}
	return fmt.Errorf("link %q to %q: not a file", e.Path, e.Linkname)
}

// copyBelow copies a file of a lower layer to base of the current directory.
func (a *applier) copyBelow(f *found, e *Entry, base string) error {
	src, err := a.view.layers[f.layer].OpenFile(f.dir.path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		return err
	}
	defer src.Close()
	fd := -1
	err = a.create(e.Path, base, func() (err error) {
		flags := unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
		fd, err = unix.Openat(a.cur.fd, base, flags, 0o600)
		return err
	})
	if err != nil {
		return err
	}
	dst := os.NewFile(uintptr(fd), e.Path)
	if _, err = io.Copy(dst, src); err == nil {
		err = a.meta.open(fd, e, a.cur.st.Mode&unix.S_ISGID != 0, false)
	}
	if err = errors.Join(err, dst.Close()); err != nil {
		return err
	}
	return a.meta.time(a.cur.fd, base, e)
}

func joinPath(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
