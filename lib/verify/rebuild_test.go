package verify

import (
	"bytes"
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// variant is an image of one layer with two files, changed in one thing.
type variant struct {
	entry    func(e *layer.Entry)
	swap     bool
	codec    layer.Compression
	config   func(c *oci.Image)
	contents string
}

func (v variant) make(t *testing.T) (*store.Store, *store.Image) {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	if v.contents == "" {
		v.contents = "content"
	}
	var b bytes.Buffer
	w := layer.NewWriter(&b)
	entries := []layer.Entry{{Path: "a", Mode: 0o644, Size: int64(len(v.contents)), ModTime: time.Unix(1, 0)}, {Path: "b", Type: layer.TypeDir, Mode: 0o755}}
	if v.entry != nil {
		v.entry(&entries[0])
	}
	if v.swap {
		slices.Reverse(entries)
	}
	for _, e := range entries {
		if err := w.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if e.Type == layer.TypeFile {
			if _, err := w.Write([]byte(v.contents)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := s.AddLayer(context.Background(), &b, store.LayerOptions{Compression: v.codec})
	if err != nil {
		t.Fatal(err)
	}
	cfg := oci.Image{Platform: oci.HostPlatform(), History: []oci.History{{CreatedBy: "COPY a"}}}
	if v.config != nil {
		v.config(&cfg)
	}
	desc, err := s.WriteImage(context.Background(), cfg, []oci.Layer{l}, nil)
	if err != nil {
		t.Fatal(err)
	}
	img, err := s.Image(desc.Digest.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, img
}

func TestEachClassOfDifferenceIsNamed(t *testing.T) {
	cases := map[string]struct {
		v    variant
		want string
	}{
		"content":    {variant{contents: "CONTENT"}, "file /a of layer 1 (\"COPY a\"): differs in content"},
		"size":       {variant{contents: "contents"}, "differs in content, size"},
		"time":       {variant{entry: func(e *layer.Entry) { e.ModTime = time.Unix(9, 0) }}, "): differs in time"},
		"mode":       {variant{entry: func(e *layer.Entry) { e.Mode = 0o600 }}, "): differs in mode"},
		"owner":      {variant{entry: func(e *layer.Entry) { e.UID = 7 }}, "): differs in owner"},
		"xattr":      {variant{entry: func(e *layer.Entry) { e.Xattrs = map[string]string{"user.a": "b"} }}, "): differs in xattr"},
		"order":      {variant{swap: true}, "layer 1 (\"COPY a\"): differs in order"},
		"compressor": {variant{codec: layer.Zstd}, "layer 1 (\"COPY a\"): differs in compressor"},
		"config":     {variant{config: func(c *oci.Image) { c.Config.User = "nobody" }}, "config "},
		"history":    {variant{config: func(c *oci.Image) { c.History[0].Comment = "x" }}, "history 1: "},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			s, img := variant{}.make(t)
			other, changed := c.v.make(t)
			var found []string
			sum := &Summary{}
			err := sum.differences(context.Background(), s, img, other, changed.Descriptor.Digest, &inputs{build: &buildlog.Build{}}, func(f Finding) { found = append(found, f.String()) })
			if err != nil {
				t.Fatal(err)
			}
			if !slices.ContainsFunc(found, func(f string) bool { return strings.Contains(f, c.want) }) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func TestAnImageWithoutALogCannotBeTold(t *testing.T) {
	s, img := variant{}.make(t)
	if sum, err := Rebuild(context.Background(), s, img.Descriptor.Digest.String(), RebuildOptions{}); err == nil || !strings.Contains(err.Error(), "no log") || sum.Findings != 0 {
		t.Errorf("%+v, %v", sum, err)
	}
}
