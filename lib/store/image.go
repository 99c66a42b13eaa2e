package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// Image is an image of the store with its documents, read and proven. Its
// layers' blobs have been neither read nor looked for.
type Image struct {
	Name       string // NAME:TAG it was found under, "" when found by digest
	Descriptor oci.Descriptor
	Manifest   oci.Manifest
	Config     oci.Image
	Layers     []oci.Layer // bottom first
	Created    time.Time   // when it was made or came in, not what the config says

	RawManifest, RawConfig []byte // as stored: the bytes of the digests
}

// NotFoundError is the error for a reference that nothing in the store answers;
// errors.Is(err, oci.ErrNotFound) holds.
type NotFoundError struct {
	Ref     string
	Nearest []string // names like it, best first; maybe none
}

func (e *NotFoundError) Error() string { return fmt.Sprintf("image %s: not found", e.Ref) }

// Is makes it an oci.ErrNotFound.
func (e *NotFoundError) Is(target error) bool { return target == oci.ErrNotFound }

// digits is the hexadecimal of a digest or of its beginning.
func digits(ref string) (string, bool) {
	hex := strings.TrimPrefix(ref, "sha256:")
	return hex, len(hex) >= 4 && len(hex) <= 64 && strings.Trim(hex, "0123456789abcdef") == ""
}

// Image finds an image by NAME[:TAG][@DIGEST], by the digest of its manifest, or
// by the beginning of it (4 digits or more, "sha256:" or not, when only one image has it);
// a name wins over digits. For an index it picks the manifest that fits p best,
// nil meaning this machine; an image for another platform than an explicit p is
// an error. What it returns is leased until Close.
func (s *Store) Image(ref string, p *oci.Platform) (*Image, error) {
	entry, err := s.Resolve(ref)
	if err != nil {
		return nil, err
	}
	img, err := s.readImage(entry, p)
	if err != nil {
		return nil, fmt.Errorf("image %s: %w", ref, err)
	}
	img.Name = entryName(entry)
	img.Created = s.created(entry)
	s.useBlob(entry.Digest)
	return img, nil
}

// Resolve finds what ref names, an image or an index, without reading it. The
// descriptor carries the annotations of its entry in index.json, if it has one.
func (s *Store) Resolve(ref string) (oci.Descriptor, error) {
	idx, err := s.readIndex()
	if err != nil {
		return oci.Descriptor{}, err
	}
	r, refErr := oci.ParseRef(ref)
	if refErr == nil {
		if d, ok, err := s.byName(idx, r); ok || err != nil {
			return d, err
		}
	}
	if hex, ok := digits(ref); ok {
		d, ok, err := s.byDigits(idx, hex)
		if ok || err != nil {
			return d, err
		}
	} else if refErr != nil {
		return oci.Descriptor{}, refErr
	}
	return oci.Descriptor{}, &NotFoundError{Ref: ref, Nearest: nearest(ref, idx)}
}

func (s *Store) byName(idx *index, r oci.Ref) (oci.Descriptor, bool, error) {
	for _, d := range idx.Manifests {
		if hasName(d, nameOf(r)) && (r.Digest == "" || r.Digest == d.Digest) {
			return d, true, nil
		}
	}
	if r.Digest == "" {
		return oci.Descriptor{}, false, nil
	}
	// A digest is exact whatever the name now means.
	return s.byDigits(idx, r.Digest.Encoded())
}

func (s *Store) byDigits(idx *index, hex string) (oci.Descriptor, bool, error) {
	var found oci.Descriptor
	for _, d := range idx.Manifests {
		if !strings.HasPrefix(d.Digest.Encoded(), hex) {
			continue
		}
		if found.Digest != "" && found.Digest != d.Digest {
			return found, false, fmt.Errorf("image %s: several images begin with that", hex)
		}
		if found.Digest == "" {
			found = d
		}
	}
	if found.Digest != "" {
		found.Annotations = withoutName(found.Annotations)
		return found, true, nil
	}
	if len(hex) < 64 {
		return found, false, nil
	}
	return s.byBlob(digest.NewDigestFromEncoded(digest.SHA256, hex))
}

func withoutName(a map[string]string) map[string]string {
	out := map[string]string{}
	for k, v := range a {
		if k != oci.AnnotationRefName && k != oci.AnnotationImageName {
			out[k] = v
		}
	}
	return out
}

// byBlob finds a manifest or index that no name leads to.
func (s *Store) byBlob(d digest.Digest) (oci.Descriptor, bool, error) {
	size, ok := s.Has(d)
	if !ok || size > oci.MaxDocument {
		return oci.Descriptor{}, false, nil
	}
	desc := oci.Descriptor{Digest: d, Size: size}
	raw, err := s.ReadDocument(desc)
	if err != nil {
		return desc, false, err
	}
	if m, err := oci.DecodeManifest(raw, ""); err == nil {
		desc.MediaType = m.MediaType
		if desc.MediaType == "" {
			desc.MediaType = oci.MediaTypeManifest
		}
		return desc, true, nil
	}
	if i, err := oci.DecodeIndex(raw, ""); err == nil {
		desc.MediaType = i.MediaType
		if desc.MediaType == "" {
			desc.MediaType = oci.MediaTypeIndex
		}
		return desc, true, nil
	}
	return desc, false, nil
}

