package build

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/rootfs"
)

// maker is what a step makes its layer with.
type maker struct {
	b     *builder
	s     *stage
	temp  Temp
	tar   LayerWriter
	dir   string // becomes the snapshot; "": none
	empty bool   // no layer after all
	again bool   // the layer is there, and is made once more to be compared
	log   string // of the command, if one ran

	peakMemory int64
	view       *rootfs.Root
}

// commit ends the tar and puts the directory in its place among the snapshots.
func (m *maker) commit() (*oci.Layer, error) {
	l, err := m.tar.Commit()
	if err != nil {
		return nil, err
	}
	m.closeView()
	if m.dir == "" {
		return &l, nil
	}
	if err := m.b.o.Store.AddSnapshot(oci.NextChainID(m.s.chain, l.DiffID), m.dir); err != nil {
		return nil, fmt.Errorf("keep snapshot: %w", err)
	}
	return &l, nil
}

// root is the stage's root file system before this step; nil while it is empty.
func (m *maker) root(ctx context.Context) (*rootfs.Root, error) {
	if m.view != nil || len(m.s.layers) == 0 {
		return m.view, nil
	}
	f, err := m.b.viewOf(ctx, m.s)
	if err != nil {
		return nil, err
	}
	m.view, err = rootfs.FromFile(f)
	return m.view, err
}

func (m *maker) closeView() {
	if m.view != nil {
		m.view.Close()
		m.view = nil
	}
}

// newTree makes an empty directory for the layer's files that has, itself, the
// mode and owner of the root of the stage so far: what overlayfs shows as the
// root is the top directory.
func (m *maker) newTree(ctx context.Context, name string) (string, error) {
	return m.newTreeLike(ctx, name, m.s)
}

// newTreeLike is newTree for the root of s.
func (m *maker) newTreeLike(ctx context.Context, name string, s *stage) (string, error) {
	dir := filepath.Join(m.temp.Path(), name)
	if err := os.Mkdir(dir, 0o755); err != nil {
		return "", err
	}
	top := layer.Source{Entry: layer.Entry{Path: ".", Type: layer.TypeDir, Mode: 0o755}}
	lowers, err := m.b.lowers(ctx, s)
	if err != nil {
		return "", err
	}
	if len(lowers) > 0 {
		if top.Entry, err = rootEntry(lowers[0]); err != nil {
			return "", err
		}
	}
	// Pack is who can make an entry in a directory, whatever it may own here.
	err = layer.Pack(ctx, io.Discard, dir, []layer.Source{top}, layer.PackOptions{Epoch: m.b.o.Epoch})
	return dir, err
}

func rootEntry(dir string) (layer.Entry, error) {
	root, err := rootfs.Open(dir)
	if err != nil {
		return layer.Entry{}, err
	}
	defer root.Close()
	st, err := root.Lstat(".")
	if err != nil {
		return layer.Entry{}, err
	}
	attrs, err := root.Xattrs(".")
	if err != nil {
		return layer.Entry{}, err
	}
	e := entryOf(".", uint32(st.Mode), st.Uid, st.Gid, 0)
	applyXattrs(&e, attrs)
	return e, nil
}

// pack writes a draft as the layer. Its tree becomes the snapshot, unless
// nobody needs one, or the layer hides what is below it: then the snapshot is
// unpacked from the blob, by who knows how overlayfs wants that said.
func (m *maker) pack(ctx context.Context, d *draft) error {
	sources, hides := d.sources()
	if !m.b.o.NoOverlay && !hides {
		var err error
		if m.dir, err = m.newTree(ctx, "tree"); err != nil {
			return err
		}
	}
	return layer.Pack(ctx, m.tar, m.dir, sources, layer.PackOptions{Epoch: m.b.o.Epoch, Warn: m.warn})
}

func (m *maker) warn(text string) { m.b.warn(0, strings.TrimSpace(text)) }

// lowers are the directories of the stage's layers, top first, unpacked if
// they are not yet.
func (b *builder) lowers(ctx context.Context, s *stage) ([]string, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.disk.lowers == nil && len(s.layers) > 0 {
		lowers, err := b.o.Store.Snapshots(ctx, s.layers)
		if err != nil {
			return nil, fmt.Errorf("unpack layers: %w", err)
		}
		s.disk.lowers = lowers
	}
	return s.disk.lowers, nil
}
