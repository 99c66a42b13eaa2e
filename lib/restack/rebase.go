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

// Rebased is an image on another base.
type Rebased struct {
	Descriptor oci.Descriptor
	// Hidden are the paths that the two bases have differently and that the
	// layers on top replace or remove: what the new base brings there is not
	// seen. Clean paths in the order of layer.ComparePaths.
	Hidden []string
}

// Rebase puts the layers that img has on those of old onto those of base
// instead, as they are: their blobs do not change. old's layers must be img's first.
//
// A setting that img has as old has it becomes that of base; one that img
// changed, added or removed stays img's. The history is that of base, then
// what img has beyond old. The same images give the same digest.
func Rebase(ctx context.Context, s *store.Store, img, old, base *store.Image) (Rebased, error) {
	if err := LiesOn(img, old); err != nil {
		return Rebased{}, err
	}
	if have, want := base.Config.Platform, img.Config.Platform; oci.MatchPlatform(want, have) == 0 {
		return Rebased{}, fmt.Errorf("rebase: the new base is for %s, the image for %s", oci.PlatformString(have), oci.PlatformString(want))
	}
	top := img.Layers[len(old.Layers):]
	layers := append(slices.Clone(base.Layers), top...)
	cfg := img.Config
	cfg.Platform = base.Config.Platform
	cfg.Config = mergeConfig(old.Config.Config, img.Config.Config, base.Config.Config)
	cfg.History = append(base.Config.FillHistory(len(base.Layers)), historyAbove(img, old)...)
	desc, err := s.WriteImage(ctx, cfg, layers, img.Manifest.Annotations)
	if err != nil {
		return Rebased{}, err
	}
	if err := prove(ctx, s, desc, layers); err != nil {
		return Rebased{}, err
	}
	covered, err := hidden(ctx, s, old, base, top)
	return Rebased{desc, covered}, err
}

// LiesOn is an error unless the layers of old are the first of img.
func LiesOn(img, old *store.Image) error {
	if len(img.Layers) < len(old.Layers) {
		return fmt.Errorf("the image has %d layers, its base %d", len(img.Layers), len(old.Layers))
	}
	for i, l := range old.Layers {
		if img.Layers[i].DiffID != l.DiffID {
			return fmt.Errorf("the image does not lie on its base: its layer %d is %s, not %s", i+1, img.Layers[i].DiffID, l.DiffID)
		}
	}
	if len(old.Layers) == 0 {
		return errors.New("the base has no layers")
	}
	return nil
}

// historyAbove is what the history of img has beyond that of old: what follows
// the same entries or, if those were rewritten, those of as many layers.
func historyAbove(img, old *store.Image) []oci.History {
	list := img.Config.FillHistory(len(img.Layers))
	below := old.Config.FillHistory(len(old.Layers))
	if len(list) >= len(below) && slices.EqualFunc(list[:len(below)], below, sameInstruction) {
		return list[len(below):]
	}
	seen := 0
	for i, h := range list {
		if seen == len(old.Layers) {
			return list[i:]
		}
		if !h.EmptyLayer {
			seen++
		}
	}
	return nil
}

func sameInstruction(a, b oci.History) bool {
	return a.CreatedBy == b.CreatedBy && a.Comment == b.Comment && a.EmptyLayer == b.EmptyLayer
}

// hidden finds what the layers in top hide of what the new base changes.
func hidden(ctx context.Context, s *store.Store, old, base *store.Image, top []oci.Layer) ([]string, error) {
	touched := map[string]bool{}
	for _, l := range top {
		if err := touches(ctx, s, l, touched); err != nil {
			return nil, fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	var list []string
	for d, err := range compare.Trees(ctx, sources(s, old.Layers), sources(s, base.Layers)) {
		if err != nil {
			return nil, err
		}
		f, isFile := d.New.(compare.File)
		if d.Change == compare.Deleted || !isFile || f.Type == layer.TypeDir || slices.Equal(d.What, []compare.Aspect{compare.Time}) {
			continue
		}
		if touched[d.Path] {
			list = append(list, d.Path)
		}
	}
	return list, nil
}

// touches notes the paths that a layer replaces or removes.
func touches(ctx context.Context, s *store.Store, l oci.Layer, touched map[string]bool) error {
	in, err := s.OpenLayer(l)
	if err != nil {
		return err
	}
	defer in.Close() // only read from
	for e, err := range layer.Entries(in) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		if e.Type != layer.TypeDir && e.Type != layer.TypeOpaque {
			touched[e.Path] = true
		}
	}
	return nil
}
