package compare

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/archive"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// OpenOptions choose an image of an archive or a layout.
type OpenOptions struct {
	// Name is the image's name, tag or digest there. Default: the only image,
	// else the one tagged "latest".
	Name string
	// Platform picks from an index. Default: this machine's.
	Platform *oci.Platform
}

// Open opens an image in the file or directory name: an OCI image layout, or
// what docker save writes. Documents are proven by their digests now, layers by
// their diff IDs when they are read. The caller closes it.
func Open(ctx context.Context, name string, o OpenOptions) (*Image, error) {
	from, err := archive.Open(ctx, name, archive.Options{})
	if _, named := errors.AsType[*fs.PathError](err); named {
		return nil, err
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m, err := open(from, o)
	if err != nil {
		from.Close() // only read from
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	m.close = from.Close
	return m, nil
}

func open(from archive.Files, o OpenOptions) (*Image, error) {
	layout, err := archive.Document(from, "oci-layout")
	if err != nil {
		return nil, err
	}
	index, err := archive.Document(from, "index.json")
	if err != nil {
		return nil, err
	}
	if layout != nil && index != nil {
		return openLayout(from, index, o)
	}
	list, err := archive.Document(from, "manifest.json")
	if err != nil {
		return nil, err
	}
	if list == nil {
		return nil, errors.New("neither an OCI image layout nor the output of docker save: it has no index.json with oci-layout, and no manifest.json")
	}
	return openDocker(from, list, o)
}

// openLayout opens an image of an OCI layout.
func openLayout(from archive.Files, index []byte, o OpenOptions) (*Image, error) {
	idx, err := oci.DecodeIndex(index, "")
	if err != nil {
		return nil, fmt.Errorf("index.json: %w", err)
	}
	if idx.Manifests, err = choose(idx.Manifests, o.Name, layoutNames); err != nil {
		return nil, err
	}
	want := oci.HostPlatform()
	if o.Platform != nil {
		want = *o.Platform
	}
	for range 8 {
		var desc oci.Descriptor
		if len(idx.Manifests) == 1 && o.Platform == nil {
			desc = idx.Manifests[0]
		} else if desc, _, err = oci.SelectPlatform(idx, want); err != nil {
			return nil, err
		}
		raw, err := blob(from, desc)
		if err != nil {
			return nil, err
		}
		if !oci.IsIndex(desc.MediaType) {
			return layoutImage(from, desc, raw, o)
		}
		if idx, err = oci.DecodeIndex(raw, desc.MediaType); err != nil {
			return nil, err
		}
	}
	return nil, errors.New("index nested too deep")
}

// layoutNames are the names of an entry, the first for people.
func layoutNames(d oci.Descriptor) []string {
	var names []string
	for _, name := range []string{d.Annotations[oci.AnnotationImageName], d.Annotations[oci.AnnotationRefName]} {
		if name == "" {
			continue
		}
		names = append(names, name)
		if ref, err := oci.ParseRef(name); err == nil {
			names = append(names, ref.String(), ref.Tag)
		}
	}
	return append(names, d.Digest.String())
}

// choose picks the entries of one name, of which an empty one is that of the
// only image, or the tag "latest".
func choose[T any](list []T, name string, namesOf func(T) []string) ([]T, error) {
	wanted := []string{name}
	if ref, err := oci.ParseRef(name); err == nil {
		wanted = append(wanted, ref.String())
	}
	if name == "" {
		wanted = []string{oci.DefaultTag}
	}
	var found []T
	var all, titles []string // of the list, of found
	for _, entry := range list {
		names := namesOf(entry)
		if !slices.Contains(all, names[0]) {
			all = append(all, names[0])
		}
		if slices.ContainsFunc(wanted, func(w string) bool { return slices.Contains(names, w) }) {
			found = append(found, entry)
			titles = append(titles, names[0])
		}
	}
	titles = slices.Compact(titles)
	switch {
	case name == "" && len(all) == 1:
		return list, nil
	case len(titles) == 1:
		return found, nil
	case len(all) == 0:
		return nil, errors.New("there is no image in it")
	case len(titles) > 1 || name == "":
		return nil, fmt.Errorf("there are several images in it: %s", strings.Join(all, ", "))
	}
	return nil, fmt.Errorf("image %s: %w: there is %s", name, oci.ErrNotFound, strings.Join(all, ", "))
}

func layoutImage(from archive.Files, desc oci.Descriptor, raw []byte, o OpenOptions) (*Image, error) {
	manifest, err := oci.DecodeManifest(raw, desc.MediaType)
	if err != nil {
		return nil, err
	}
	m := &Image{Descriptor: oci.Descriptor{MediaType: desc.MediaType, Digest: desc.Digest, Size: desc.Size}, Manifest: raw}
	if m.Config, err = blob(from, manifest.Config); err != nil {
		return nil, err
	}
	if err := m.decode(o, len(manifest.Layers)); err != nil {
		return nil, err
	}
	for i, d := range manifest.Layers {
		m.Layers = append(m.Layers, fileLayer(from, blobName(d.Digest), oci.Layer{Descriptor: d, DiffID: m.config.RootFS.DiffIDs[i]}))
	}
	return m, nil
}

// decode reads the config, for so many layers.
func (m *Image) decode(o OpenOptions, layers int) error {
	var err error
	if m.config, err = oci.DecodeImage(m.Config); err != nil {
		return err
	}
	if n := len(m.config.RootFS.DiffIDs); n != layers {
		return fmt.Errorf("%d layers and %d diff IDs", layers, n)
	}
	if o.Platform != nil && oci.MatchPlatform(*o.Platform, m.config.Platform) == 0 {
		return fmt.Errorf("platform %s: %w: the image is for %s", oci.PlatformString(*o.Platform), oci.ErrNotFound, oci.PlatformString(m.config.Platform))
	}
	return nil
}

func blobName(d digest.Digest) string { return path.Join("blobs", d.Algorithm().String(), d.Encoded()) }

// blob reads a document of a layout, proven.
func blob(from archive.Files, desc oci.Descriptor) ([]byte, error) {
	raw, err := archive.Document(from, blobName(desc.Digest))
	switch {
	case err != nil:
		return nil, err
	case raw == nil:
		return nil, fmt.Errorf("blob %s: %w", desc.Digest, oci.ErrNotFound)
	case digest.FromBytes(raw) != desc.Digest:
		return nil, fmt.Errorf("blob %s: %w: it is %s", desc.Digest, store.ErrCorrupt, digest.FromBytes(raw))
	}
	return raw, nil
}

// dockerEntry is one image of docker's manifest.json.
type dockerEntry struct {
	Config   string
	RepoTags []string
	Layers   []string
}

func dockerNames(e dockerEntry) []string {
	names := slices.Clone(e.RepoTags)
	for _, name := range e.RepoTags {
		if ref, err := oci.ParseRef(name); err == nil {
			names = append(names, ref.String(), ref.Tag)
		}
	}
	return append(names, e.Config)
}

// openDocker opens an image of what docker save wrote.
func openDocker(from archive.Files, list []byte, o OpenOptions) (*Image, error) {
	var entries []dockerEntry
	if err := json.Unmarshal(list, &entries); err != nil {
		return nil, fmt.Errorf("manifest.json: %w", err)
	}
	entries, err := choose(entries, o.Name, dockerNames)
	if err != nil {
		return nil, err
	}
	e := entries[0]
	m := &Image{}
	if m.Config, err = archive.Document(from, e.Config); err != nil {
		return nil, err
	}
	if m.Config == nil {
		return nil, fmt.Errorf("config %q: %w", e.Config, oci.ErrNotFound)
	}
	// The file is named by the image's ID.
	if hex := strings.TrimSuffix(path.Base(e.Config), ".json"); len(hex) == 64 && digest.FromBytes(m.Config).Encoded() != hex {
		return nil, fmt.Errorf("config %s: %w", hex, store.ErrCorrupt)
	}
	if err := m.decode(o, len(e.Layers)); err != nil {
		return nil, err
	}
	for i, name := range e.Layers {
		l := oci.Layer{DiffID: m.config.RootFS.DiffIDs[i]}
		in, size, err := from.Open(name)
		if err != nil {
			return nil, fmt.Errorf("layer %d: %w", i+1, err)
		}
		in.Close() // only opened for its size
		l.Size = size
		m.Layers = append(m.Layers, fileLayer(from, name, l))
	}
	return m, nil
}

// fileLayer is a layer in a file, plain or compressed.
func fileLayer(from archive.Files, name string, l oci.Layer) Source {
	return Source{Layer: l, Open: func() (io.ReadCloser, error) {
		in, _, err := from.Open(name)
		if err != nil {
			return nil, err
		}
		tar, _, err := layer.Decompress(in, layer.DecompressOptions{})
		if err != nil {
			in.Close()
			return nil, err
		}
		return &proven{tar: tar, in: in, want: l.DiffID, sum: digest.SHA256.Digester()}, nil
	}}
}

// proven reads a plain tar whose end proves its diff ID.
type proven struct {
	tar, in io.ReadCloser
	want    digest.Digest
	sum     digest.Digester
}

func (p *proven) Read(b []byte) (int, error) {
	n, err := p.tar.Read(b)
	p.sum.Hash().Write(b[:n]) // never fails
	if errors.Is(err, io.EOF) && p.sum.Digest() != p.want {
		err = fmt.Errorf("diff ID %s: %w: it is %s", p.want, store.ErrCorrupt, p.sum.Digest())
	}
	return n, err
}

func (p *proven) Close() error { return errors.Join(p.tar.Close(), p.in.Close()) }
