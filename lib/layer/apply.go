package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"docksmith/lib/rootfs"
)

// Form is what Apply makes of a layer's whiteouts.
type Form uint8

const (
	// Tree applies the layer to a merged tree: whiteouts delete.
	Tree Form = iota
	// Overlay makes a directory for overlayfs: whiteouts become character devices
	// 0:0, opaque directories get an attribute (OpaqueXattr).
	Overlay
)

// ApplyOptions are the options of Apply; the zero value applies a layer to a tree.
type ApplyOptions struct {
	Form Form
	// Lowers are the directories below, top first, for the Overlay form: they say
	// where symbolic links in paths lead, what metadata the parents have that the
	// layer does not mention, and what hard links to files of lower layers hold. A
	// whiteout that hides nothing in them is left out: overlayfs would list it.
	Lowers []string
	// KeepWhiteouts makes every whiteout and opaque mark in the Overlay form,
	// for when the layers below are not at hand.
	KeepWhiteouts bool
	Limits        Limits
	// Plain reads an ordinary archive: names that begin with .wh. are just names.
	Plain bool
	// Epoch, if set, is the modification time of every entry, whatever the tar says.
	Epoch *time.Time
	// StrictDevices makes a device that may not be made an error; by default it
	// is left out with a warning.
	StrictDevices bool
	// Warn gets one sentence for each kind of thing that could not be kept. Nil: silence.
	Warn func(string)
}

// Limits bound what a tar may ask for. Zero means the default.
type Limits struct {
	Bytes   int64 // sum of all file sizes, holes included; default 1 TiB
	Entries int64 // default 4 Mi
	Depth   int   // elements of a path; default 1024
	Xattrs  int   // bytes of extended attributes of one entry; default 128 KiB
}

// Apply reads the uncompressed layer tar r to its end and applies it to the
// directory dir, which must exist and in the Overlay form be empty.
//
// It trusts nothing: every name is resolved inside dir, by descriptor, and no
// entry, link, whiteout, mode, owner or attribute can reach outside, also while
// somebody else changes the tree. An entry replaces what is there, but for a
// directory over a directory, which keeps its content. Whiteouts concern what
// was there before, never what the same layer adds, in whatever order they come.
//
// An owner that cannot be set is kept in OwnerXattr; attributes and devices
// that cannot be made are told to Warn. On an error what was made so far stays,
// for the caller to remove. r is read by a goroutine, which has ended when Apply
// returns, unless ctx was done in the middle of a Read.
func Apply(ctx context.Context, r io.Reader, dir string, o ApplyOptions) (err error) {
	defer func() {
		switch {
		case err == nil:
		case o.Plain:
			err = fmt.Errorf("unpack tar: %w", err)
		default:
			err = fmt.Errorf("apply layer: %w", err)
		}
	}()
	a, err := newApplier(ctx, dir, o)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.close()) }()
	fill := readChunks(r)
	if _, ok := r.(*aheadReader); !ok { // one reads ahead already
		p := prefetch(ctx, r)
		defer p.stop()
		fill = p.fill
	}
	a.r = &Reader{src: source{fill: fill}, o: ReaderOptions{Plain: o.Plain, Limits: o.Limits}}
	if err := a.run(); err != nil {
		return err
	}
	a.meta.tally.tell(o.Warn)
	return nil
}

// applier is one run of Apply.
type applier struct {
	ctx  context.Context
	o    ApplyOptions
	r    *Reader
	root *rootfs.Root
	// links resolves the targets of hard links, so that the directory which root
	// has open for the new name stays open.
	links *rootfs.Root
	view  *view // of what is merged with the layers below; nil: nothing is
	meta  *metaWriter
	cur   curDir
	added added // nil: all that is there was added by this layer, and no mark matters
	// later holds the modes of directories that their owner, without privilege,
	// could not work in.
	later map[string]uint32
}

func newApplier(ctx context.Context, dir string, o ApplyOptions) (*applier, error) {
	a := &applier{ctx: ctx, o: o, meta: newMetaWriter(), later: map[string]uint32{}}
	if err := a.open(dir); err != nil {
		return nil, errors.Join(err, a.close())
	}
	return a, nil
}

func (a *applier) open(dir string) (err error) {
	if a.root, err = rootfs.Open(dir); err != nil {
		return err
	}
	if a.links, err = a.root.Clone(); err != nil {
		return err
	}
	names, err := a.root.ReadDir(".")
	if err != nil {
		return err
	}
	if a.o.Form == Tree {
		if len(names) > 0 {
			a.added = newAdded()
		}
		return nil
	}
	if len(names) > 0 {
		return fmt.Errorf("directory %s is not empty", dir)
	}
	if len(a.o.Lowers) > 0 || a.o.KeepWhiteouts {
		if a.view, err = newView(a.root, a.o.Lowers); err != nil {
			return err
		}
		a.added = newAdded()
	}
	return a.impliedRoot()
}

func (a *applier) close() error {
	var errs []error
	if a.view != nil {
		errs = append(errs, a.view.close())
	}
	for _, r := range []*rootfs.Root{a.root, a.links} {
		if r != nil {
			errs = append(errs, r.Close())
		}
	}
	return errors.Join(errs...)
}

func (a *applier) run() error {
	for {
		e, err := a.r.Next()
		if err == io.EOF {
			break
		}
		if err == nil {
			err = context.Cause(a.ctx)
		}
		if err == nil {
			err = a.entry(e)
		}
		if err != nil {
			return err
		}
	}
	if n := a.r.Trailing(); n > 0 && a.o.Warn != nil {
		a.o.Warn(fmt.Sprintf("%d bytes after the end of the archive ignored", n))
	}
	return a.finish()
}

// entry applies one entry.
func (a *applier) entry(e *Entry) error {
	if a.o.Epoch != nil {
		e.ModTime = *a.o.Epoch
	}
	switch e.Type {
	case TypeWhiteout:
		return a.whiteout(e)
	case TypeOpaque:
		return a.opaque(e)
	}
	if e.Path == "." {
		return a.setRoot(e)
	}
	dir, base := splitPath(e.Path)
	if err := a.enter(dir); err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	a.added.put(&a.cur.st, base)
	switch e.Type {
	case TypeFile:
		return a.file(e, base)
	case TypeDir:
		return a.dir(e, base)
	case TypeSymlink:
		return a.symlink(e, base)
	case TypeLink:
		return a.link(e, base)
	}
	return a.node(e, base)
}

// finish does what must wait for the last entry.
func (a *applier) finish() error {
	if a.view != nil && a.view.opaque {
		if err := a.hideRoot(); err != nil {
			return err
		}
	}
	if err := a.leave(); err != nil {
		return err
	}
	return a.setModes()
}
