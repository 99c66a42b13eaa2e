package verify

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/archive"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// Path proves the images in an archive, plain or compressed, or in a directory:
// an OCI image layout, what "docker save" writes, or one that is both. Everything
// in it must belong to an image, and the archive be a tar to its last byte. With
// o.Platform only the images for that platform are looked at; by default, all.
func Path(ctx context.Context, name string, o ImageOptions) (Summary, error) {
	sum := Summary{Subject: name}
	in, err := archive.Open(ctx, name, archive.Options{Strict: true})
	if errors.Is(err, fs.ErrNotExist) {
		return sum, err // it names the path
	}
	if err == nil {
		defer in.Close()
		p := &pathProof{ctx: ctx, sum: &sum, o: o, files: in, seen: map[digest.Digest]bool{}, known: map[string]bool{}, configs: map[digest.Digest][][]oci.Layer{}}
		err = p.all()
	}
	if err != nil {
		err = sum.judge(ctx, o.Found, "archive", name, err)
	}
	return sum, err
}

// pathProof is the proof of one archive.
type pathProof struct {
	ctx   context.Context
	sum   *Summary
	o     ImageOptions
	files archive.Files
	seen  map[digest.Digest]bool // documents that were proven
	known map[string]bool        // files that belong to something
	// configs are those of the layout's images, with the layers they have there.
	configs map[digest.Digest][][]oci.Layer
}

func (p *pathProof) note(area, name, format string, args ...any) {
	p.sum.note(p.o.Found, Finding{Area: area, Name: name, Problem: fmt.Sprintf(format, args...)})
}

// document reads a small file; nil when there is none.
func (p *pathProof) document(name string) ([]byte, error) {
	raw, err := archive.Document(p.files, name)
	if raw != nil {
		p.known[name] = true
	}
	return raw, err
}

func (p *pathProof) all() error {
	layout, err := p.document("oci-layout")
	if err != nil {
		return err
	}
	index, err := p.document("index.json")
	if err != nil {
		return err
	}
	docker, err := p.document("manifest.json")
	if err != nil {
		return err
	}
	switch {
	case layout != nil && index != nil:
		if err := p.layout(layout, index); err != nil {
			return err
		}
	case docker == nil:
		p.note("archive", p.sum.Subject, "it has neither oci-layout and index.json nor manifest.json")
		return nil
	}
	if docker != nil {
		if err := p.docker(docker, index); err != nil {
			return err
		}
	}
	return p.strays()
}

// layout proves the images of an OCI layout.
func (p *pathProof) layout(layout, index []byte) error {
	if problem := store.LayoutProblem(layout); problem != "" {
		p.note("archive", "oci-layout", "%s", problem)
	}
	for _, problem := range store.IndexProblems(index) {
		p.note("archive", "index.json", "%s", problem)
	}
	idx, err := oci.DecodeIndex(index, "")
	if err != nil {
		p.note("archive", "index.json", "%v", err)
		return nil
	}
	if len(idx.Manifests) == 0 {
		p.note("archive", "index.json", "has no image")
	}
	return p.entries(idx, 0)
}

// entries proves what an index leads to.
func (p *pathProof) entries(idx oci.Index, depth int) error {
	if depth > 8 {
		return errors.New("index nested too deep")
	}
	for _, d := range idx.Manifests {
		if p.seen[d.Digest] || p.o.Platform != nil && d.Platform != nil && oci.MatchPlatform(*p.o.Platform, *d.Platform) == 0 {
			continue
		}
		p.seen[d.Digest] = true
		if err := p.entry(d, depth); err != nil {
			if err = p.sum.judge(p.ctx, p.o.Found, "image", d.Digest.String(), err); err != nil {
				return err
			}
		}
	}
	return nil
}

func (p *pathProof) entry(d oci.Descriptor, depth int) error {
	raw, err := p.blob(d)
	if depth > 0 && errors.Is(err, oci.ErrNotFound) {
		return nil // an index copied for one platform lacks the others
	}
	if err != nil {
		return err
	}
	if oci.IsIndex(d.MediaType) {
		idx, err := oci.DecodeIndex(raw, d.MediaType)
		if err != nil {
			return err
		}
		p.sum.Blobs++
		p.sum.Bytes += d.Size
		return p.entries(idx, depth+1)
	}
	img := &store.Image{Descriptor: d, RawManifest: raw}
	if img.Manifest, err = oci.DecodeManifest(raw, d.MediaType); err != nil {
		return err
	}
	if !oci.IsConfig(img.Manifest.Config.MediaType) {
		return fmt.Errorf("not an image: its config is %q", img.Manifest.Config.MediaType)
	}
	if img.RawConfig, err = p.blob(img.Manifest.Config); err != nil {
		return fmt.Errorf("config: %w", err)
	}
	if img.Config, err = oci.DecodeImage(img.RawConfig); err != nil {
		return err
	}
	if d.Platform != nil && oci.MatchPlatform(*d.Platform, img.Config.Platform) == 0 {
		p.note("image", d.Digest.String(), "the index says %s, the config %s", oci.PlatformString(*d.Platform), oci.PlatformString(img.Config.Platform))
	}
	if img.Layers, err = store.PairLayers(img.Manifest, img.Config); err != nil {
		return err
	}
	c := img.Manifest.Config.Digest
	p.configs[c] = append(p.configs[c], img.Layers)
	for _, l := range img.Layers {
		p.known[blobName(l.Descriptor)] = true
	}
	if p.sum.Digest == "" {
		p.sum.Digest = d.Digest
	}
	return p.sum.image(p.ctx, blobFiles{p.files}, img, p.o.Found)
}

// blob reads a document that is a blob, proven.
func (p *pathProof) blob(d oci.Descriptor) ([]byte, error) {
	if d.Size > oci.MaxDocument {
		return nil, fmt.Errorf("%s: a document of %d bytes, at most %d are read", d.Digest, d.Size, oci.MaxDocument)
	}
	r, err := blobFiles{p.files}.Open(d)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	p.known[blobName(d)] = true
	return io.ReadAll(r)
}

// strays finds files that belong to no image.
func (p *pathProof) strays() error {
	if p.o.Platform != nil {
		return nil // they may be of the others
	}
	names, err := p.files.Names()
	if err != nil {
		return err
	}
	slices.Sort(names)
	for _, name := range names {
		// Older archives for docker have a directory with two small files per layer.
		if !p.known[name] && name != "repositories" && !strings.HasSuffix(name, "/VERSION") && !strings.HasSuffix(name, "/json") {
			p.note("archive", name, "belongs to no image")
		}
	}
	return nil
}
