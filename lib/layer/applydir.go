package layer

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// curDir is the directory that entries are being made in. It gets its
// modification time back when it is left, so that no list of times is kept
// until the end: whoever made it has set the time it is to have.
type curDir struct {
	path  string // as asked for; "" before the first one
	stale bool   // path may lead elsewhere by now
	fd    int    // the root's
	st    unix.Stat_t
	depth int // of what is made in it; 0: not known yet
}

// enter makes path the current directory; those of it that lack are made.
func (a *applier) enter(path string) error {
	if path == "" {
		path = "."
	}
	ok, err := a.enterExisting(path)
	if ok || err != nil {
		return err
	}
	real, err := a.realPath(path)
	if err != nil {
		return err
	}
	if err := a.makeParents(real); err != nil {
		return err
	}
	ok, err = a.enterExisting(real)
	if err == nil && !ok {
		err = pathError("open", path, unix.ENOTDIR)
	}
	if ok {
		a.cur.path = path // the links on the way may be in a layer below
	}
	return err
}

// enterExisting is enter that makes nothing; false if there is no such directory.
func (a *applier) enterExisting(path string) (bool, error) {
	if path == a.cur.path && !a.cur.stale {
		return true, nil
	}
	if err := a.leave(); err != nil {
		return false, err
	}
	fd, err := a.root.Dir(path)
	if errors.Is(err, unix.EACCES) && a.meta.uid != 0 && path != "." {
		// A directory above is closed to its owner: entering it opens it.
		dir, _ := splitPath(path)
		if ok, err := a.enterExisting(orDot(dir)); err != nil || !ok {
			return ok, err
		}
		if err := a.leave(); err != nil {
			return false, err
		}
		fd, err = a.root.Dir(path)
	}
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	if err := unix.Fstat(fd, &a.cur.st); err != nil {
		return false, pathError("stat", path, err)
	}
	a.cur.path, a.cur.fd, a.cur.depth = path, fd, 0
	return true, a.unlock()
}

// unlock gives an ordinary user the permissions on the current directory that
// working in it takes, until the end.
func (a *applier) unlock() error {
	mode := uint32(a.cur.st.Mode) & 0o7777
	if a.meta.uid == 0 || mode&0o700 == 0o700 || a.cur.st.Uid != a.meta.uid {
		return nil
	}
	if err := chmodDir(a.cur.fd, mode|0o700); err != nil {
		return pathError("chmod", a.cur.path, err)
	}
	if _, ok := a.later[a.cur.path]; !ok {
		a.later[a.cur.path] = mode
	}
	return nil
}

// leave gives the current directory its time back.
func (a *applier) leave() error {
	if a.cur.path == "" {
		return nil
	}
	path := a.cur.path
	a.cur.path = ""
	if a.cur.stale {
		a.cur.stale = false
		defer a.root.Forget()
	}
	ts := []unix.Timespec{a.cur.st.Mtim, a.cur.st.Mtim}
	if err := unix.UtimesNanoAt(a.cur.fd, ".", ts, 0); err != nil && !errors.Is(err, unix.ENOENT) {
		return pathError("set time of", path, err)
	}
	return nil
}

// forget is called after a directory or a link has been removed: paths may lead
// elsewhere now. The current directory stays open until the next entry.
func (a *applier) forget() {
	a.links.Forget()
	if a.view != nil {
		a.view.layers[0].Forget()
	}
	a.cur.stale = true
}

// makeParents makes the directories of a path without links that lack. What the layer says
// nothing of is root's, 0755, and as old as time; in an overlay it is as below.
func (a *applier) makeParents(real string) error {
	dir := "."
	for name := range strings.SplitSeq(real, "/") {
		if ok, err := a.enterExisting(dir); err != nil || !ok {
			return cmp.Or(err, pathError("open", dir, unix.ENOTDIR))
		}
		next := strings.TrimPrefix(dir+"/"+name, "./")
		e, opaque, err := a.implied(next, name)
		if err != nil {
			return err
		}
		if e != nil {
			if err := a.makeDir(e, name, opaque); err != nil {
				return err
			}
		}
		dir = next
	}
	return nil
}

// realPath resolves path where it is not there yet.
func (a *applier) realPath(path string) (string, error) {
	if a.view != nil {
		return a.view.resolve(path)
	}
	real, err := a.root.Resolve(path)
	return strings.TrimPrefix(real, "/"), err
}

