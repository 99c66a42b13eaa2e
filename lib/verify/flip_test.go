package verify

import (
	"bytes"
	"context"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// flips is how many random bits a test flips, one at a time.
func flips(t *testing.T, usual int) int {
	t.Helper()
	if n, err := strconv.Atoi(os.Getenv("DOCKSMITH_FLIPS")); err == nil {
		return n
	}
	return usual
}

// eachFlip flips n random bits of the files one after the other, and each of the
// first bytes of small ones, and calls found, which says what was found of it.
func eachFlip(t *testing.T, n int, paths []string, found func() string) {
	t.Helper()
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	missed := 0
	for range n {
		path := paths[r.IntN(len(paths))]
		raw, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if len(raw) == 0 {
			continue
		}
		bit := r.IntN(8 * len(raw))
		damaged := bytes.Clone(raw)
		damaged[bit/8] ^= 1 << (bit % 8)
		put(t, path, damaged)
		if what := found(); !strings.Contains(what, filepath.Base(path)) {
			missed++
			at := damaged[max(0, bit/8-20):min(len(damaged), bit/8+20)]
			t.Errorf("seed %d: bit %d of %s, near %q: found %q", seed, bit, path, at, what)
		}
		put(t, path, raw)
	}
	t.Logf("%d flips, %d missed", n, missed)
	if what := found(); what != "" {
		t.Errorf("nothing is flipped any more: found %q", what)
	}
}

// put changes a file that may be read-only without changing what it is.
func put(t *testing.T, path string, raw []byte) {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := replace(path, raw); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, st.Mode()); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, st.ModTime(), st.ModTime()); err != nil {
		t.Fatal(err)
	}
}

func filesBelow(t *testing.T, dir string) []string {
	t.Helper()
	var list []string
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			list = append(list, p)
		}
		return err
	})
	if err != nil || len(list) == 0 {
		t.Fatalf("files below %s: %d, %v", dir, len(list), err)
	}
	return list
}

// secondImage adds another image, whose layer is compressed.
func secondImage(t *testing.T, s *store.Store, c layer.Compression, name string) {
	t.Helper()
	l, err := s.AddLayer(context.Background(), bytes.NewReader(tarOf(t, "etc/", "etc/conf", "bin/", "bin/tool")), store.LayerOptions{Compression: c})
	if err != nil {
		t.Fatal(err)
	}
	desc, err := s.WriteImage(context.Background(), oci.Image{Platform: oci.HostPlatform()}, []oci.Layer{l}, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := oci.ParseRef(name)
	if err == nil {
		err = s.Tag(context.Background(), desc, ref)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestEveryFlipInAStoreIsFound(t *testing.T) {
	s, _ := newImage(t, tarOf(t, "a/", "a/b"))
	secondImage(t, s, layer.Gzip, "two:gz")
	secondImage(t, s, layer.Zstd, "registry.example/three")
	eachFlip(t, flips(t, 150), filesBelow(t, filepath.Join(s.Root(), "oci")), func() string { return storeFindings(t, s.Root()) })
}

// storeFindings are those of a store that is opened anew, as a program does.
func storeFindings(t *testing.T, root string) string {
	t.Helper()
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var what strings.Builder
	sum, err := Store(context.Background(), s, func(f Finding) { what.WriteString(f.String() + "\n") })
	if err != nil {
		t.Fatal(err)
	}
	if (sum.Findings > 0) != (what.Len() > 0) {
		t.Fatalf("%d findings, told %q", sum.Findings, what.String())
	}
	return what.String()
}

func TestEveryFlipInAnArchiveIsFound(t *testing.T) {
	s, _ := newImage(t, tarOf(t, "a/", "a/b"))
	secondImage(t, s, layer.Gzip, "two:gz")
	path := filepath.Join(t.TempDir(), "archive.tar")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := s.Export(context.Background(), f, []string{"app:v1", "two:gz"}, store.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	eachFlip(t, flips(t, 300), []string{path}, func() string {
		found := ""
		_, err := Path(context.Background(), path, ImageOptions{Found: func(f Finding) { found += path + " " + f.String() + "\n" }})
		if err != nil {
			t.Fatal(err)
		}
		return found
	})
}
