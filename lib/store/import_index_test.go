package store

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

func TestImportAllPlatforms(t *testing.T) {
	amd, arm := oci.Platform{OS: "linux", Architecture: "amd64"}, oci.Platform{OS: "linux", Architecture: "arm64"}
	sbom := oci.Platform{OS: "unknown", Architecture: "unknown"}
	build := func(change func(f *foreign, list []oci.Descriptor) []oci.Descriptor) *foreign {
		f := newForeign(t)
		a, b := f.image("app:1", "amd", amd), f.image("app:1", "arm", arm)
		note := f.json(oci.MediaTypeManifest, map[string]any{"schemaVersion": 2})
		f.index = nil
		list := change(f, []oci.Descriptor{with(a, amd), with(b, arm), with(note, sbom)})
		if f.index == nil {
			d := f.json(oci.MediaTypeIndex, oci.NewIndex(list))
			d.Annotations = map[string]string{oci.AnnotationRefName: "app:1"}
			f.index = []oci.Descriptor{d}
		}
		return f
	}
	same := func(_ *foreign, list []oci.Descriptor) []oci.Descriptor { return list }
	for _, c := range []struct {
		name   string
		change func(f *foreign, list []oci.Descriptor) []oci.Descriptor
		want   string // the platforms that are there
	}{
		{"an index", same, "amd64 arm64"},
		{"an index that lacks an image", func(f *foreign, list []oci.Descriptor) []oci.Descriptor {
			delete(f.files, blobFile(list[1].Digest))
			return list
		}, "amd64"},
		{"entries side by side", func(f *foreign, list []oci.Descriptor) []oci.Descriptor {
			for _, d := range list[:2] {
				d.Annotations = map[string]string{oci.AnnotationRefName: "app:1"}
				f.index = append(f.index, d)
			}
			return list
		}, "amd64 arm64"},
		{"an index in an index", func(f *foreign, list []oci.Descriptor) []oci.Descriptor {
			return []oci.Descriptor{f.json(oci.MediaTypeIndex, oci.NewIndex(list))}
		}, ""},
	} {
		s := open(t, t.TempDir())
		list, err := s.Import(t.Context(), bytes.NewReader(build(c.change).archive()), ImportOptions{AllPlatforms: true})
		if err != nil || len(list) != 1 || list[0].Name != "app:1" || !oci.IsIndex(list[0].Descriptor.MediaType) {
			t.Errorf("%s: %v, %v", c.name, list, err)
			continue
		}
		if _, err := s.GC(t.Context(), GCOptions{}); err != nil {
			t.Fatal(err)
		}
		for arch := range strings.FieldsSeq(c.want) {
			img, err := s.Image("app:1", &oci.Platform{OS: "linux", Architecture: arch})
			if err != nil || img.Config.Architecture != arch {
				t.Errorf("%s: the image for %s: %v", c.name, arch, err)
				continue
			}
			for _, l := range img.Layers {
				if _, ok := s.Has(l.Digest); !ok {
					t.Errorf("%s: %s lacks a layer", c.name, arch)
				}
			}
		}
		_, err = s.Image("app:1", &oci.Platform{OS: "linux", Architecture: "s390x"})
		if c.want != "" && (!errors.Is(err, oci.ErrNotFound) || !strings.Contains(err.Error(), "linux/s390x: not found: the index has linux/amd64, linux/arm64")) {
			t.Errorf("%s: a platform that is not there: %v", c.name, err)
		}
		if _, err := s.List(); err != nil {
			t.Errorf("%s: list: %v", c.name, err)
		}
		fsckClean(t, s)
	}
}

// Of an index whose images are all elsewhere nothing can be kept.
func TestImportAllPlatformsOfNothing(t *testing.T) {
	f := newForeign(t)
	gone := oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digest.FromString("gone"), Size: 4}
	f.index = []oci.Descriptor{f.json(oci.MediaTypeIndex, oci.NewIndex([]oci.Descriptor{gone}))}
	s := open(t, t.TempDir())
	_, err := s.Import(t.Context(), bytes.NewReader(f.archive()), ImportOptions{AllPlatforms: true})
	if !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("an index of nothing: %v", err)
	}
}
