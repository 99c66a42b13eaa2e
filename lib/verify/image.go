package verify

import (
	"context"
	"errors"
	"fmt"
	"io"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// ImageOptions say how Image looks.
type ImageOptions struct {
	// Platform is looked at where ref names several images; nil means this machine's.
	Platform *oci.Platform
	// Found is told of each finding. Nil is silent.
	Found Found
}

// Image proves the image that ref names: digest and size of manifest, config
// and layers, their media types, the number of layers against the config's diff
// IDs and history, each diff ID against the layer's content, what the config says
// against the specification and against the machine its programs are for, and what
// Layer proves. A ref that names nothing is an error, not a finding.
func Image(ctx context.Context, s *store.Store, ref string, o ImageOptions) (Summary, error) {
	sum := Summary{Subject: ref}
	desc, err := s.Resolve(ref)
	if err != nil {
		return sum, err // it names the image
	}
	sum.Digest = desc.Digest
	img, err := s.Image(ref, o.Platform)
	if err != nil {
		err = sum.judge(ctx, o.Found, "image", ref, err)
		return sum, err
	}
	sum.Digest = img.Descriptor.Digest
	err = sum.image(ctx, s, img, o.Found)
	return sum, err
}

// blobs are where an image's layers are. A reader proves its blob at its end.
type blobs interface {
	Open(oci.Descriptor) (io.ReadCloser, error)
}

// image proves an image whose documents were read and proven.
func (sum *Summary) image(ctx context.Context, from blobs, img *store.Image, found Found) error {
	sum.Blobs += 2
	sum.Bytes += img.Descriptor.Size + img.Manifest.Config.Size
	for _, problem := range configProblems(img.Config) {
		sum.note(found, Finding{Area: "config", Name: img.Manifest.Config.Digest.String(), Problem: problem})
	}
	m := newMachine(img.Config)
	for i, l := range img.Layers {
		if err := sum.layer(ctx, from, l, m, found); err != nil {
			return fmt.Errorf("verify %s: layer %d: %w", sum.Subject, i+1, err)
		}
	}
	if problem := m.problem(); problem != "" {
		sum.note(found, Finding{Area: "config", Name: img.Manifest.Config.Digest.String(), Problem: problem})
	}
	return nil
}

// layer proves one layer of an image.
func (sum *Summary) layer(ctx context.Context, from blobs, l oci.Layer, m *machine, found Found) error {
	name := l.Digest.String()
	blob, err := from.Open(l.Descriptor)
	if err != nil {
		return sum.judge(ctx, found, "layer", name, err)
	}
	defer blob.Close()
	w := newWalk(name, found)
	w.machine = m
	err = w.read(ctx, blob)
	// The blob proves itself at its end, which a decompressor need not reach.
	if _, end := io.Copy(io.Discard, blob); errors.Is(end, store.ErrCorrupt) {
		err = end
	}
	sum.Blobs++
	sum.Entries += w.entries
	sum.Bytes += l.Size
	sum.Findings += w.findings
	if err != nil {
		return sum.judge(ctx, found, "layer", name, err)
	}
	if got := w.diffID(); got != l.DiffID {
		sum.note(found, Finding{Area: "layer", Name: name, Problem: fmt.Sprintf("its content is %s, the config says %s", got, l.DiffID)})
	}
	if !mediaTypeFits(l.MediaType, w.compression) {
		sum.note(found, Finding{Area: "layer", Name: name, Problem: fmt.Sprintf("its media type is %q, its compression %s", l.MediaType, w.compression)})
	}
	return nil
}

// mediaTypeFits compares a layer's media type with its compression. Docker's
// type of a gzip layer is what old archives say of plain ones too.
func mediaTypeFits(mediaType string, c layer.Compression) bool {
	switch mediaType {
	case store.LayerMediaType(c):
		return true
	case oci.MediaTypeLayer, oci.MediaTypeLayerGzip, oci.MediaTypeLayerZstd:
		return false
	}
	return c == layer.None || c == layer.Gzip
}
