package store

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// foreign builds an archive by hand, file by file, so that anything in it can be
// wrong.
type foreign struct {
	t     testing.TB
	files map[string][]byte
	index []oci.Descriptor
}

func newForeign(t testing.TB) *foreign {
	return &foreign{t: t, files: map[string][]byte{"oci-layout": []byte(layoutDocument)}}
}

func (f *foreign) blob(mediaType string, b []byte) oci.Descriptor {
	d := digest.FromBytes(b)
	f.files["blobs/sha256/"+d.Encoded()] = b
	return oci.Descriptor{MediaType: mediaType, Digest: d, Size: int64(len(b))}
}

func (f *foreign) json(mediaType string, v any) oci.Descriptor {
	b, err := json.Marshal(v)
	if err != nil {
		f.t.Fatal(err)
	}
	return f.blob(mediaType, b)
}

// image adds a whole image of one gzip layer.
func (f *foreign) image(name string, content string, p oci.Platform) oci.Descriptor {
	raw := makeTar(f.t, map[string]string{"etc/name": content})
	l := f.blob(oci.MediaTypeLayerGzip, gzipped(f.t, raw))
	return f.manifest(name, p, []digest.Digest{digest.FromBytes(raw)}, l)
}

func (f *foreign) manifest(name string, p oci.Platform, diffIDs []digest.Digest, layers ...oci.Descriptor) oci.Descriptor {
	c := f.json(oci.MediaTypeConfig, oci.Image{Platform: p, RootFS: oci.RootFS{Type: "layers", DiffIDs: diffIDs}})
	d := f.json(oci.MediaTypeManifest, oci.NewManifest(c, layers, nil))
	d.Annotations = map[string]string{oci.AnnotationRefName: name}
	f.index = append(f.index, d)
	return d
}

