// Package restack makes images of an image's own parts: its layers squashed to
// one, or put on another base. It writes no content of its own, and no names.
//
// The one invariant: an image that it returns was proven. Its merged tree is
// that of the image it was made of, or of the new base with the same layers on top.
//
//	desc, err := restack.Squash(ctx, s, img, restack.SquashOptions{})
//	err = s.Tag(ctx, desc, ref)
package restack

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"docksmith/lib/compare"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// ErrNotProven is the error when the trees differ that should be one.
var ErrNotProven = errors.New("the trees differ")

// SquashOptions say what Squash makes one layer.
type SquashOptions struct {
	// Keep is how many layers at the bottom stay as they are. Default: none.
	Keep int
	// Layer says how the new layer is stored.
	Layer store.LayerOptions
}

// Squash makes an image whose layers above the o.Keep lowest are one, with the
// same merged tree and the same settings. The history keeps its instructions; those whose
// layers were squashed have none of their own any more. The same image and
// options give the same digest. Of an image with one such layer or none nothing is made
// anew: its own descriptor is returned.
func Squash(ctx context.Context, s *store.Store, img *store.Image, o SquashOptions) (oci.Descriptor, error) {
	if o.Keep < 0 || o.Keep > len(img.Layers) {
		return oci.Descriptor{}, fmt.Errorf("squash: keep %d layers of %d", o.Keep, len(img.Layers))
	}
	if len(img.Layers)-o.Keep < 2 {
		return img.Descriptor, nil
	}
	l, err := squashLayer(ctx, s, img, o)
	if err != nil {
		return oci.Descriptor{}, err
	}
	layers := append(slices.Clone(img.Layers[:o.Keep]), l)
	cfg := img.Config
	cfg.History = squashHistory(cfg, o.Keep, len(img.Layers))
	desc, err := s.WriteImage(ctx, cfg, layers, img.Manifest.Annotations)
	if err != nil {
		return oci.Descriptor{}, err
	}
	return desc, prove(ctx, s, desc, img.Layers)
}

func squashLayer(ctx context.Context, s *store.Store, img *store.Image, o SquashOptions) (oci.Layer, error) {
	w, err := s.NewLayer(ctx, o.Layer)
	if err != nil {
		return oci.Layer{}, err
	}
	defer w.Abort()
	if err := layer.Squash(ctx, w, s.OpenStack(img), layer.SquashOptions{Keep: o.Keep}); err != nil {
		return oci.Layer{}, err
	}
	return w.Commit()
}

// squashHistory is the history of cfg, an image of so many layers, with one
// entry more for what the layers above keep became.
func squashHistory(cfg oci.Image, keep, layers int) []oci.History {
	out := cfg.FillHistory(layers)
	seen := 0
	for i := range out {
		if out[i].EmptyLayer {
			continue
		}
		seen++
		out[i].EmptyLayer = seen > keep
	}
	return append(out, oci.History{
		Created: cfg.Created, CreatedBy: "ds-store squash", Comment: fmt.Sprintf("%d layers in one", layers-keep),
	})
}

// prove reads the image desc back and compares its tree with that of layers.
func prove(ctx context.Context, s *store.Store, desc oci.Descriptor, layers []oci.Layer) error {
	img, err := s.Image(desc.Digest.String(), nil)
	if err != nil {
		return fmt.Errorf("prove: %w", err)
	}
	for d, err := range compare.Trees(ctx, sources(s, layers), sources(s, img.Layers)) {
		if err != nil {
			return fmt.Errorf("prove: %w", err)
		}
		return fmt.Errorf("prove: %w: %s %q %v", ErrNotProven, d.Change, "/"+d.Path, d.What)
	}
	return nil
}

func sources(s *store.Store, layers []oci.Layer) []compare.Source {
	list := make([]compare.Source, len(layers))
	for i, l := range layers {
		list[i] = compare.StoredLayer(s, l)
	}
	return list
}
