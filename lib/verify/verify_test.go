package verify

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// tarOf writes headers as a tar; a name that ends in "/" is a directory, one
// with " -> " a link, all else a file with its own name as content.
func tarOf(t *testing.T, names ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range names {
		h := &tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644, Size: int64(len(name))}
		name, target, isLink := strings.Cut(name, " -> ")
		switch {
		case isLink:
			h.Name, h.Linkname, h.Typeflag, h.Size = name, target, tar.TypeSymlink, 0
		case strings.HasSuffix(name, "/"):
			h.Typeflag, h.Mode, h.Size = tar.TypeDir, 0o755, 0
		case strings.Contains(name, ".wh."):
			h.Size = 0
		}
		if name == "xattr" {
			h.PAXRecords = map[string]string{"SCHILY.xattr.trusted.overlay.opaque": "y"}
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(w, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func gzipped(t *testing.T, raw []byte) []byte {
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

func TestLayer(t *testing.T) {
	good := tarOf(t, "a/", "a/b", "a/l -> ../../x", "d/.wh.e", "d/f")
	cases := []struct {
		name  string
		layer []byte
		want  []string
	}{
		{"plain", good, nil},
		{"gzip", gzipped(t, good), nil},
		{"empty layer", tarOf(t), nil},
		{"implied parents", tarOf(t, "a/b/c", "a/b/d"), nil},
		{"directory after its content", tarOf(t, "a/b", "a/"), nil},
		{"whiteout and new", tarOf(t, ".wh.a", "a"), nil},
		{"twice", tarOf(t, "a", "b", "a"), []string{`"a" is there twice`}},
		{"below a link", tarOf(t, "a -> /etc", "a/passwd"), []string{`"a/passwd" lies below "a", which is no directory`}},
		{"link over a parent", tarOf(t, "a/b", "a -> c"), []string{`"a" is a symlink, and entries lie below it`}},
		{"file over a directory", tarOf(t, "a/", "a/b", "a"), []string{`"a" is there twice`}},
		{"upward", tarOf(t, "../a"), []string{"leads upward"}},
		{"overlay attribute", tarOf(t, "xattr"), []string{"trusted.overlay.opaque"}},
		{"nothing", nil, []string{"unexpected EOF"}},
		{"cut", good[:1024], []string{"unexpected EOF"}},
		{"cut gzip", gzipped(t, good)[:60], []string{"unexpected EOF"}},
		{"text", bytes.Repeat([]byte("text"), 300), []string{"malformed tar"}},
		{"bytes behind gzip", append(gzipped(t, good), "more"...), []string{""}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var got []string
			sum, err := Layer(context.Background(), bytes.NewReader(c.layer), "-", LayerOptions{Found: func(f Finding) { got = append(got, f.Problem) }})
			if err != nil {
				t.Fatal(err)
			}
			if len(got) != len(c.want) || sum.Findings != len(got) {
				t.Fatalf("findings %q (counted %d), want %q", got, sum.Findings, c.want)
			}
			for i := range got {
				if !strings.Contains(got[i], c.want[i]) {
					t.Errorf("finding %q, want %q", got[i], c.want[i])
				}
			}
		})
	}
}

func TestLayerThatCannotBeRead(t *testing.T) {
	broken := io.MultiReader(bytes.NewReader(tarOf(t, "a")[:700]), iotest.ErrReader(errors.New("no disk")))
	sum, err := Layer(context.Background(), broken, "-", LayerOptions{})
	if err == nil || !strings.Contains(err.Error(), "no disk") || sum.Findings != 0 {
		t.Errorf("got %v and %d findings, want an error and none", err, sum.Findings)
	}
}

// newImage makes a store with an image app:v1 of one layer.
func newImage(t *testing.T, layerTar []byte) (*store.Store, oci.Layer) {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	ctx := context.Background()
	w, err := s.NewLayer(ctx, store.LayerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Abort()
	if _, err := w.Write(layerTar); err != nil {
		t.Fatal(err)
	}
	l, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	tagImage(t, s, l)
	return s, l
}

func tagImage(t *testing.T, s *store.Store, l oci.Layer) {
	t.Helper()
	cfg := oci.Image{Platform: oci.HostPlatform()}
	cfg.RootFS.Type = "layers"
	cfg.RootFS.DiffIDs = oci.DiffIDs([]oci.Layer{l})
	desc, err := s.WriteImage(context.Background(), cfg, []oci.Layer{l}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := oci.ParseRef("app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(context.Background(), desc, ref); err != nil {
		t.Fatal(err)
	}
}

func problems(t *testing.T, s *store.Store) []string {
	t.Helper()
	var got []string
	_, err := Image(context.Background(), s, "app:v1", ImageOptions{Found: func(f Finding) { got = append(got, f.Area+": "+f.Problem) }})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestImageProven(t *testing.T) {
	s, l := newImage(t, tarOf(t, "a/", "a/b"))
	sum, err := Image(context.Background(), s, "app:v1", ImageOptions{})
	if err != nil || sum.Findings != 0 || sum.Blobs != 3 || sum.Entries != 2 || sum.Bytes <= l.Size {
		t.Errorf("got %+v, %v", sum, err)
	}
	if sum, err := Store(context.Background(), s, StoreOptions{}); err != nil || sum.Findings != 0 {
		t.Errorf("store: got %+v, %v", sum, err)
	}
}

func TestImageUnknown(t *testing.T) {
	s, _ := newImage(t, tarOf(t, "a"))
	sum, err := Image(context.Background(), s, "other", ImageOptions{})
	if !errors.Is(err, oci.ErrNotFound) || sum.Findings != 0 {
		t.Errorf("got %+v, %v; want not found", sum, err)
	}
}

func TestImageEveryBlobCounts(t *testing.T) {
	damage := map[string]func(path string) error{
		"flip": func(path string) error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			raw[len(raw)/2] ^= 1
			return replace(path, raw)
		},
		"cut": func(path string) error {
			raw, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			return replace(path, raw[:len(raw)-1])
		},
		"remove": os.Remove,
	}
	for how, do := range damage {
		for _, which := range []string{"manifest", "config", "layer"} {
			t.Run(how+" "+which, func(t *testing.T) {
				s, l := newImage(t, tarOf(t, "a/", "a/b"))
				img, err := s.Image("app:v1", nil)
				if err != nil {
					t.Fatal(err)
				}
				d := map[string]oci.Descriptor{"manifest": img.Descriptor, "config": img.Manifest.Config, "layer": l.Descriptor}[which]
				if err := do(s.BlobPath(d.Digest)); err != nil {
					t.Fatal(err)
				}
				if got := problems(t, s); len(got) != 1 || !strings.Contains(got[0], d.Digest.String()) {
					t.Errorf("findings %q, want one that names %s", got, d.Digest)
				}
				if sum, err := Store(context.Background(), s, StoreOptions{}); err != nil || sum.Findings == 0 {
					t.Errorf("store: got %+v, %v; want findings", sum, err)
				}
			})
		}
	}
}

func replace(path string, raw []byte) error {
	if err := os.Remove(path); err != nil {
		return err
	}
	return os.WriteFile(path, raw, 0o644)
}

func TestImageLayerIsNotWhatItClaims(t *testing.T) {
	s, l := newImage(t, tarOf(t, "a"))
	other := l
	other.DiffID = oci.NextChainID(l.DiffID, l.DiffID)
	other.MediaType = oci.MediaTypeLayerZstd
	tagImage(t, s, other)
	want := []string{
		"layer: its content is " + l.DiffID.String() + ", the config says " + other.DiffID.String(),
		`layer: its media type is "` + oci.MediaTypeLayerZstd + `", its compression none`,
	}
	if diff := cmp.Diff(want, problems(t, s)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
