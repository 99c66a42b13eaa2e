package keep

import (
	"archive/tar"
	"bytes"
	"crypto/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/cache"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func open(t *testing.T, root string) *store.Store {
	t.Helper()
	s, err := store.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// layerSize is the content of each layer of a test, in bytes.
const layerSize = 100_000

func addLayer(t *testing.T, s *store.Store) oci.Layer {
	t.Helper()
	content := make([]byte, layerSize)
	_, _ = rand.Read(content) // never fails
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := w.WriteHeader(&tar.Header{Name: "f", Mode: 0o644, Size: layerSize}); err != nil {
		t.Fatal(err)
	}
	if _, err := w.Write(content); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := s.AddLayer(t.Context(), &b, store.LayerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func publish(t *testing.T, s *store.Store, name string, layers ...oci.Layer) oci.Descriptor {
	t.Helper()
	desc, err := s.WriteImage(t.Context(), oci.Image{Platform: oci.HostPlatform()}, layers, nil)
	if err != nil {
		t.Fatal(err)
	}
	ref, err := oci.ParseRef(name)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), desc, ref); err != nil {
		t.Fatal(err)
	}
	return desc
}

// record makes the cache know a step that gave the layer.
func record(t *testing.T, root, text string, l oci.Layer) string {
	t.Helper()
	c, err := cache.Open(filepath.Join(root, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	p := &cache.Preimage{}
	p.Add("instruction", text)
	if err := c.Put(p, cache.Record{Layer: &l, Text: text}); err != nil {
		t.Fatal(err)
	}
	return p.Key()
}

func age(t *testing.T, by time.Duration, paths ...string) {
	t.Helper()
	at := time.Now().Add(-by)
	for _, path := range paths {
		found, err := filepath.Glob(path)
		if err != nil || len(found) == 0 {
			t.Fatalf("nothing at %s (%v)", path, err)
		}
		for _, f := range found {
			if err := os.Chtimes(f, at, at); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// filled is a store with something of each kind, each of its own age, and the
// names of what may go, the oldest first.
func filled(t *testing.T) (root string, mount *cache.HeldMount) {
	t.Helper()
	root = t.TempDir()
	s := open(t, root)
	named, old := addLayer(t, s), addLayer(t, s)
	publish(t, s, "app:v1", named)
	if _, err := s.Snapshots(t.Context(), []oci.Layer{named}); err != nil {
		t.Fatal(err)
	}
	key := record(t, root, "RUN old", old)
	c, err := cache.Open(filepath.Join(root, "cache"))
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"idle", "busy"} {
		h, err := c.Mount(t.Context(), cache.Mount{ID: id})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(h.Dir, "f"), make([]byte, layerSize), 0o600); err != nil {
			t.Fatal(err)
		}
		if mount = h; id == "idle" {
			h.Close()
			age(t, 30*time.Hour, h.Dir+".lock")
		}
	}
	log := buildlog.New(root).Begin()
	log.Record(map[string]string{"type": "build"})
	log.Record(map[string]string{"type": "end"})
	if err := log.Close(); err != nil {
		t.Fatal(err)
	}
	age(t, 20*time.Hour, filepath.Join(root, "builds", "*", "record.ndjson"))
	age(t, 90*time.Hour, s.BlobPath(old.Digest))
	age(t, 40*time.Hour, filepath.Join(root, "cache", "records", "*", strings.TrimPrefix(key, "blake3:")+".json"), filepath.Join(root, "cache", "preimages", "*", "*"))
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return root, mount
}

func kinds(victims []Victim) (list []string) {
	for _, v := range victims {
		list = append(list, v.Kind)
	}
	return list
}

func collect(t *testing.T, s *store.Store, p Policy) Result {
	t.Helper()
	res, err := Collect(t.Context(), s, p)
	if err != nil {
		t.Fatal(err)
	}
	if found, err := s.Fsck(t.Context(), store.FsckOptions{}); err != nil || len(found) > 0 {
		t.Fatalf("%+v: %v, %v", p, found, err)
	}
	return res
}

// TestCollect takes a store apart, limit by limit.
func TestCollect(t *testing.T) {
	root, busy := filled(t)
	s := open(t, root)
	before, err := Take(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	if res := collect(t, s, Policy{Grace: time.Hour, Capped: true, MaxBytes: before.Bytes()}); len(res.Victims) > 0 || res.Over != 0 || res.Left != before.Bytes() {
		t.Errorf("at the cap: %+v", res)
	}
	if res := collect(t, s, Policy{Grace: time.Hour, MaxAge: 50 * time.Hour}); len(res.Victims) > 0 {
		t.Errorf("a layer is as old as its record: %v", kinds(res.Victims))
	}
	dry := collect(t, s, Policy{Grace: time.Hour, Capped: true, MaxBytes: before.Bytes() - 1, DryRun: true})
	wet := collect(t, s, Policy{Grace: time.Hour, Capped: true, MaxBytes: before.Bytes() - 1})
	for _, res := range []Result{dry, wet} {
		if got := kinds(res.Victims); !slices.Equal(got, []string{KindBlob}) || res.Bytes < layerSize || res.Left > before.Bytes()-layerSize || res.Victims[0].Why != WhyCap {
			t.Errorf("just above the cap: %v, %+v", got, res)
		}
	}
	if got := kinds(collect(t, s, Policy{Grace: time.Hour, MaxAge: 25 * time.Hour}).Victims); !slices.Equal(got, []string{KindRecord, KindMount}) {
		t.Errorf("by age: %v", got)
	}
	res := collect(t, s, Policy{Grace: time.Hour, Capped: true})
	if got := kinds(res.Victims); !slices.Equal(got, []string{KindLog, KindSnapshot}) {
		t.Errorf("all but what is tagged: %v", got)
	}
	if res.Over != res.Left || res.Tagged < layerSize || res.Held < layerSize {
		t.Errorf("why it is above the cap: %+v", res)
	}
	if _, err := os.Stat(filepath.Join(busy.Dir, "f")); err != nil {
		t.Error("a mount in use was touched:", err)
	}
	img, err := s.Image("app:v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshots(t.Context(), img.Layers); err != nil {
		t.Error("unpack again:", err)
	}
	busy.Close()
	if got := kinds(collect(t, open(t, root), Policy{Capped: true, TagsToo: true}).Victims); !slices.Equal(got, []string{KindMount}) {
		t.Errorf("with the image in use: %v", got)
	}
	s.Close()
	collect(t, s, Policy{Capped: true, TagsToo: true})
	for _, dir := range []string{"oci/blobs/sha256", "snapshots", "cache/mounts", "state/used", "state/layers", "tmp"} {
		if left, _ := os.ReadDir(filepath.Join(root, dir)); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

// TestImagesShare: what several images have is not what one of them alone would
// give back.
func TestImagesShare(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	base, own := addLayer(t, s), addLayer(t, s)
	publish(t, s, "base:v1", base)
	kid := publish(t, s, "kid:v1", base, own)
	other, err := oci.ParseRef("kid:v2")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), kid, other); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Snapshots(t.Context(), []oci.Layer{base, own}); err != nil {
		t.Fatal(err)
	}
	record(t, root, "RUN own", own)
	inv, err := Take(t.Context(), s)
	if err != nil {
		t.Fatal(err)
	}
	list := inv.Images()
	if len(list) != 2 || !slices.Equal(list[0].Names, []string{"kid:v1", "kid:v2"}) || list[0].Layers != 2 {
		t.Fatalf("%+v", list)
	}
	k, b := list[0], list[1]
	if k.Shared != b.Shared || k.Shared < 2*layerSize || k.Unique < 2*layerSize || b.Unique > layerSize || k.Total != k.Shared+k.Unique {
		t.Errorf("%+v", list)
	}
	refs := map[string][]string{}
	for _, i := range inv.Items {
		refs[i.Name] = i.Refs
	}
	chain := oci.NextChainID(base.DiffID, own.DiffID)
	if got, want := refs[own.Digest.String()], []string{"image kid:v1", "snapshot " + chain.String(), "image kid:v2", "step RUN own"}; !slices.Equal(got, want) {
		t.Errorf("who refers to the layer: %q, want %q", got, want)
	}
	if got, want := refs[base.DiffID.String()], []string{"image base:v1", "image kid:v1", "image kid:v2"}; !slices.Equal(got, want) {
		t.Errorf("who refers to the snapshot: %q, want %q", got, want)
	}
}

// TestSizesAreRemembered as long as the snapshot is the same.
func TestSizesAreRemembered(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	l := addLayer(t, s)
	publish(t, s, "app:v1", l)
	lowers, err := s.Snapshots(t.Context(), []oci.Layer{l})
	if err != nil {
		t.Fatal(err)
	}
	size := func() int64 {
		t.Helper()
		inv, err := Take(t.Context(), s)
		if err != nil {
			t.Fatal(err)
		}
		for _, i := range inv.Items {
			if i.Kind == KindSnapshot {
				return i.Bytes
			}
		}
		t.Fatal("no snapshot")
		return 0
	}
	first := size()
	// Nobody writes into a snapshot: that shows whether it is looked into.
	if err := os.WriteFile(filepath.Join(lowers[0], "f"), make([]byte, 10*layerSize), 0o644); err != nil {
		t.Fatal(err)
	}
	if got := size(); got != first {
		t.Errorf("measured again: %d, %d", first, got)
	}
	if err := os.WriteFile(filepath.Join(root, "state", sizesFile), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := size(); got < 10*layerSize {
		t.Errorf("a damaged note was believed: %d", got)
	}
	if err := os.Chmod(lowers[0], 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(lowers[0], "f"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if got := size(); got >= 10*layerSize {
		t.Errorf("one that was made anew has the old size: %d", got)
	}
}
