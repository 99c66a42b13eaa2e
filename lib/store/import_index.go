package store

import (
	"context"
	"errors"
	"fmt"

	"docksmith/lib/oci"
)

// ociIndex reads an image for several platforms: all of them that are there. A
// lone manifest is the image itself.
func (in *incoming) ociIndex(ctx context.Context, idx oci.Index, o ImportOptions) (candidate, error) {
	if len(idx.Manifests) == 1 {
		return in.ociPart(ctx, idx.Manifests[0], o, 0)
	}
	// Some tools write the platforms of an image side by side under one name.
	c := candidate{}
	var list []oci.Descriptor
	for _, d := range idx.Manifests {
		part, err := in.ociPart(ctx, d, o, 0)
		if err != nil {
			return c, err
		}
		c.parts = append(c.parts, part)
		list = append(list, oci.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size, Platform: d.Platform})
	}
	raw, err := oci.Marshal(oci.NewIndex(list))
	c.index = raw
	return c, err
}

// ociPart reads an image or, through an index, several.
func (in *incoming) ociPart(ctx context.Context, d oci.Descriptor, o ImportOptions, depth int) (candidate, error) {
	c := candidate{desc: d}
	if depth > maxNesting {
		return c, errors.New("index nested too deep")
	}
	f, err := in.blob(ctx, d)
	if err != nil {
		return c, err
	}
	raw, err := f.bytes(d.Digest.String())
	if err != nil {
		return c, err
	}
	c.manifest = f
	if !oci.IsIndex(d.MediaType) {
		return c, in.readManifest(ctx, raw, &c, o)
	}
	idx, err := oci.DecodeIndex(raw, d.MediaType)
	if err != nil {
		return c, fmt.Errorf("%s: %w", d.Digest, err)
	}
	c.desc = oci.Descriptor{MediaType: d.MediaType, Digest: d.Digest, Size: d.Size}
	for _, m := range idx.Manifests {
		if m.Platform != nil && m.Platform.OS == "unknown" {
			continue // an attestation, not an image
		}
		missing, err := in.lacks(ctx, m)
		if err != nil {
			return c, err
		}
		if missing {
			continue // an index that was copied for some platforms only
		}
		part, err := in.ociPart(ctx, m, o, depth+1)
		if err != nil {
			return c, err
		}
		c.parts = append(c.parts, part)
	}
	if len(c.parts) == 0 {
		return c, fmt.Errorf("%s: %w: an index of nothing that is there", d.Digest, oci.ErrNotFound)
	}
	return c, nil
}

func (in *incoming) lacks(ctx context.Context, d oci.Descriptor) (bool, error) {
	if err := oci.ValidDescriptor(d); err != nil {
		return false, err
	}
	f, err := in.get(ctx, blobFile(d.Digest))
	return f == nil, err
}

// installParts puts the images of an index into the store, and the index if it
// was made here.
func (in *incoming) installParts(c *candidate) error {
	for i := range c.parts {
		if err := in.installImage(&c.parts[i]); err != nil {
			return err
		}
	}
	if c.index == nil {
		return in.install(c.manifest)
	}
	var err error
	c.desc, err = in.store.putDocument(c.index, oci.MediaTypeIndex)
	return err
}