// readImage reads the documents of the image desc, through indexes.
func (s *Store) readImage(desc oci.Descriptor, p *oci.Platform) (*Image, error) {
	want := oci.HostPlatform()
	if p != nil {
		want = *p
	}
	for depth := 0; oci.IsIndex(desc.MediaType); depth++ {
		if depth > maxNesting {
			return nil, errors.New("index nested too deep")
		}
		raw, err := s.ReadDocument(desc)
		if err != nil {
			return nil, err
		}
		idx, err := oci.DecodeIndex(raw, desc.MediaType)
		if err != nil {
			return nil, err
		}
		desc, _, err = oci.SelectPlatform(idx, want)
		if err != nil {
			return nil, err
		}
	}
	img := &Image{Descriptor: oci.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}}
	if err := s.readDocuments(img); err != nil {
		return nil, err
	}
	if p != nil && oci.MatchPlatform(*p, img.Config.Platform) == 0 {
		return nil, fmt.Errorf("platform %s: %w: the image is for %s", oci.PlatformString(*p), oci.ErrNotFound, oci.PlatformString(img.Config.Platform))
	}
	return img, nil
}

// readDocuments fills in manifest, config and layers of img.Descriptor, and
// leases them.
func (s *Store) readDocuments(img *Image) error {
	var err error
	if img.RawManifest, err = s.ReadDocument(img.Descriptor); err != nil {
		return err
	}
	if img.Manifest, err = oci.DecodeManifest(img.RawManifest, img.Descriptor.MediaType); err != nil {
		return err
	}
	if !oci.IsConfig(img.Manifest.Config.MediaType) {
		return fmt.Errorf("not an image: its config is %q", img.Manifest.Config.MediaType)
	}
	if img.RawConfig, err = s.ReadDocument(img.Manifest.Config); err != nil {
		return err
	}
	if img.Config, err = oci.DecodeImage(img.RawConfig); err != nil {
		return err
	}
	if img.Layers, err = PairLayers(img.Manifest, img.Config); err != nil {
		return err
	}
	return s.Hold(img.Blobs()...)
}

// Blobs are the image's own: its manifest, its config, and its layers, bottom first.
func (img *Image) Blobs() []digest.Digest {
	list := []digest.Digest{img.Descriptor.Digest, img.Manifest.Config.Digest}
	for _, l := range img.Layers {
		list = append(list, l.Digest)
	}
	return list
}

// PairLayers joins the layers of a manifest with the diff IDs of its config. What
// does not fit together is an error.
func PairLayers(m oci.Manifest, c oci.Image) ([]oci.Layer, error) {
	if len(m.Layers) != len(c.RootFS.DiffIDs) {
		return nil, fmt.Errorf("%d layers and %d diff IDs", len(m.Layers), len(c.RootFS.DiffIDs))
	}
	layers := make([]oci.Layer, len(m.Layers))
	for i, d := range m.Layers {
		if !oci.IsLayer(d.MediaType) {
			return nil, fmt.Errorf("layer %d: media type %q is not a layer", i+1, d.MediaType)
		}
		layers[i] = oci.Layer{Descriptor: d, DiffID: c.RootFS.DiffIDs[i]}
	}
	if err := matchHistory(c, len(layers)); err != nil {
		return nil, err
	}
	return layers, nil
}

// matchHistory refuses a history that speaks of more layers than there are. One
// that speaks of fewer is common among images made by hand.
func matchHistory(c oci.Image, layers int) error {
	if n := len(c.LayerHistory()); n > layers {
		return fmt.Errorf("history of %d layers where there are %d", n, layers)
	}
	return nil
}

// WriteImage stores the config and manifest of an image over layers, bottom
// first, which are in the store. It fills in cfg's RootFS. It publishes nothing:
// see Tag. The same arguments give the same bytes, and nothing is written twice.
func (s *Store) WriteImage(ctx context.Context, cfg oci.Image, layers []oci.Layer, annotations map[string]string) (oci.Descriptor, error) {
	if err := ctx.Err(); err != nil {
		return oci.Descriptor{}, err
	}
	cfg.RootFS = oci.RootFS{Type: "layers", DiffIDs: oci.DiffIDs(layers)}
	if err := matchHistory(cfg, len(layers)); err != nil {
		return oci.Descriptor{}, fmt.Errorf("write image: %w", err)
	}
	raw, err := oci.Marshal(cfg)
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("write image: %w", err)
	}
	config, err := s.putDocument(raw, oci.MediaTypeConfig)
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("write config: %w", err)
	}
	desc, err := s.writeManifest(config, layers, annotations)
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("write manifest: %w", err)
	}
	return desc, nil
}

func (s *Store) writeManifest(config oci.Descriptor, layers []oci.Layer, annotations map[string]string) (oci.Descriptor, error) {
	descs := make([]oci.Descriptor, len(layers))
	held := make([]digest.Digest, len(layers))
	for i, l := range layers {
		descs[i] = oci.Descriptor{MediaType: l.MediaType, Digest: l.Digest, Size: l.Size}
		held[i] = l.Digest
	}
	if err := s.Hold(held...); err != nil {
		return oci.Descriptor{}, err
	}
	raw, err := oci.Marshal(oci.NewManifest(config, descs, annotations))
	if err != nil {
		return oci.Descriptor{}, err
	}
	return s.putDocument(raw, oci.MediaTypeManifest)
}
