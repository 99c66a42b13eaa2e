package layer

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// differ walks a tree in the order of a layer, beside the directories below it
// if there are any, and writes what a layer must say. Create, Diff and PackUpper
// are three settings of it, so that they agree on every byte.
type differ struct {
	loader
	ctx context.Context
	tw  *Writer

	compare    bool // leave out what equals the lower tree
	hideLower  bool // the whole upper tree is complete: what it lacks is deleted
	upperMarks bool // whiteouts and opaque marks in the upper tree are overlayfs'
	lowerMarks bool // the same for the lower trees
	settle     bool // give the upper tree the times written

	links   map[inode]linkTarget
	pending []*Entry // directories on the way here that are not written yet
	groups  *groups  // hard links, once one was seen
	upper   *os.File
	lowers  []lowerDir
	read    fdReader
}

func newDiffer(ctx context.Context, w io.Writer, o CreateOptions) *differ {
	d := &differ{ctx: ctx, tw: NewWriter(w), links: make(map[inode]linkTarget)}
	d.o = o
	d.read.ctx = ctx
	return d
}

func (d *differ) run(upper string, lowers []string) (err error) {
	if d.upper, err = openDir(upper); err != nil {
		return err
	}
	defer d.upper.Close()
	for _, l := range lowers {
		f, err := openDir(l)
		if err != nil {
			return err
		}
		defer f.Close()
		o, err := d.root(int(f.Fd()))
		if err != nil {
			return err
		}
		d.lowers = append(d.lowers, lowerDir{f, o})
	}
	root, err := d.root(int(d.upper.Fd()))
	if err != nil {
		return err
	}
	if err := d.rootEntry(root); err != nil {
		return err
	}
	if err := d.dir(d.upper, root, d.lowers, d.hideLower); err != nil {
		return err
	}
	if d.settle {
		if err := d.setTime(int(d.upper.Fd()), ".", root, nil, true); err != nil {
			return err
		}
	}
	return d.tw.Close()
}

// rootEntry writes the root where it says something.
func (d *differ) rootEntry(root *object) error {
	if d.o.Root {
		return d.tw.WriteHeader(&root.Entry)
	}
	if !d.compare || len(d.lowers) == 0 {
		return nil
	}
	low := d.lowers[0].o.Entry
	low.ModTime = root.ModTime // which is no reason: it changes with whatever is inside
	if sameEntry(&root.Entry, &low) {
		return nil
	}
	return d.tw.WriteHeader(&root.Entry)
}

// dir writes what is below the open directory f, of which o is the object.
// lowers are the directories that it covers, top first; with hide, what
// they hold and f does not is deleted.
func (d *differ) dir(f *os.File, o *object, lowers []lowerDir, hide bool) error {
	names, err := readDir(f)
	if err != nil {
		return pathError("read directory", o.Path, err)
	}
	if d.upperMarks && o.opaque == "y" {
		if !d.compare {
			if err := d.write(&Entry{Path: o.Path, Type: TypeOpaque, ModTime: entryTime(d.o.Epoch)}); err != nil {
				return err
			}
		}
		hide = true
	}
	names, err = d.whiteouts(f, o, names, lowers, hide)
	if err != nil {
		return err
	}
	for _, n := range names {
		if err := d.ctx.Err(); err != nil {
			return err
		}
		if err := d.child(f, o, n.Name(), lowers, hide); err != nil {
			return err
		}
	}
	return nil
}

// whiteouts writes what of lowers is gone, and returns the names that are not whiteouts.
func (d *differ) whiteouts(f *os.File, o *object, names []fs.DirEntry, lowers []lowerDir, hide bool) ([]fs.DirEntry, error) {
	var gone []string
	if d.upperMarks {
		kept := names[:0]
		for _, n := range names {
			is, err := d.isWhiteout(int(f.Fd()), n, o)
			if err != nil {
				return nil, err
			}
			if !is {
				kept = append(kept, n)
				continue
			}
			gone = append(gone, n.Name())
		}
		names = kept
	}
	if d.compare {
		var err error
		if gone, err = d.hidden(gone, names, lowers, hide); err != nil {
			return nil, err
		}
	}
	for _, name := range gone {
		e := Entry{Path: join(o.Path, name), Type: TypeWhiteout, ModTime: entryTime(d.o.Epoch)}
		if err := d.write(&e); err != nil {
			return nil, err
		}
	}
	return names, nil
}

