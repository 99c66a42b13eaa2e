package verify

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"docksmith/lib/cache"
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

// put changes a file in its place, and nothing else about it or its directory.
func put(t *testing.T, path string, raw []byte) {
	t.Helper()
	st, err := os.Stat(path)
	if err == nil {
		err = os.Chmod(path, 0o600)
	}
	if err == nil {
		err = os.WriteFile(path, raw, 0o600)
	}
	if err == nil {
		err = os.Chmod(path, st.Mode())
	}
	if err == nil {
		err = os.Chtimes(path, st.ModTime(), st.ModTime())
	}
	if err != nil {
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
	s, l := newImage(t, tarOf(t, "a/", "a/b"))
	secondImage(t, s, layer.Gzip, "two:gz")
	secondImage(t, s, layer.Zstd, "registry.example/three")
	fillCache(t, filepath.Join(s.Root(), "cache"), l)
	paths := filesBelow(t, filepath.Join(s.Root(), "oci"))
	for _, dir := range []string{"records", "preimages", "aliases", "history", "stats.json"} {
		paths = append(paths, filesBelow(t, filepath.Join(s.Root(), "cache", dir))...)
	}
	eachFlip(t, flips(t, 150), paths, func() string { return storeFindings(t, s.Root()) })
}

// fillCache records two steps and a build of them.
func fillCache(t *testing.T, dir string, l oci.Layer) {
	t.Helper()
	c, err := cache.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	session := c.Begin("app:v1")
	for i, text := range []string{"RUN make", "COPY a /a"} {
		p := &cache.Preimage{}
		p.Add("instruction", text)
		step := cache.Step{ID: strconv.Itoa(i), Number: i, Text: text}
		if err := c.Put(p, cache.Record{Layer: &l, Seconds: 1.5, Text: text}); err != nil {
			t.Fatal(err)
		}
		alias := &cache.Preimage{}
		alias.Add("seen", text)
		if err := c.Alias(alias, strings.Repeat("0f", 32), p.Key()); err != nil {
			t.Fatal(err)
		}
		session.Miss(step, p, "nothing recorded for it")
	}
	if err := session.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestEveryFlipInASnapshotIsFound(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("an ordinary user unpacks in a user namespace only")
	}
	s, l := newImage(t, tarOf(t, "a/", "a/b", "a/l -> b", "d/e/f"))
	chains, err := s.Snapshots(context.Background(), []oci.Layer{l})
	if err != nil {
		t.Fatal(err)
	}
	eachFlip(t, flips(t, 40), filesBelow(t, chains[0]), func() string {
		return strings.ReplaceAll(storeFindings(t, s.Root()), "\"", " / ")
	})
	for name, change := range map[string]func(dir string) error{
		"mode":  func(dir string) error { return os.Chmod(dir+"/a/b", 0o600) },
		"owner": func(dir string) error { return os.Lchown(dir+"/a/l", 1, 1) },
		"time":  func(dir string) error { return os.Chtimes(dir+"/a/b", time.Unix(9, 0), time.Unix(9, 0)) },
		"more":  func(dir string) error { return os.WriteFile(dir+"/d/b", nil, 0o600) },
		"less":  func(dir string) error { return os.Remove(dir + "/a/b") },
		"link":  func(dir string) error { return os.Rename(dir+"/d/e/f", dir+"/a/b") },
		"attr":  func(dir string) error { return unix.Lsetxattr(dir+"/a/b", "user.more", []byte("1"), 0) },
		"removed": func(dir string) error {
			return errors.Join(os.Remove(dir+"/a/b"), unix.Mknod(dir+"/a/b", unix.S_IFCHR, 0))
		},
	} {
		t.Run(name, func(t *testing.T) {
			s, l := newImage(t, tarOf(t, "a/", "a/b", "a/l -> b", "d/e/f"))
			dirs, err := s.Snapshots(context.Background(), []oci.Layer{l})
			if err == nil {
				err = change(dirs[0])
			}
			if errors.Is(err, unix.EPERM) || errors.Is(err, unix.ENOTSUP) {
				t.Skip(err)
			}
			if err != nil {
				t.Fatal(err)
			}
			if what := storeFindings(t, s.Root()); !strings.Contains(what, "snapshot sha256:"+filepath.Base(dirs[0])) {
				t.Errorf("found %q", what)
			}
		})
	}
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
	sum, err := Store(context.Background(), s, StoreOptions{Found: func(f Finding) { what.WriteString(f.String() + "\n") }})
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
