// Package compare finds in what two images differ: their documents, histories,
// layers and merged trees of files; and two layers, entry by entry.
//
// It reads images wherever they are (the store, an archive, a layout) and
// changes nothing. Its one invariant: two images of which it yields no
// Difference and no error are the same, to the last byte of what they say.
//
// What it reads grows with what differs. Layers that both images have at the
// bottom are not opened, unless what lies on them can only be judged by what is
// below; then their names are read, and the content of a file only if it is
// in question. Memory grows with the number of names.
//
//	for d, err := range compare.Images(ctx, a, b, compare.Options{}) { ... }
package compare

import (
	"context"
	"fmt"
	"io"
	"iter"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// Kind is what a Difference is of.
type Kind string

// The kinds of differences, in the order in which they come. Old and New are
// json.RawMessage for the first two, then oci.History, LayerItem, File; of an
// Entry they are Files too.
const (
	Manifest Kind = "manifest" // a member of the manifest: Key is its path
	Config   Kind = "config"   // a member of the config: Key is its path
	History  Kind = "history"  // Index is that of the entry, from 1
	Layer    Kind = "layer"    // Index is that of the layer, from 1
	Tree     Kind = "file"     // a path of the merged tree
	Entry    Kind = "entry"    // a path of one layer
)

// Change is what became of it.
type Change string

// The changes from the first image to the second.
const (
	Added   Change = "added"
	Deleted Change = "deleted"
	Changed Change = "changed"
)

// Aspect is a part of a file or a layer that differs.
type Aspect string

// The aspects of a file, and of a layer.
const (
	Content Aspect = "content"
	Type    Aspect = "type"
	Mode    Aspect = "mode"
	Owner   Aspect = "owner"
	Xattr   Aspect = "xattr"
	Link    Aspect = "link"   // what a symbolic link says, or which names are one file
	Device  Aspect = "device" // major and minor number
	Size    Aspect = "size"
	Time    Aspect = "time"

	Order      Aspect = "order"      // the same entries, in another order
	Encoding   Aspect = "encoding"   // the same entries, written in other bytes
	Compressor Aspect = "compressor" // the same tar, compressed to other bytes
)

// Difference is one thing that differs.
type Difference struct {
	Kind   Kind     `json:"type"`
	Change Change   `json:"change"`
	Key    string   `json:"key,omitempty"`
	Index  int      `json:"index,omitempty"`
	Path   string   `json:"path,omitempty"` // clean; of the root "."
	What   []Aspect `json:"what,omitempty"` // of a file or layer that changed
	Old    any      `json:"old,omitempty"`  // see Kind; absent if it was added
	New    any      `json:"new,omitempty"`  // see Kind; absent if it was deleted
}

// LayerItem is a layer as a Difference has it.
type LayerItem struct {
	Digest    digest.Digest `json:"digest,omitempty"` // absent for a layer in docker's archives
	DiffID    digest.Digest `json:"diffID"`
	Size      int64         `json:"size"`
	CreatedBy string        `json:"createdBy,omitempty"`
}

// File is a file as a Difference has it.
type File struct {
	Type     layer.Type        `json:"type"`
	Mode     uint32            `json:"mode"`
	UID      uint32            `json:"uid"`
	GID      uint32            `json:"gid"`
	Size     int64             `json:"size,omitempty"`
	ModTime  time.Time         `json:"modTime"`
	Linkname string            `json:"linkname,omitempty"` // of a hard link in a tree: the first other name
	Major    uint32            `json:"major,omitempty"`
	Minor    uint32            `json:"minor,omitempty"`
	Xattrs   map[string][]byte `json:"xattrs,omitempty"`
	Digest   digest.Digest     `json:"digest,omitempty"` // of the content, where it was read
	Layer    int               `json:"layer,omitempty"`  // that the file is from, from 1
}

// Source is a layer that can be read.
type Source struct {
	oci.Layer
	// Open reads the plain tar. Its end must prove the diff ID, if there is one.
	Open func() (io.ReadCloser, error)
}

// Image is one side of a comparison.
type Image struct {
	Descriptor oci.Descriptor // of the manifest
	// Manifest is its bytes; nil where there is none, as in docker's archives:
	// then how layers are compressed is not compared either.
	Manifest []byte
	Config   []byte
	Layers   []Source // bottom first

	config oci.Image
	close  func() error
}

// Close lets go of the files of an image that Open opened.
func (m *Image) Close() error {
	if m.close == nil {
		return nil
	}
	return m.close()
}

// Stored is an image of the store, which must stay open.
func Stored(s *store.Store, img *store.Image) *Image {
	m := &Image{Descriptor: img.Descriptor, Manifest: img.RawManifest, Config: img.RawConfig, config: img.Config}
	for _, l := range img.Layers {
		m.Layers = append(m.Layers, StoredLayer(s, l))
	}
	return m
}

// StoredLayer is a layer of the store, which must stay open.
func StoredLayer(s *store.Store, l oci.Layer) Source {
	return Source{Layer: l, Open: func() (io.ReadCloser, error) { return s.OpenLayer(l) }}
}

// Options say what is compared.
type Options struct {
	// Only these kinds. Default: all of them.
	Only []Kind
}

func (o Options) wants(k Kind) bool { return len(o.Only) == 0 || slices.Contains(o.Only, k) }

// Images yields the differences between two images, kind by kind, files in the
// order of layer.ComparePaths. If no file differs it says last of layers that
// stand for each other whether they have another Order or Encoding. An error is the
// last that it yields.
func Images(ctx context.Context, a, b *Image, o Options) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		out := &sink{yield: yield}
		compared := []struct {
			kind    Kind
			compare func(*sink) error
		}{
			{Manifest, func(s *sink) error { return manifests(s, a, b) }},
			{Config, func(s *sink) error { return configs(s, a, b) }},
			{History, func(s *sink) error { histories(s, a.config.History, b.config.History); return nil }},
			{Layer, func(s *sink) error { stacks(s, a, b); return nil }},
			{Tree, func(s *sink) error { return trees(ctx, s, a.Layers, b.Layers) }},
			{Layer, func(s *sink) error { return reasons(ctx, s, a, b, o) }},
		}
		for _, c := range compared {
			if !o.wants(c.kind) || out.stopped {
				continue
			}
			if err := c.compare(out); err != nil {
				out.fail(err)
				return
			}
		}
		if !out.found && !out.stopped && len(o.Only) == 0 {
			bytesDiffer(out, a, b)
		}
	}
}

// Trees yields the differences between the merged trees of two stacks of layers,
// bottom first.
func Trees(ctx context.Context, a, b []Source) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		out := &sink{yield: yield}
		if err := trees(ctx, out, a, b); err != nil {
			out.fail(err)
		}
	}
}

// sink gives differences on until the consumer has enough of them.
type sink struct {
	yield          func(Difference, error) bool
	found, stopped bool
	files          bool // a Tree difference was found
}

// emit gives on d, and tells whether more is wanted.
func (s *sink) emit(d Difference) bool {
	s.found = true
	s.files = s.files || d.Kind == Tree
	if !s.stopped && !s.yield(d, nil) {
		s.stopped = true
	}
	return !s.stopped
}

func (s *sink) fail(err error) {
	if !s.stopped {
		s.stopped = true
		s.yield(Difference{}, fmt.Errorf("compare: %w", err))
	}
}