func gzipped(t testing.TB, raw []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write(raw); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// archive is the tar of the files, index.json last but not sorted otherwise.
func (f *foreign) archive() []byte {
	f.t.Helper()
	if _, ok := f.files["index.json"]; !ok {
		b, err := json.Marshal(oci.NewIndex(f.index))
		if err != nil {
			f.t.Fatal(err)
		}
		f.files["index.json"] = b
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(f.files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(f.files[name]))}
		if err := errors.Join(w.WriteHeader(h), second(w.Write(f.files[name]))); err != nil {
			f.t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		f.t.Fatal(err)
	}
	return b.Bytes()
}

func second(_ int, err error) error { return err }

func host() oci.Platform { return oci.HostPlatform() }

// tree lists what a store holds beside locks, to compare before and after.
func tree(t testing.TB, s *Store) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(s.root, func(p string, d fs.DirEntry, err error) error {
		rel, _ := filepath.Rel(s.root, p)
		if strings.HasPrefix(rel, "state/") && !strings.HasPrefix(rel, dirLayers+"/") {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().IsRegular() {
			rel += " " + info.ModTime().String()
		}
		list = append(list, rel)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestImportOCI(t *testing.T) {
	s := open(t, t.TempDir())
	f := newForeign(t)
	d := f.image("example.com:5000/team/app:v1", "one", host())
	for _, in := range [][]byte{f.archive(), gzipped(t, f.archive())} {
		got, err := s.Import(t.Context(), bytes.NewReader(in), ImportOptions{})
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != 1 || got[0].Digest != d.Digest || got[0].Name != "example.com:5000/team/app:v1" || got[0].Kind != KindOCI {
			t.Errorf("imported %+v", got)
		}
	}
	img, err := s.Image("example.com:5000/team/app:v1", nil)
	if err != nil || img.Descriptor.Digest != d.Digest || len(img.Layers) != 1 {
		t.Fatalf("%+v, %v", img, err)
	}
	fsckClean(t, s)
}

func TestImportDirectory(t *testing.T) {
	s := open(t, t.TempDir())
	f := newForeign(t)
	d := f.image("app:v1", "one", host())
	f.archive()
	dir := t.TempDir()
	for name, b := range f.files {
		path := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, b, 0o644)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.ImportDir(t.Context(), dir, ImportOptions{})
	if err != nil || len(got) != 1 || got[0].Digest != d.Digest {
		t.Errorf("%+v, %v", got, err)
	}
	// A link out of the directory is not followed.
	blob := filepath.Join(dir, blobFile(d.Digest))
	outside := filepath.Join(t.TempDir(), "x")
	if err := errors.Join(os.Rename(blob, outside), os.Symlink(outside, blob)); err != nil {
		t.Fatal(err)
	}
	if _, err := open(t, t.TempDir()).ImportDir(t.Context(), dir, ImportOptions{}); err == nil {
		t.Error("followed a link out of the directory")
	}
}

func TestImportPicksThePlatform(t *testing.T) {
	arm := oci.Platform{OS: "linux", Architecture: "arm64"}
	amd := oci.Platform{OS: "linux", Architecture: "amd64"}
	f := newForeign(t)
	a, b := f.image("", "amd", amd), f.image("", "arm", arm)
	a.Platform, b.Platform, a.Annotations, b.Annotations = &amd, &arm, nil, nil
	idx := f.json(oci.MediaTypeIndex, oci.NewIndex([]oci.Descriptor{a, b}))
	idx.Annotations = map[string]string{oci.AnnotationImageName: "multi:1"}
	f.index = []oci.Descriptor{idx}
	in := f.archive()
	for p, want := range map[*oci.Platform]digest.Digest{&amd: a.Digest, &arm: b.Digest} {
		got, err := open(t, t.TempDir()).Import(t.Context(), bytes.NewReader(in), ImportOptions{Platform: p})
		if err != nil || got[0].Digest != want || len(got[0].OtherPlatforms) != 1 || got[0].Name != "multi:1" {
			t.Errorf("%s: %+v, %v", p.Architecture, got, err)
		}
	}
	_, err := open(t, t.TempDir()).Import(t.Context(), bytes.NewReader(in), ImportOptions{Platform: &oci.Platform{OS: "linux", Architecture: "s390x"}})
	if !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("absent platform: %v", err)
	}
}

// dockerFiles are those of docker save, old style, with links for equal layers.
func dockerFiles(t testing.TB) (map[string][]byte, digest.Digest) {
	raw := makeTar(t, map[string]string{"f": "docker"})
	cfg, err := json.Marshal(oci.Image{Platform: host(), RootFS: oci.RootFS{Type: "layers", DiffIDs: []digest.Digest{digest.FromBytes(raw)}}})
	if err != nil {
		t.Fatal(err)
	}
	id := digest.FromBytes(cfg)
	dir := strings.Repeat("1", 64)
	return map[string][]byte{
		id.Encoded() + ".json": cfg,
		dir + "/VERSION":       []byte("1.0"),
		dir + "/json":          []byte("{}"),
		dir + "/layer.tar":     raw,
		"manifest.json":        []byte(`[{"Config":"` + id.Encoded() + `.json","RepoTags":["app:v1","app:v2"],"Layers":["` + dir + `/layer.tar"]}]`),
		"repositories":         []byte(`{"app":{"v1":"` + dir + `"}}`),
	}, id
}

func TestImportDocker(t *testing.T) {
	s := open(t, t.TempDir())
	f := newForeign(t)
	var id digest.Digest
	f.files, id = dockerFiles(t)
	f.files["index.json"] = nil // archive would add one
	in := f.archive()
	got, err := s.Import(t.Context(), bytes.NewReader(in), ImportOptions{Kind: KindDocker})
	if err != nil || len(got) != 2 || got[0].Name != "app:v1" || got[1].Name != "app:v2" || got[0].Digest != got[1].Digest {
		t.Fatalf("%+v, %v", got, err)
	}
	img, err := s.Image("app:v2", nil)
	if err != nil || img.Manifest.Config.Digest != id || img.Layers[0].MediaType != oci.MediaTypeLayer {
		t.Errorf("%+v, %v: the config keeps its bytes, the layer its form", img, err)
	}
	fsckClean(t, s)
}

func TestImportRootFS(t *testing.T) {
	raw := makeTar(t, map[string]string{"./": "", "./bin/": "", "./bin/sh": "x", "blobs/": ""})
	var want digest.Digest
	for range 2 { // the same image in any store
		s := open(t, t.TempDir())
		name := ref(t, "base")
		got, err := s.Import(t.Context(), bytes.NewReader(raw), ImportOptions{Name: &name, Created: time.Unix(0, 0), Layer: LayerOptions{Compression: layer.Gzip}})
		if err != nil || got[0].Kind != KindRootFS || got[0].Name != "base:latest" {
			t.Fatalf("%+v, %v", got, err)
		}
		img, err := s.Image("base", nil)
		if err != nil || img.Layers[0].DiffID != digest.FromBytes(raw) {
			t.Errorf("%+v, %v", img, err)
		}
		if want != "" && want != got[0].Digest {
			t.Errorf("%s, then %s", want, got[0].Digest)
		}
		want = got[0].Digest
	}
}

func TestImportMovesNamesAloudOrNotAtAll(t *testing.T) {
	s := open(t, t.TempDir())
	one, two := newForeign(t), newForeign(t)
	first := one.image("app:v1", "one", host())
	two.image("app:v1", "two", host())
	if _, err := s.Import(t.Context(), bytes.NewReader(one.archive()), ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Import(t.Context(), bytes.NewReader(two.archive()), ImportOptions{NoReplace: true}); err == nil {
		t.Error("moved a name that was to stay")
	}
	if d, err := s.Resolve("app:v1"); err != nil || d.Digest != first.Digest {
		t.Errorf("%v, %v", d, err)
	}
	got, err := s.Import(t.Context(), bytes.NewReader(two.archive()), ImportOptions{})
	if err != nil || got[0].Replaced != first.Digest {
		t.Errorf("%+v, %v: replaced is not told", got, err)
	}
}

func TestImportStopsWhenCancelled(t *testing.T) {
	s := open(t, t.TempDir())
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Import(ctx, bytes.NewReader(makeTar(t, map[string]string{"f": "x"})), ImportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
}

func TestExportIsTheSameTwiceAndImportsToTheSame(t *testing.T) {
	s := open(t, t.TempDir())
	l := addLayer(t, s, map[string]string{"f": "x"})
	desc := publish(t, s, "app:v1", l, addLayer(t, s, map[string]string{"g": "y"}))
	if err := s.Tag(t.Context(), desc, ref(t, "app:v2")); err != nil {
		t.Fatal(err)
	}
	var one, two bytes.Buffer
	for _, b := range []*bytes.Buffer{&one, &two} {
		if err := s.Export(t.Context(), b, []string{"app:v1", "app:v2"}, ExportOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if !bytes.Equal(one.Bytes(), two.Bytes()) {
		t.Error("two exports differ")
	}
	for _, kind := range []Kind{"", KindDocker} {
		other := open(t, t.TempDir())
		got, err := other.Import(t.Context(), bytes.NewReader(one.Bytes()), ImportOptions{Kind: kind})
		if err != nil || len(got) != 2 || got[0].Name != "app:v1" || got[1].Name != "app:v2" || got[0].Digest != desc.Digest {
			t.Errorf("as %q: %+v, %v; want %s", kind, got, err, desc.Digest)
		}
		fsckClean(t, other)
	}
}

func TestExportConverts(t *testing.T) {
	s := open(t, t.TempDir())
	desc := publish(t, s, "app:v1", addLayer(t, s, map[string]string{"f": strings.Repeat("x", 5000)}))
	var first []byte
	for range 2 {
		var b bytes.Buffer
		if err := s.Export(t.Context(), &b, []string{"app:v1"}, ExportOptions{Convert: true, Layer: LayerOptions{Compression: layer.Zstd}}); err != nil {
			t.Fatal(err)
		}
		if first != nil && !bytes.Equal(first, b.Bytes()) {
			t.Error("two exports differ")
		}
		first = b.Bytes()
	}
	other := open(t, t.TempDir())
	got, err := other.Import(t.Context(), bytes.NewReader(first), ImportOptions{})
	if err != nil || got[0].Digest == desc.Digest {
		t.Fatalf("%+v, %v", got, err)
	}
	img, err := other.Image("app:v1", nil)
	if err != nil || img.Layers[0].MediaType != oci.MediaTypeLayerZstd {
		t.Errorf("%+v, %v", img, err)
	}
}

func TestExportOfADamagedBlobHasNoEnd(t *testing.T) {
	s := open(t, t.TempDir())
	l := addLayer(t, s, map[string]string{"f": "x"})
	publish(t, s, "app:v1", l)
	raw, err := os.ReadFile(s.BlobPath(l.Digest))
	if err != nil {
		t.Fatal(err)
	}
	raw[20] ^= 1
	overwrite(t, s.BlobPath(l.Digest), string(raw))
	var b bytes.Buffer
	if err := s.Export(t.Context(), &b, []string{"app:v1"}, ExportOptions{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("%v", err)
	}
	if _, err := open(t, t.TempDir()).Import(t.Context(), &b, ImportOptions{}); err == nil {
		t.Error("the cut archive was taken")
	}
}
