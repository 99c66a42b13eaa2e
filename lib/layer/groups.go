package layer

import (
	"context"
	"os"
	"slices"

	"golang.org/x/sys/unix"
)

// groups knows which names of a tree are one file. A layer that says something
// about one of them must repeat the others: a hard link needs its target in the
// same layer, since not every unpacker sees those below.
type groups struct {
	upper, lower tree
	dirty        map[inode]bool // of groups in upper: must be written
}

// tree lists the files with several names, in order.
type tree struct {
	id    map[string]inode
	names map[inode][]string
}

// changedLink is changed for a file with more than one name, in upper or lower.
func (d *differ) changedLink(o *object) (bool, error) {
	if d.groups == nil {
		g := &groups{upper: newTree(), lower: newTree(), dirty: make(map[inode]bool)}
		d.groups = g
		if err := g.upper.scan(d.ctx, int(d.upper.Fd()), ".", "."); err != nil {
			return false, err
		}
		// The trees below an overlay are not scanned: a link made there that
		// overlayfs has cut is no change that anybody made.
		if d.hideLower {
			if err := g.lower.scan(d.ctx, int(d.lowers[0].f.Fd()), ".", "."); err != nil {
				return false, err
			}
		}
	}
	if dirty, ok := d.groups.dirty[o.id]; ok {
		return dirty, nil
	}
	dirty, err := d.dirtyGroup(o)
	d.groups.dirty[o.id] = dirty
	return dirty, err
}

// dirtyGroup tells whether any name of the file o differs from below, or its
// names are not one file there.
func (d *differ) dirtyGroup(o *object) (bool, error) {
	names := d.groups.upper.names[o.id]
	if len(names) == 0 {
		names = []string{o.Path}
	}
	var first inode
	for i, name := range names {
		low, differs, err := d.compareAt(name)
		if err != nil || differs {
			return true, err
		}
		if i > 0 && low != first {
			return true, nil
		}
		first = low
	}
	below, linked := d.groups.lower.id[names[0]]
	if !linked {
		return false, nil
	}
	// Several files in upper may be one file in lower: the one with the first name
	// that did not change stays, the others are written to be files of their own.
	for _, name := range d.groups.lower.names[below] {
		if slices.Contains(names, name) {
			return false, nil
		}
		if _, differs, err := d.compareAt(name); err != nil {
			return true, err
		} else if !differs {
			return true, nil
		}
	}
	return false, nil
}

// compareAt compares the two trees at one path, and returns which file is below.
func (d *differ) compareAt(path string) (below inode, differs bool, err error) {
	up := []lowerDir{{d.upper, &object{}}}
	marks := d.lowerMarks
	d.lowerMarks = false
	o, err := d.find(up, path)
	d.lowerMarks = marks
	if err != nil || o == nil {
		return inode{}, true, err
	}
	defer o.close()
	low, err := d.find(d.lowers, path)
	if err != nil || low == nil {
		return inode{}, true, err
	}
	defer low.close()
	differs, err = d.differs(o, low)
	return low.id, differs, err
}

func newTree() tree {
	return tree{id: make(map[string]inode), names: make(map[inode][]string)}
}

// scan notes the regular files with several names in the directory name of dirfd, whose path is dir.
func (t *tree) scan(ctx context.Context, dirfd int, name, dir string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	fd := -1
	err := retry(func() (err error) {
		fd, err = unix.Openat(dirfd, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		return err
	})
	if err != nil {
		return pathError("open", dir, err)
	}
	f := os.NewFile(uintptr(fd), procPath(fd, ""))
	defer f.Close()
	names, err := readDir(f)
	if err != nil {
		return pathError("read directory", dir, err)
	}
	for _, n := range names {
		path := join(dir, n.Name())
		switch {
		case n.IsDir():
			err = t.scan(ctx, fd, n.Name(), path)
		case n.Type().IsRegular():
			err = t.note(fd, n.Name(), path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tree) note(dirfd int, name, path string) error {
	var st unix.Stat_t
	if err := retry(func() error { return unix.Fstatat(dirfd, name, &st, unix.AT_SYMLINK_NOFOLLOW) }); err != nil {
		return pathError("look at", path, err)
	}
	if st.Nlink > 1 {
		id := inode{uint64(st.Dev), st.Ino}
		t.id[path] = id
		t.names[id] = append(t.names[id], path)
	}
	return nil
}