// implied is the entry to make for a parent that the layer does not mention; nil if it is there.
func (a *applier) implied(path, name string) (e *Entry, opaque bool, err error) {
	var st unix.Stat_t
	err = unix.Fstatat(a.cur.fd, name, &st, unix.AT_SYMLINK_NOFOLLOW)
	switch {
	case err == nil && a.o.Form == Overlay && isWhiteout(&st):
		// What is below is gone, and this layer begins anew: not merged.
		if err := unix.Unlinkat(a.cur.fd, name, 0); err != nil {
			return nil, false, pathError("remove whiteout", path, err)
		}
		return a.defaultDir(path), true, nil
	case err == nil && uint32(st.Mode)&unix.S_IFMT != unix.S_IFDIR:
		return nil, false, pathError("make directory", path, unix.ENOTDIR)
	case err == nil:
		return nil, false, nil
	case !errors.Is(err, unix.ENOENT):
		return nil, false, pathError("look at", path, err)
	}
	if a.view != nil {
		if e, err := a.view.directory(path); e != nil || err != nil {
			return e, false, err
		}
	}
	return a.defaultDir(path), false, nil
}

func (a *applier) defaultDir(path string) *Entry {
	e := impliedEntry()
	e.Path = path
	if a.o.Epoch != nil {
		e.ModTime = *a.o.Epoch
	}
	return e
}

// dir applies a directory entry: over a directory it changes the metadata alone.
func (a *applier) dir(e *Entry, base string) error {
	err := a.mkdir(base)
	if err == nil {
		return a.setDir(e, base, false, false)
	}
	if !errors.Is(err, unix.EEXIST) {
		return pathError("make directory", e.Path, err)
	}
	var st unix.Stat_t
	if err := unix.Fstatat(a.cur.fd, base, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return pathError("look at", e.Path, err)
	}
	if uint32(st.Mode)&unix.S_IFMT == unix.S_IFDIR {
		return a.setDir(e, base, false, true)
	}
	if err := a.clear(e.Path, base); err != nil {
		return err
	}
	// In an overlay something of this layer stood there and hid what is below.
	return a.makeDir(e, base, a.o.Form == Overlay)
}

func (a *applier) makeDir(e *Entry, base string, opaque bool) error {
	if err := a.mkdir(base); err != nil {
		return pathError("make directory", e.Path, err)
	}
	return a.setDir(e, base, opaque, false)
}

// setDir gives the directory base of the current one the metadata of e.
func (a *applier) setDir(e *Entry, base string, opaque, old bool) error {
	fd, err := a.openBelow(a.cur.fd, base)
	if err != nil {
		return pathError("open", e.Path, err)
	}
	defer unix.Close(fd)
	if opaque {
		if err := setOpaque(fd, e.Path); err != nil {
			return err
		}
	}
	return a.setOpenDir(fd, e, old)
}

func (a *applier) setOpenDir(fd int, e *Entry, old bool) error {
	want := *e
	delete(a.later, e.Path)
	if a.meta.uid != 0 && e.Mode&0o700 != 0o700 {
		a.later[e.Path] = e.Mode
		want.Mode |= 0o700
	}
	if err := a.meta.open(fd, &want, a.cur.st.Mode&unix.S_ISGID != 0, old); err != nil {
		return err
	}
	return a.meta.time(fd, ".", e)
}

// openBelow opens a directory for changing it.
func (a *applier) openBelow(dirfd int, name string) (int, error) {
	flags := unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC
	return unix.Openat(dirfd, name, flags, 0)
}

// setRoot applies the entry "." to the root.
func (a *applier) setRoot(e *Entry) error {
	if err := a.leave(); err != nil {
		return err
	}
	fd, err := a.openBelow(a.root.Fd(), ".")
	if err != nil {
		return pathError("open", ".", err)
	}
	defer unix.Close(fd)
	return a.setOpenDir(fd, e, true)
}

// impliedRoot prepares the root of an overlay directory, which hides the one below
// whether the layer mentions it or not.
func (a *applier) impliedRoot() error {
	e := a.defaultDir(".")
	if a.view != nil {
		if below, err := a.view.directory("."); err != nil {
			return err
		} else if below != nil {
			e = below
		}
	}
	return a.setRoot(e)
}

// setModes sets the modes that had to wait, the deepest directories first.
func (a *applier) setModes() error {
	paths := slices.SortedFunc(maps.Keys(a.later), func(x, y string) int { return ComparePaths(y, x) })
	for _, path := range paths {
		dirfd, base, err := a.root.Parent(path)
		if err != nil {
			continue // replaced meanwhile, with all above it
		}
		fd, err := a.openBelow(dirfd, base)
		if err != nil {
			continue
		}
		err = unix.Fchmod(fd, a.later[path])
		unix.Close(fd)
		if err != nil {
			return pathError("chmod", path, err)
		}
	}
	return nil
}

func setOpaque(fd int, path string) error {
	if err := unix.Fsetxattr(fd, OpaqueXattr(), []byte("y"), 0); err != nil {
		return fmt.Errorf("make %q opaque: %w", path, err)
	}
	return nil
}