// hidden lists what lowers show and the upper directory takes away: the
// whiteouts gone, and if it hides all, everything that is not among names.
func (d *differ) hidden(gone []string, names []fs.DirEntry, lowers []lowerDir, hide bool) ([]string, error) {
	if len(lowers) == 0 || (len(gone) == 0 && !hide) {
		return nil, nil
	}
	visible, err := d.visible(lowers)
	if err != nil {
		return nil, err
	}
	var list []string
	for name := range visible {
		_, here := slices.BinarySearchFunc(names, name, func(n fs.DirEntry, s string) int { return cmp.Compare(n.Name(), s) })
		if hide && !here {
			list = append(list, name)
		} else if _, white := slices.BinarySearch(gone, name); white {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list, nil
}

// child writes one name of a directory and what is below it.
func (d *differ) child(f *os.File, parent *object, name string, lowers []lowerDir, hide bool) error {
	dirfd, path := int(f.Fd()), join(parent.Path, name)
	if strings.HasPrefix(name, WhiteoutPrefix) {
		return fmt.Errorf("%q: a name that begins with %q would be read as a deletion", path, WhiteoutPrefix)
	}
	links := d.links
	if d.compare {
		links = nil // whether it is written is not known yet
	}
	o, err := d.at(dirfd, name, path, parent.own, links)
	if err != nil {
		return err
	}
	defer o.close()
	if o.socket {
		d.warn("%q: sockets cannot be in a layer, left out", path)
		if d.settle {
			return unix.Unlinkat(dirfd, name, 0)
		}
		return nil
	}
	low, below, err := d.lookup(lowers, name, path)
	if err != nil {
		return err
	}
	defer closeAll(below)
	defer low.close()
	if o.Type == TypeDir {
		return d.subdir(f, o, name, low, below, hide)
	}
	changed, err := d.changed(o, low)
	if err != nil {
		return err
	}
	if changed {
		if err := d.file(o); err != nil {
			return err
		}
	}
	if d.settle {
		return d.setTime(dirfd, name, o, low, changed)
	}
	return nil
}

// subdir writes a directory, at the latest when something below it is written.
func (d *differ) subdir(f *os.File, o *object, name string, low *object, below []lowerDir, hide bool) error {
	sub := os.NewFile(uintptr(o.fd), procPath(o.fd, ""))
	o.fd = -1
	defer sub.Close()
	mark := len(d.pending)
	d.pending = append(d.pending, &o.Entry)
	if !d.compare || !d.same(o, low) {
		if err := d.flushDirs(); err != nil {
			return err
		}
	}
	if err := d.dir(sub, o, below, hide); err != nil {
		return err
	}
	written := len(d.pending) <= mark
	d.pending = d.pending[:min(mark, len(d.pending))]
	if d.settle {
		return d.setTime(int(f.Fd()), name, o, low, written)
	}
	return nil
}

// changed tells whether something that is not a directory must be written.
func (d *differ) changed(o, low *object) (bool, error) {
	if !d.compare {
		return true, nil
	}
	if o.Type == TypeFile && (o.nlink > 1 || (d.hideLower && low != nil && low.nlink > 1)) {
		return d.changedLink(o)
	}
	return d.differs(o, low)
}

// differs compares by what a layer holds: the entry and the content.
func (d *differ) differs(o, low *object) (bool, error) {
	if !d.same(o, low) {
		return true, nil
	}
	if o.Type != TypeFile || o.id == low.id {
		return false, nil
	}
	same, err := sameContent(d.ctx, o.fd, low.fd, o.Size)
	if err != nil {
		return false, pathError("compare", o.Path, err)
	}
	return !same, nil
}

func (d *differ) same(o, low *object) bool {
	return low != nil && sameEntry(&o.Entry, &low.Entry)
}

// file writes an entry that is not a directory, with its content.
func (d *differ) file(o *object) error {
	if o.Type == TypeFile && o.nlink > 1 {
		if first, ok := d.links[o.id]; ok {
			o.Type, o.Linkname, o.Size, o.Xattrs = TypeLink, first.path, 0, nil
		} else {
			d.links[o.id] = linkTarget{o.Path, o.UID, o.GID}
		}
	}
	if err := d.write(&o.Entry); err != nil {
		return err
	}
	if o.Type != TypeFile {
		return nil
	}
	d.read.fd = o.fd
	if _, err := d.tw.ReadFrom(&d.read); err != nil {
		return fmt.Errorf("write content of %q: %w", o.Path, err)
	}
	if n, err := d.read.Read(d.buf[:1]); n > 0 {
		return fmt.Errorf("write content of %q: the file grew meanwhile", o.Path)
	} else if err != io.EOF {
		return fmt.Errorf("write content of %q: %w", o.Path, err)
	}
	return nil
}

// write writes an entry after the directories on the way to it.
func (d *differ) write(e *Entry) error {
	if err := d.flushDirs(); err != nil {
		return err
	}
	return d.tw.WriteHeader(e)
}

func (d *differ) flushDirs() error {
	for _, e := range d.pending {
		if err := d.tw.WriteHeader(e); err != nil {
			return err
		}
	}
	d.pending = d.pending[:0]
	return nil
}

// setTime gives a name in the upper tree the time it has in the layer, or if
// it is not written, the time of what it equals.
func (d *differ) setTime(dirfd int, name string, o, low *object, written bool) error {
	ts := unix.NsecToTimespec(o.ModTime.UnixNano())
	if !written {
		ts = low.mtime
	}
	err := retry(func() error {
		return unix.UtimesNanoAt(dirfd, name, []unix.Timespec{ts, ts}, unix.AT_SYMLINK_NOFOLLOW)
	})
	if err != nil {
		return pathError("set time of", o.Path, err)
	}
	return nil
}

// fdReader reads an open file until the context ends.
type fdReader struct {
	ctx context.Context
	fd  int
}

func (r *fdReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	for {
		n, err := unix.Read(r.fd, p)
		switch {
		case err == unix.EINTR:
			continue
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		}
		return n, nil
	}
}

// readDir lists a directory by the bytes of its names.
func readDir(f *os.File) ([]fs.DirEntry, error) {
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	names, err := f.ReadDir(-1)
	if err != nil {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		return nil, err
	}
	slices.SortFunc(names, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return names, nil
}

func join(dir, name string) string {
	if dir == "." {
		return name
	}
	return dir + "/" + name
}
