package store

import (
	stdtar "archive/tar"
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"regexp"
	"strings"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// Kind is what an import found.
type Kind string

// The kinds of things that can be imported.
const (
	KindOCI    Kind = "oci"    // OCI image layout, as a directory or in a tar
	KindDocker Kind = "docker" // what "docker save" writes
	KindRootFS Kind = "rootfs" // a root file system as a tar
)

// ImportOptions are the options of Import.
type ImportOptions struct {
	// Name for the image, which must be the only one, in the place of the names
	// that the archive has.
	Name *oci.Ref
	// Kind forces what the input is taken for. Default: told by its content.
	Kind Kind
	// Platform picks from an index, and is what a root file system is labelled
	// with. Default: this machine's.
	Platform *oci.Platform
	// AllPlatforms keeps an index as it is, with all its images that are there.
	AllPlatforms bool
	// Layer says how a root file system is stored. Layers of images stay as they are.
	Layer LayerOptions
	// Created is the time in the config of a root file system's image.
	Created time.Time
	// NoReplace refuses a name that another image has.
	NoReplace bool
}

// Imported is an image that was imported.
type Imported struct {
	Name           string         `json:"name,omitempty"`
	Descriptor     oci.Descriptor `json:"-"`
	Digest         digest.Digest  `json:"digest"`
	Kind           Kind           `json:"kind"`
	Replaced       digest.Digest  `json:"replaced,omitempty"`       // the image that had the name
	OtherPlatforms []string       `json:"otherPlatforms,omitempty"` // that the index has besides
}

// candidate is an image found in the input whose files are all there and proven,
// but not yet in the store.
type candidate struct {
	name     string
	manifest *spooled // nil: made of the rest
	config   *spooled
	layers   []*spooled
	desc     oci.Descriptor
	others   []string
	parts    []candidate // of an index, whose config and layers are theirs
	index    []byte      // of an index that was made here
}

// Import reads images from r: an OCI layout or the output of "docker save" in a
// tar, or the tar of a root file system, plain or compressed. All digests and
// diff IDs are checked before anything is visible, and the names of all images
// appear at once or not at all. Manifests of an OCI layout keep their bytes;
// for docker's format a manifest is made, over config and layers as they are.
func (s *Store) Import(ctx context.Context, r io.Reader, o ImportOptions) ([]Imported, error) {
	tar, _, err := layer.Decompress(r, layer.DecompressOptions{})
	if err != nil {
		return nil, err
	}
	defer tar.Close()
	head := bufio.NewReaderSize(tar, sniffSize)
	if _, err := head.Peek(1); errors.Is(err, io.EOF) {
		return nil, errors.New("the input is empty")
	} else if err != nil {
		return nil, err
	}
	if o.Kind == "" {
		o.Kind = sniff(head)
	}
	if o.Kind == KindRootFS {
		return s.importRootFS(ctx, head, o)
	}
	in, err := s.newIncoming()
	if err != nil {
		return nil, err
	}
	defer in.close()
	if err := in.readArchive(ctx, head); err != nil {
		return nil, err
	}
	return s.importImages(ctx, in, o)
}

// ImportDir imports the OCI layout, or the unpacked output of "docker save", in
// the directory dir, like Import.
func (s *Store) ImportDir(ctx context.Context, dir string, o ImportOptions) ([]Imported, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	in, err := s.newIncoming()
	if err != nil {
		root.Close()
		return nil, err
	}
	in.dir = root
	defer in.close()
	return s.importImages(ctx, in, o)
}

// sniffSize is how much of an archive is looked at to tell what it is.
const sniffSize = 1 << 20

var imageFile = sync.OnceValue(func() *regexp.Regexp {
	return regexp.MustCompile(`^(?:blobs(?:/[a-z0-9]+(?:/[a-f0-9]{32,128})?)?|oci-layout|index\.json|manifest\.json|repositories|[a-f0-9]{64}(?:\.json|\.tar|/json|/VERSION|/layer\.tar)?)$`)
})

// sniff tells an archive of images from a root file system by its names, as
// far as it can see: the first that no image archive has decides.
func sniff(r *bufio.Reader) Kind {
	head, _ := r.Peek(sniffSize) // what there is
	tar := stdtar.NewReader(bytes.NewReader(head))
	kind := KindRootFS
	for {
		h, err := tar.Next()
		if err != nil {
			return kind
		}
		name := strings.TrimPrefix(path.Clean("/"+h.Name), "/")
		if name == "" {
			continue
		}
		if !imageFile().MatchString(name) {
			return KindRootFS
		}
		kind = KindOCI // or docker's, which is known at the end
	}
}

// importImages finds the images of in, and publishes them.
func (s *Store) importImages(ctx context.Context, in *incoming, o ImportOptions) ([]Imported, error) {
	found, kind, err := in.images(ctx, o)
	if err != nil {
		return nil, err
	}
	if len(found) == 0 {
		return nil, errors.New("there is no image in it")
	}
	if o.Name != nil {
		if len(found) > 1 {
			return nil, fmt.Errorf("a name for one image, and there are %d", len(found))
		}
		found[0].name = nameOf(*o.Name)
	}
	if err := oneOfEachName(found); err != nil {
		return nil, err
	}
	for i := range found {
		if err := in.installImage(&found[i]); err != nil {
			return nil, err
		}
	}
	return s.publish(ctx, found, kind, o)
}

// images reads what in holds, by the documents it has.
func (in *incoming) images(ctx context.Context, o ImportOptions) ([]candidate, Kind, error) {
	if o.Kind != KindDocker {
		raw, err := in.document(ctx, "index.json")
		if err != nil {
			return nil, "", err
		}
		layout, err := in.document(ctx, "oci-layout")
		if err != nil {
			return nil, "", err
		}
		if raw != nil && layout != nil {
			found, err := in.ociImages(ctx, layout, raw, o)
			return found, KindOCI, err
		}
	}
	raw, err := in.document(ctx, "manifest.json")
	if err != nil {
		return nil, "", err
	}
	if raw == nil {
		return nil, "", errors.New("neither an OCI image layout nor the output of docker save: it has no index.json with oci-layout, and no manifest.json")
	}
	found, err := in.dockerImages(ctx, raw, o)
	return found, KindDocker, err
}

// installImage puts the files of an image into the store.
func (in *incoming) installImage(c *candidate) error {
	if len(c.parts) > 0 {
		return in.installParts(c)
	}
	for _, f := range append([]*spooled{c.config}, c.layers...) {
		if err := in.install(f); err != nil {
			return err
		}
	}
	if c.manifest != nil {
		return in.install(c.manifest)
	}
	layers := make([]oci.Layer, len(c.layers))
	for i, f := range c.layers {
		layers[i] = f.layer()
	}
	config := oci.Descriptor{MediaType: oci.MediaTypeConfig, Digest: c.config.digest, Size: c.config.size}
	var err error
	c.desc, err = in.store.writeManifest(config, layers, nil)
	return err
}

// publish names the images, all at once.
func (s *Store) publish(ctx context.Context, found []candidate, kind Kind, o ImportOptions) ([]Imported, error) {
	idx, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	named := map[string]oci.Descriptor{}
	for _, d := range idx.Manifests {
		named[entryName(d)] = d
	}
	var list []tagging
	var out []Imported
	for _, c := range found {
		i := Imported{Name: c.name, Descriptor: c.desc, Digest: c.desc.Digest, Kind: kind, OtherPlatforms: c.others}
		if old, ok := named[c.name]; ok && c.name != "" && old.Digest != c.desc.Digest {
			if o.NoReplace {
				return nil, fmt.Errorf("%s is %s already", c.name, old.Digest)
			}
			i.Replaced = old.Digest
		}
		list = append(list, tagging{desc: c.desc, name: c.name, at: s.madeAt(c.desc)})
		out = append(out, i)
	}
	if err := s.tagAt(ctx, time.Now(), list...); err != nil {
		return nil, err
	}
	return out, nil
}

// madeAt is the creation time that an image itself tells, zero when it tells
// none or a time that only stands for none.
func (s *Store) madeAt(desc oci.Descriptor) time.Time {
	img, err := s.readImage(desc, nil)
	if err != nil || img.Config.Created == nil || img.Config.Created.Unix() <= 0 {
		return time.Time{}
	}
	return *img.Config.Created
}

// importRootFS makes an image of one layer, whose bytes are those of the tar.
func (s *Store) importRootFS(ctx context.Context, r io.Reader, o ImportOptions) ([]Imported, error) {
	w, err := s.NewLayer(ctx, o.Layer)
	if err != nil {
		return nil, err
	}
	defer w.Abort()
	entries := 0
	for _, err := range layer.Entries(io.TeeReader(r, w)) {
		if err != nil {
			return nil, err
		}
		entries++
	}
	if entries == 0 {
		return nil, errors.New("the tar has no entries")
	}
	l, err := w.Commit()
	if err != nil {
		return nil, err
	}
	p := oci.HostPlatform()
	if o.Platform != nil {
		p = *o.Platform
	}
	created := o.Created.UTC()
	cfg := oci.Image{Created: &created, Platform: p, History: []oci.History{{Created: &created, CreatedBy: "ds-store import"}}}
	desc, err := s.WriteImage(ctx, cfg, []oci.Layer{l}, nil)
	if err != nil {
		return nil, err
	}
	c := candidate{desc: desc}
	if o.Name != nil {
		c.name = nameOf(*o.Name)
	}
	return s.publish(ctx, []candidate{c}, KindRootFS, o)
}
