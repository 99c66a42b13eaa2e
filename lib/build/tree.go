package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"

	"docksmith/lib/buildctx"
	"docksmith/lib/rootfs"
)

var errNoView = errors.New("nothing here can merge them")

// openTree opens what a COPY takes files from.
func (b *builder) openTree(ctx context.Context, src source) (*tree, error) {
	from := src.stage
	if from == nil {
		return b.openFiles(cmp.Or(src.files, b.o.Context))
	}
	if len(from.layers) == 0 {
		return b.emptyTree()
	}
	f, err := b.viewOf(ctx, from)
	if err != nil {
		return nil, err
	}
	root, err := rootfs.FromFile(f)
	if err != nil {
		return nil, err
	}
	second, err := root.OpenFile("/", os.O_RDONLY, 0)
	if err != nil {
		root.Close()
		return nil, err
	}
	files := buildctx.FromFile(second, buildctx.Options{Index: b.o.Index})
	t := &tree{files: files, root: root, close: func() {
		files.Close()
		root.Close()
	}}
	return t.countReads(), nil
}

// openFiles opens a directory that is no root; nil is an empty one.
func (b *builder) openFiles(files *buildctx.Context) (*tree, error) {
	if files != nil {
		return (&tree{files: files}).countReads(), nil
	}
	t, err := b.emptyTree()
	if err == nil {
		t.root = nil
	}
	return t, err
}

// emptyTree stands for the root of a stage without layers.
func (b *builder) emptyTree() (*tree, error) {
	temp, err := b.o.Store.TempDir("empty")
	if err != nil {
		return nil, err
	}
	files, err := buildctx.Open(temp.Path(), buildctx.Options{})
	if err != nil {
		return nil, errors.Join(err, temp.Close())
	}
	root, err := rootfs.Open(temp.Path())
	if err != nil {
		return nil, errors.Join(err, files.Close(), temp.Close())
	}
	return &tree{files: files, root: root, close: func() {
		files.Close()
		root.Close()
		temp.Close()
	}}, nil
}

// viewOf opens the merged root of a stage, read-only.
func (b *builder) viewOf(ctx context.Context, s *stage) (*os.File, error) {
	if b.o.NoOverlay {
		dir, err := b.copyOf(ctx, s)
		if err != nil {
			return nil, err
		}
		return os.Open(dir)
	}
	lowers, err := b.lowers(ctx, s)
	if err != nil {
		return nil, err
	}
	if b.o.View == nil {
		return nil, fmt.Errorf("look at the layers: %w", errNoView)
	}
	f, err := b.o.View(lowers)
	if err != nil {
		return nil, &ViewError{err}
	}
	return f, nil
}

// ViewError says that the layers of a stage could not be merged to be looked
// at: Options.NoOverlay does without.
type ViewError struct{ Err error }

func (e *ViewError) Error() string { return "look at the layers: " + e.Err.Error() }

func (e *ViewError) Unwrap() error { return e.Err }
