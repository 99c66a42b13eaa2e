package store

import (
	"archive/tar"
	"bytes"
	"errors"
	"io"
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

func open(t testing.TB, root string) *Store {
	t.Helper()
	s, err := Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func ref(t testing.TB, name string) oci.Ref {
	t.Helper()
	r, err := oci.ParseRef(name)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// makeTar is a tar of small files, by name.
func makeTar(t testing.TB, files map[string]string) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, name := range slices.Sorted(maps.Keys(files)) {
		h := &tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), ModTime: time.Unix(0, 0)}
		if strings.HasSuffix(name, "/") {
			h.Typeflag, h.Mode = tar.TypeDir, 0o755
		}
		if err := w.WriteHeader(h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func addLayer(t testing.TB, s *Store, files map[string]string) oci.Layer {
	t.Helper()
	l, err := s.AddLayer(t.Context(), bytes.NewReader(makeTar(t, files)), LayerOptions{Compression: layer.Gzip})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func writeImage(t testing.TB, s *Store, layers ...oci.Layer) oci.Descriptor {
	t.Helper()
	epoch := time.Unix(0, 0).UTC()
	img := oci.Image{Created: &epoch, Platform: oci.HostPlatform(), Config: oci.ImageConfig{Cmd: []string{"/f"}}}
	desc, err := s.WriteImage(t.Context(), img, layers, nil)
	if err != nil {
		t.Fatal(err)
	}
	return desc
}

func publish(t testing.TB, s *Store, name string, layers ...oci.Layer) oci.Descriptor {
	t.Helper()
	desc := writeImage(t, s, layers...)
	if err := s.Tag(t.Context(), desc, ref(t, name)); err != nil {
		t.Fatal(err)
	}
	return desc
}

func fsckClean(t testing.TB, s *Store) {
	t.Helper()
	found, err := s.Fsck(t.Context(), FsckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range found {
		t.Error(f)
	}
}

func TestOpenIsPrivateUnderAnyUmask(t *testing.T) {
	root := filepath.Join(t.TempDir(), "deep", "store")
	open(t, root)
	st, err := os.Stat(root)
	if err != nil || st.Mode().Perm() != 0o700 {
		t.Errorf("mode %v, %v: want 0700", st.Mode(), err)
	}
}

func TestOpenTakesACopyOfTheLayout(t *testing.T) {
	root := t.TempDir()
	d, err := open(t, root).Put(strings.NewReader("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	copied := t.TempDir()
	if err := os.CopyFS(filepath.Join(copied, "oci"), os.DirFS(filepath.Join(root, "oci"))); err != nil {
		t.Fatal(err)
	}
	s := open(t, copied)
	if _, err := s.Put(strings.NewReader("more"), nil); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(s.BlobPath(d.Digest)); err != nil {
		t.Error(err)
	}
}

func TestPut(t *testing.T) {
	s := open(t, t.TempDir())
	good := digest.FromString("hello")
	tests := []struct {
		name string
		want *oci.Descriptor
		in   string
		err  error
	}{
		{"anything", nil, "hello", nil},
		{"as announced", &oci.Descriptor{Digest: digest.FromString("other"), Size: 5}, "other", nil},
		{"other bytes", &oci.Descriptor{Digest: digest.FromString("right"), Size: 5}, "wrong", ErrCorrupt},
		{"too short", &oci.Descriptor{Digest: digest.FromString("longer"), Size: 6}, "long", ErrCorrupt},
		{"too long", &oci.Descriptor{Digest: digest.FromString("long"), Size: 4}, "longer", ErrCorrupt},
		{"there already, unread", &oci.Descriptor{Digest: good, Size: 5}, "unread", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			d, err := s.Put(strings.NewReader(tt.in), tt.want)
			if !errors.Is(err, tt.err) {
				t.Fatalf("error %v, want %v", err, tt.err)
			}
			if tt.err != nil {
				if _, ok := s.Has(tt.want.Digest); ok {
					t.Error("stored all the same")
				}
				return
			}
			st, err := os.Stat(s.BlobPath(d.Digest))
			if err != nil || st.Mode().Perm() != 0o444 {
				t.Errorf("blob has mode %v, %v", st.Mode(), err)
			}
		})
	}
	left, _ := os.ReadDir(s.path(dirTemp))
	if len(left) > 0 {
		t.Errorf("left in tmp: %v", left)
	}
}

func TestPutRefusesDigestsThatArePaths(t *testing.T) {
	s := open(t, t.TempDir())
	for _, d := range []digest.Digest{"sha256:../../../x", "sha256:" + digest.Digest(strings.Repeat("A", 64)), "sha256:abc", "sha512:" + digest.Digest(strings.Repeat("a", 128)), "md5:x", "", "sha256:"} {
		if _, err := s.Put(strings.NewReader(""), &oci.Descriptor{Digest: d}); err == nil {
			t.Errorf("put %q: no error", d)
		}
		if _, err := s.Open(oci.Descriptor{Digest: d}); err == nil {
			t.Errorf("open %q: no error", d)
		}
		if _, ok := s.Has(d); ok {
			t.Errorf("has %q", d)
		}
	}
}

func TestOpenProvesContent(t *testing.T) {
	s := open(t, t.TempDir())
	d, err := s.Put(strings.NewReader("hello"), nil)
	if err != nil {
		t.Fatal(err)
	}
	read := func() error {
		r, err := s.Open(d)
		if err != nil {
			return err
		}
		defer r.Close()
		_, err = io.Copy(io.Discard, r)
		return err
	}
	if err := read(); err != nil {
		t.Fatal(err)
	}
	overwrite(t, s.BlobPath(d.Digest), "jello")
	if err := read(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("changed byte: %v", err)
	}
	overwrite(t, s.BlobPath(d.Digest), "hell")
	if err := read(); !errors.Is(err, ErrCorrupt) {
		t.Errorf("cut: %v", err)
	}
}

func overwrite(t testing.TB, path, content string) {
	t.Helper()
	if err := errors.Join(os.Chmod(path, 0o644), os.WriteFile(path, []byte(content), 0o644)); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyIsSticky(t *testing.T) {
	v := Verify(io.NopCloser(strings.NewReader("abcd")), oci.Descriptor{Digest: digest.FromString("abcx"), Size: 4})
	_, first := io.ReadAll(v)
	_, second := v.Read(make([]byte, 1))
	if !errors.Is(first, ErrCorrupt) || !errors.Is(second, ErrCorrupt) {
		t.Errorf("%v, then %v", first, second)
	}
}

func TestLayerWriter(t *testing.T) {
	s := open(t, t.TempDir())
	raw := makeTar(t, map[string]string{"f": strings.Repeat("content ", 100_000)})
	for _, c := range []layer.Compression{layer.None, layer.Gzip, layer.Zstd} {
		l, err := s.AddLayer(t.Context(), bytes.NewReader(raw), LayerOptions{Compression: c})
		if err != nil {
			t.Fatal(c, err)
		}
		if l.DiffID != digest.FromBytes(raw) || l.MediaType != LayerMediaType(c) {
			t.Errorf("%s: %+v", c, l)
		}
		again, ok := s.Layer(l.DiffID, LayerOptions{Compression: c})
		if !ok || again.Digest != l.Digest || again.Size != l.Size || again.MediaType != l.MediaType {
			t.Errorf("%s: remembered %+v, %v", c, again, ok)
		}
		r, err := s.OpenLayer(l)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r)
		if err != nil || !bytes.Equal(got, raw) {
			t.Errorf("%s: read back %d bytes, %v", c, len(got), err)
		}
		r.Close()
		found, err := s.FindLayer(t.Context(), l.Digest)
		if err != nil || found.DiffID != l.DiffID {
			t.Errorf("%s: found by blob %+v, %v", c, found, err)
		}
	}
	zstd, _ := s.Layer(digest.FromBytes(raw), LayerOptions{Compression: layer.Zstd})
	gz, err := s.Convert(t.Context(), zstd, LayerOptions{Compression: layer.Gzip})
	if want, _ := s.Layer(zstd.DiffID, LayerOptions{Compression: layer.Gzip}); err != nil || gz.Digest != want.Digest {
		t.Errorf("convert: %+v, %v", gz, err)
	}
}

func TestAddLayerRefusesWhatIsNoTar(t *testing.T) {
	s := open(t, t.TempDir())
	whole := makeTar(t, map[string]string{"f": "content"})
	for name, in := range map[string][]byte{"empty": nil, "text": []byte("hello, world\n"), "cut": whole[:600], "no end mark": whole[:1024]} {
		if _, err := s.AddLayer(t.Context(), bytes.NewReader(in), LayerOptions{}); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
	if left, _ := os.ReadDir(s.path(dirBlobs)); len(left) > 0 {
		t.Errorf("blobs: %v", left)
	}
}

func TestLayerWriterAbortLeavesNothing(t *testing.T) {
	s := open(t, t.TempDir())
	w, err := s.NewLayer(t.Context(), LayerOptions{Compression: layer.Gzip})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	w.Abort()
	w.Abort()
	for _, dir := range []string{dirTemp, dirBlobs, dirLayers} {
		if left, _ := os.ReadDir(s.path(dir)); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}
