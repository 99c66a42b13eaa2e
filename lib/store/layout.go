package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// LayoutOptions choose an image of an OCI layout.
type LayoutOptions struct {
	// Tag is the image's tag or whole name there. Default: the only image, else
	// the one tagged "latest".
	Tag string
	// Digest is that of its manifest or index.
	Digest digest.Digest
	// Platform picks from an index. Default: this machine's.
	Platform *oci.Platform
}

// LayoutImage takes one image of the OCI layout in the directory dir into the
// store, without giving it a name. Every digest and diff ID is checked, except
// of layers that the store has, which it checked before. The image is leased
// until Close.
func (s *Store) LayoutImage(ctx context.Context, dir string, o LayoutOptions) (_ *Image, err error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	in, err := s.newIncoming()
	if err != nil {
		root.Close()
		return nil, err
	}
	in.dir, in.trusting = root, true
	defer func() { err = errors.Join(err, in.close()) }()
	idx, err := in.chosen(ctx, o)
	if err != nil {
		return nil, err
	}
	c, err := in.ociImage(ctx, idx, ImportOptions{Platform: o.Platform})
	if err != nil {
		return nil, err
	}
	if err := in.installImage(&c); err != nil {
		return nil, err
	}
	return s.readImage(c.desc, o.Platform)
}

// chosen are the entries of the layout's index that o means: one, or one image
// for several platforms.
func (in *incoming) chosen(ctx context.Context, o LayoutOptions) (oci.Index, error) {
	layout, err := in.document(ctx, "oci-layout")
	if err != nil {
		return oci.Index{}, err
	}
	raw, err := in.document(ctx, "index.json")
	if err != nil {
		return oci.Index{}, err
	}
	if layout == nil || raw == nil {
		return oci.Index{}, errors.New("not an OCI image layout: it has no oci-layout and index.json")
	}
	if err := layoutVersion(layout); err != nil {
		return oci.Index{}, err
	}
	idx, err := oci.DecodeIndex(raw, "")
	if err != nil {
		return idx, fmt.Errorf("index.json: %w", err)
	}
	groups := groupByName(idx.Manifests)
	group := in.pick(groups, o)
	if len(group) == 0 {
		return idx, fmt.Errorf("%w: the layout has %s", oci.ErrNotFound, groupNames(groups))
	}
	// A tag that several entries carry names one image only if they tell
	// platforms.
	choices := alternatives(group)
	return choices[len(choices)-1], nil
}

// pick is the group of entries that o means; empty for none.
func (in *incoming) pick(groups [][]oci.Descriptor, o LayoutOptions) []oci.Descriptor {
	if o.Digest != "" {
		for _, g := range groups {
			for _, d := range g {
				if d.Digest == o.Digest {
					return []oci.Descriptor{d}
				}
			}
		}
		return nil
	}
	if o.Tag == "" && len(groups) == 1 {
		return groups[0]
	}
	tag := o.Tag
	if tag == "" {
		tag = oci.DefaultTag
	}
	asName, err := oci.ParseRef(tag)
	for _, g := range groups {
		if name := entryName(g[0]); name == tag || g[0].Annotations[oci.AnnotationRefName] == tag ||
			strings.HasSuffix(name, ":"+tag) || err == nil && hasName(g[0], nameOf(asName)) {
			return g
		}
	}
	return nil
}

func groupNames(groups [][]oci.Descriptor) string {
	var names []string
	for _, g := range groups {
		names = append(names, entryOrDigest(g[0]))
	}
	slices.Sort(names)
	if len(names) == 0 {
		return "no image"
	}
	return strings.Join(names, ", ")
}

// layerFile finds and proves the blob of a layer.
func (in *incoming) layerFile(ctx context.Context, l oci.Layer) (*spooled, error) {
	if in.trusting {
		if f, err := in.store.knownLayer(l); f != nil || err != nil {
			return f, err
		}
	}
	return in.blob(ctx, l.Descriptor)
}

// knownLayer is a layer that the store has and of which it knows the diff ID;
// nil for any other.
func (s *Store) knownLayer(l oci.Layer) (*spooled, error) {
	for _, codec := range []layer.Compression{layer.None, layer.Gzip, layer.Zstd} {
		known, ok := s.Layer(l.DiffID, LayerOptions{Compression: codec})
		if !ok || known.Digest != l.Digest {
			continue
		}
		if have, err := s.refresh(l.Descriptor); !have || err != nil {
			return nil, err
		}
		return &spooled{path: s.BlobPath(l.Digest), digest: l.Digest, size: l.Size, diffID: l.DiffID, codec: codec}, nil
	}
	return nil, nil
}
