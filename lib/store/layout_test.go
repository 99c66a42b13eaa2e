package store

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"docksmith/lib/oci"
)

// write puts the files of f into a directory.
func (f *foreign) write(dir string) {
	f.t.Helper()
	f.archive() // completes the index
	for name, b := range f.files {
		p := filepath.Join(dir, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(p), 0o755), os.WriteFile(p, b, 0o644)); err != nil {
			f.t.Fatal(err)
		}
	}
}

func TestLayoutImage(t *testing.T) {
	amd, arm := oci.Platform{OS: "linux", Architecture: "amd64"}, oci.Platform{OS: "linux", Architecture: "arm64"}
	f := newForeign(t)
	one := f.image("one", "1", amd)
	latest := f.image("host/app:latest", "2", amd)
	a, b := f.image("both", "3", amd), f.image("both", "4", arm)
	f.index = f.index[:2]
	both := f.json(oci.MediaTypeIndex, oci.NewIndex([]oci.Descriptor{with(a, amd), with(b, arm)}))
	both.Annotations = map[string]string{oci.AnnotationRefName: "both"}
	f.index = append(f.index, both)
	dir := t.TempDir()
	f.write(dir)
	for _, c := range []struct {
		name string
		o    LayoutOptions
		want oci.Descriptor
		err  string
	}{
		{"the latest", LayoutOptions{Platform: &amd}, latest, ""},
		{"a bare tag", LayoutOptions{Tag: "one"}, one, ""},
		{"the tag of a name", LayoutOptions{Tag: "latest"}, latest, ""},
		{"a whole name", LayoutOptions{Tag: "host/app"}, latest, ""},
		{"a digest", LayoutOptions{Digest: one.Digest}, one, ""},
		{"of an index", LayoutOptions{Tag: "both", Platform: &amd}, a, ""},
		{"of an index, another", LayoutOptions{Tag: "both", Platform: &arm}, b, ""},
		{"of an index by digest", LayoutOptions{Digest: both.Digest, Platform: &arm}, b, ""},
		{"a platform that is not there", LayoutOptions{Tag: "both", Platform: &oci.Platform{OS: "linux", Architecture: "s390x"}}, a, "the index has linux/amd64, linux/arm64"},
		{"another platform", LayoutOptions{Tag: "one", Platform: &arm}, one, "the image is for linux/amd64"},
		{"no such tag", LayoutOptions{Tag: "two"}, one, "the layout has both, host/app:latest, one"},
		{"no such digest", LayoutOptions{Digest: a.Digest}, one, "not found"},
	} {
		s := open(t, t.TempDir())
		for range 2 { // the second time from what the store has
			img, err := s.LayoutImage(t.Context(), dir, c.o)
			if c.err != "" {
				if !errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), c.err) {
					t.Errorf("%s: %v, want %s", c.name, err, c.err)
				}
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", c.name, err)
			} else if img.Descriptor.Digest != c.want.Digest {
				t.Errorf("%s: %s, want %s", c.name, img.Descriptor.Digest, c.want.Digest)
			}
		}
		if list, err := s.List(); err != nil || len(list) != 0 {
			t.Errorf("%s: the store lists %d images: %v", c.name, len(list), err)
		}
	}
}

func with(d oci.Descriptor, p oci.Platform) oci.Descriptor {
	d.Annotations, d.Platform = nil, &p
	return d
}

// What a layer is called is proven even when the store has its blob.
func TestLayoutImageProvesDiffIDs(t *testing.T) {
	p := oci.HostPlatform()
	good, bad := newForeign(t), newForeign(t)
	g := good.image("x", "1", p)
	other := bad.image("y", "2", p)
	bad.index = nil
	m, err := oci.DecodeManifest(good.files["blobs/sha256/"+g.Digest.Encoded()], g.MediaType)
	if err != nil {
		t.Fatal(err)
	}
	bad.files["blobs/sha256/"+m.Layers[0].Digest.Encoded()] = good.files["blobs/sha256/"+m.Layers[0].Digest.Encoded()]
	n, err := oci.DecodeManifest(bad.files["blobs/sha256/"+other.Digest.Encoded()], other.MediaType)
	if err != nil {
		t.Fatal(err)
	}
	n.Layers = m.Layers // under the config of the other
	d := bad.json(oci.MediaTypeManifest, n)
	bad.index = []oci.Descriptor{d}
	s := open(t, t.TempDir())
	dirs := []string{t.TempDir(), t.TempDir()}
	good.write(dirs[0])
	bad.write(dirs[1])
	if _, err := s.LayoutImage(t.Context(), dirs[0], LayoutOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.LayoutImage(t.Context(), dirs[1], LayoutOptions{}); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a layer under another's diff ID: %v", err)
	}
}
