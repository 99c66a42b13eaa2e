package store

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// ExportOptions are the options of Export.
type ExportOptions struct {
	// Convert gives all layers the compression Layer; images whose layers change
	// get another digest. Default: everything as it is stored.
	Convert bool
	Layer   LayerOptions
	// Platform picks from an index. Default: this machine's.
	Platform *oci.Platform
	// Time of the archive's entries. Default: 1970.
	Time time.Time
}

// Export writes images as one archive that is both an OCI image layout and what
// "docker load" reads: entries sorted by name, the same bytes each time. Every
// blob is proven on its way out, and an archive that ends in an error has no end
// mark, so nothing takes it for whole. Images found by name carry it.
func (s *Store) Export(ctx context.Context, w io.Writer, refs []string, o ExportOptions) error {
	a := archive{blobs: map[digest.Digest]oci.Descriptor{}}
	for _, ref := range refs {
		img, err := s.Image(ref, o.Platform)
		if err != nil {
			return err
		}
		if o.Convert {
			if err := s.convertImage(ctx, img, o.Layer); err != nil {
				return fmt.Errorf("image %s: %w", ref, err)
			}
		}
		a.add(img)
	}
	files, err := a.documents()
	if err != nil {
		return err
	}
	return s.writeArchive(ctx, w, a.blobs, files, o.Time)
}

// convertImage exchanges the layers of img, and its manifest when they changed.
func (s *Store) convertImage(ctx context.Context, img *Image, o LayerOptions) error {
	changed := false
	for i, l := range img.Layers {
		c, err := s.Convert(ctx, l, o)
		if err != nil {
			return err
		}
		changed = changed || c.Digest != l.Digest
		img.Layers[i] = c
	}
	if !changed {
		return nil
	}
	config := img.Manifest.Config
	config.MediaType = oci.MediaTypeConfig // the layers have the specification's types now
	desc, err := s.writeManifest(config, img.Layers, img.Manifest.Annotations)
	if err != nil {
		return err
	}
	img.Descriptor = desc
	return s.readDocuments(img)
}

// archive collects what goes into one.
type archive struct {
	blobs  map[digest.Digest]oci.Descriptor
	index  []oci.Descriptor
	docker []dockerArchiveEntry
}

type dockerArchiveEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func blobFile(d digest.Digest) string { return "blobs/sha256/" + d.Encoded() }

func (a *archive) add(img *Image) {
	for _, d := range append([]oci.Descriptor{img.Descriptor, img.Manifest.Config}, img.Manifest.Layers...) {
		a.blobs[d.Digest] = d
	}
	entry := img.Descriptor
	p := img.Config.Platform
	entry.Platform = &oci.Platform{OS: p.OS, Architecture: p.Architecture, Variant: p.Variant}
	docker := dockerArchiveEntry{Config: blobFile(img.Manifest.Config.Digest)}
	for _, l := range img.Layers {
		docker.Layers = append(docker.Layers, blobFile(l.Digest))
	}
	if img.Name != "" {
		entry.Annotations = map[string]string{oci.AnnotationRefName: img.Name, oci.AnnotationImageName: img.Name}
		docker.RepoTags = []string{img.Name}
	}
	if slices.ContainsFunc(a.index, func(d oci.Descriptor) bool {
		return d.Digest == entry.Digest && entryName(d) == entryName(entry)
	}) {
		return // asked for twice
	}
	a.index = append(a.index, withSum(entry))
	for i, d := range a.docker {
		// docker wants one entry per image, with all its names.
		if d.Config == docker.Config && slices.Equal(d.Layers, docker.Layers) {
			a.docker[i].RepoTags = append(d.RepoTags, docker.RepoTags...)
			return
		}
	}
	a.docker = append(a.docker, docker)
}

// documents are the files of the archive beside its blobs.
func (a *archive) documents() (map[string][]byte, error) {
	index, err := oci.Marshal(oci.NewIndex(a.index))
	if err != nil {
		return nil, err
	}
	docker, err := oci.Marshal(a.docker)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"index.json": index, "manifest.json": docker, "oci-layout": []byte(layoutDocument)}, nil
}

// ArchiveProblem compares the documents of an archive that Export wrote: what
// manifest.json says of names must be what index.json does, whose entries have
// sums. It says nothing of an archive of another tool.
func ArchiveProblem(index, docker []byte) string {
	var idx oci.Index
	var list []dockerArchiveEntry
	if json.Unmarshal(index, &idx) != nil || json.Unmarshal(docker, &list) != nil {
		return ""
	}
	names := map[string]bool{}
	for _, d := range idx.Manifests {
		if d.Annotations[annotationSum] == "" {
			return ""
		}
		if n := entryName(d); n != "" {
			names[n] = true
		}
	}
	for _, e := range list {
		for _, tag := range e.RepoTags {
			if !names[tag] {
				return fmt.Sprintf("the name %q is not in index.json", tag)
			}
			delete(names, tag)
		}
	}
	if len(names) > 0 {
		return fmt.Sprintf("lacks the name %q of index.json", slices.Sorted(maps.Keys(names))[0])
	}
	if form, err := oci.Marshal(list); err != nil || !bytes.Equal(form, docker) {
		return "it is not in the form in which it was written"
	}
	return ""
}

func (s *Store) writeArchive(ctx context.Context, w io.Writer, blobs map[digest.Digest]oci.Descriptor, files map[string][]byte, at time.Time) error {
	tw := tar.NewWriter(w)
	if at.IsZero() {
		at = time.Unix(0, 0)
	}
	for _, dir := range []string{"blobs/", "blobs/sha256/"} {
		if err := tw.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: dir, Mode: 0o755, ModTime: at}); err != nil {
			return err
		}
	}
	for _, d := range slices.Sorted(maps.Keys(blobs)) {
		if err := s.writeBlob(ctx, tw, blobs[d], at); err != nil {
			return fmt.Errorf("write blob %s: %w", d, err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if err := tw.WriteHeader(fileHeader(name, int64(len(files[name])), at)); err != nil {
			return err
		}
		if _, err := tw.Write(files[name]); err != nil {
			return err
		}
	}
	return tw.Close()
}

func fileHeader(name string, size int64, at time.Time) *tar.Header {
	return &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: at}
}

func (s *Store) writeBlob(ctx context.Context, tw *tar.Writer, d oci.Descriptor, at time.Time) error {
	r, err := s.Open(d)
	if err != nil {
		return err
	}
	defer r.Close()
	if err := tw.WriteHeader(fileHeader(blobFile(d.Digest), d.Size, at)); err != nil {
		return err
	}
	_, err = copyTo(ctx, tw, r)
	return err
}

// OpenStack opens the tars of an image's layers, for layer.Flatten and
// layer.Cat: bottom first, each proving its diff ID at its end.
func (s *Store) OpenStack(img *Image) []func() (io.ReadCloser, error) {
	open := make([]func() (io.ReadCloser, error), len(img.Layers))
	for i, l := range img.Layers {
		open[i] = func() (io.ReadCloser, error) { return s.OpenLayer(l) }
	}
	return open
}
