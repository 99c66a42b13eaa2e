package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"docksmith/lib/oci"
)

// ociImages reads the images of an OCI image layout.
func (in *incoming) ociImages(ctx context.Context, layout, index []byte, o ImportOptions) ([]candidate, error) {
	if err := layoutVersion(layout); err != nil {
		return nil, err
	}
	idx, err := oci.DecodeIndex(index, "")
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	var found []candidate
	for _, group := range groupByName(idx.Manifests) {
		name, err := layoutName(group[0], o)
		if err != nil {
			return nil, err
		}
		for _, choice := range alternatives(group) {
			read := in.ociImage
			if o.AllPlatforms {
				read = in.ociIndex
			}
			c, err := read(ctx, choice, o)
			if err != nil {
				return nil, err
			}
			c.name = name
			found = append(found, c)
		}
	}
	return found, nil
}

func layoutVersion(layout []byte) error {
	var v struct {
		Version string `json:"imageLayoutVersion"`
	}
	if err := json.Unmarshal(layout, &v); err != nil {
		return fmt.Errorf("oci-layout: %w", err)
	}
	if v.Version != "1.0.0" {
		return fmt.Errorf("oci-layout: version %q: want 1.0.0", v.Version)
	}
	return nil
}

// groupByName puts the entries of one name together, in the order of their first.
func groupByName(list []oci.Descriptor) [][]oci.Descriptor {
	at := map[string]int{}
	var groups [][]oci.Descriptor
	for _, d := range list {
		i, ok := at[entryName(d)]
		if !ok {
			i = len(groups)
			at[entryName(d)] = i
			groups = append(groups, nil)
		}
		groups[i] = append(groups[i], d)
	}
	return groups
}

// alternatives reads a group of entries of one name: one image for several
// platforms when they say platforms, else several images.
func alternatives(group []oci.Descriptor) []oci.Index {
	platforms := map[string]bool{}
	for _, d := range group {
		if d.Platform != nil && !oci.IsIndex(d.MediaType) {
			platforms[oci.PlatformString(*d.Platform)] = true
		}
	}
	if len(group) > 1 && len(platforms) == len(group) {
		return []oci.Index{oci.NewIndex(group)}
	}
	var each []oci.Index
	for _, d := range group {
		each = append(each, oci.NewIndex([]oci.Descriptor{d}))
	}
	return each
}

// layoutName is the name that an entry gives its image. A bare tag, as some tools
// write it, names an image only together with a name from outside.
func layoutName(d oci.Descriptor, o ImportOptions) (string, error) {
	name := entryName(d)
	if name == "" || o.Name != nil {
		return "", nil
	}
	if d.Annotations[oci.AnnotationImageName] == "" && !strings.ContainsAny(name, ":/@") {
		return "", nil
	}
	r, err := oci.ParseRef(name)
	if err != nil {
		return "", fmt.Errorf("index.json: %w", err)
	}
	return nameOf(r), nil
}

// ociImage follows idx, through indexes, to the image for the wished platform,
// and proves all of it.
func (in *incoming) ociImage(ctx context.Context, idx oci.Index, o ImportOptions) (candidate, error) {
	want := oci.HostPlatform()
	if o.Platform != nil {
		want = *o.Platform
	}
	var c candidate
	for range maxNesting {
		d := idx.Manifests
		if len(d) == 1 && (d[0].Platform == nil || o.Platform == nil) {
			c.desc = d[0] // an only image is taken, as it is for the machine it will go to
		} else {
			picked, others, err := oci.SelectPlatform(idx, want)
			if err != nil {
				return c, err
			}
			c.desc, c.others = picked, others
		}
		f, err := in.blob(ctx, c.desc)
		if err != nil {
			return c, err
		}
		raw, err := f.bytes(c.desc.Digest.String())
		if err != nil {
			return c, err
		}
		if !oci.IsIndex(c.desc.MediaType) {
			c.manifest = f
			return c, in.readManifest(ctx, raw, &c, o)
		}
		if idx, err = oci.DecodeIndex(raw, c.desc.MediaType); err != nil {
			return c, fmt.Errorf("%s: %w", c.desc.Digest, err)
		}
		if len(idx.Manifests) == 0 {
			return c, fmt.Errorf("%s: %w: an empty index", c.desc.Digest, oci.ErrNotFound)
		}
	}
	return c, errors.New("index nested too deep")
}

// readManifest finds and proves what a manifest refers to.
func (in *incoming) readManifest(ctx context.Context, raw []byte, c *candidate, o ImportOptions) error {
	m, err := oci.DecodeManifest(raw, c.desc.MediaType)
	if err != nil {
		return fmt.Errorf("%s: %w", c.desc.Digest, err)
	}
	c.desc = oci.Descriptor{MediaType: c.desc.MediaType, Digest: c.desc.Digest, Size: c.desc.Size}
	if c.desc.MediaType == "" {
		c.desc.MediaType = oci.MediaTypeManifest
	}
	if !oci.IsConfig(m.Config.MediaType) {
		return fmt.Errorf("%s: not an image: its config is %q", c.desc.Digest, m.Config.MediaType)
	}
	if c.config, err = in.blob(ctx, m.Config); err != nil {
		return err
	}
	cfg, err := c.readConfig(o)
	if err != nil {
		return err
	}
	layers, err := PairLayers(m, cfg)
	if err != nil {
		return fmt.Errorf("%s: %w", c.desc.Digest, err)
	}
	for _, l := range layers {
		f, err := in.layerFile(ctx, l)
		if err != nil {
			return err
		}
		c.layers = append(c.layers, f)
	}
	return c.proveLayers(cfg)
}

func (c *candidate) readConfig(o ImportOptions) (oci.Image, error) {
	raw, err := c.config.bytes(c.config.digest.String())
	if err != nil {
		return oci.Image{}, err
	}
	cfg, err := oci.DecodeImage(raw)
	if err != nil {
		return cfg, fmt.Errorf("%s: %w", c.config.digest, err)
	}
	if o.Platform != nil && oci.MatchPlatform(*o.Platform, cfg.Platform) == 0 {
		return cfg, fmt.Errorf("platform %s: %w: the image is for %s", oci.PlatformString(*o.Platform), oci.ErrNotFound, oci.PlatformString(cfg.Platform))
	}
	return cfg, nil
}

// proveLayers compares the content of the layers with the config's diff IDs.
func (c *candidate) proveLayers(cfg oci.Image) error {
	for i, f := range c.layers {
		if f.notLayer != nil {
			return fmt.Errorf("layer %s: %w", f.digest, f.notLayer)
		}
		if f.diffID != cfg.RootFS.DiffIDs[i] {
			return fmt.Errorf("layer %s: %w: its content is %s, not the diff ID %s", f.digest, ErrCorrupt, f.diffID, cfg.RootFS.DiffIDs[i])
		}
	}
	return nil
}
