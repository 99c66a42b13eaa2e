package cache

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// ageAll makes every file older than the grace that Prune gives.
func ageAll(t *testing.T, c *Cache) {
	old := time.Now().Add(-2 * grace)
	filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			t.Fatal(err)
		}
		return os.Chtimes(path, old, old)
	})
}

func TestPrune(t *testing.T) {
	c := openCache(t)
	for i := range 10 {
		p := step(i, "x")
		p.AddFiles("files", []File{{Path: fmt.Sprint(i)}})
		if err := c.Put(p, Record{Layer: layerOf(i)}); err != nil {
			t.Fatal(err)
		}
	}
	refs, err := c.LayerRefs()
	if err != nil || len(refs) != 10 {
		t.Fatalf("LayerRefs: %v, %v", refs, err)
	}
	keep := func(r *Record) bool { return r.Layer.Size%2 == 0 }
	if removed, err := c.Prune(PruneOptions{Keep: keep, DryRun: true}); err != nil || len(removed) != 5 {
		t.Fatalf("dry run: %d, %v", len(removed), err)
	}
	ageAll(t, c)
	os.WriteFile(filepath.Join(c.dir, tmpName, "left"), nil, 0o600)
	if removed, err := c.Prune(PruneOptions{Keep: keep}); err != nil || len(removed) != 5 {
		t.Fatalf("%d, %v", len(removed), err)
	}
	for i := range 10 {
		p := step(i, "x")
		p.AddFiles("files", []File{{Path: fmt.Sprint(i)}})
		_, ok, _ := c.Lookup(p.Key())
		_, err := c.Preimage(p.Key())
		if want := i%2 == 0; ok != want || (err == nil) != want || c.Seen(p) != want {
			t.Errorf("record %d: found %v, pre-image %v, seen %v", i, ok, err, c.Seen(p))
		}
	}
	if _, err := os.Stat(filepath.Join(c.dir, tmpName, "left")); err != nil {
		t.Error("a temporary file of a running process was removed")
	}
	ageAll(t, c)
	c.Prune(PruneOptions{})
	if _, err := os.Stat(filepath.Join(c.dir, tmpName, "left")); err == nil {
		t.Error("an old temporary file stays")
	}
}

func TestTouch(t *testing.T) {
	c := openCache(t)
	p := step(1, "x")
	if err := c.Put(p, Record{}); err != nil {
		t.Fatal(err)
	}
	digits, _ := checkKey(p.Key())
	old := time.Now().Add(-48 * time.Hour)
	os.Chtimes(c.path(records, digits, ".json"), old, old)
	if err := c.Touch(p.Key()); err != nil {
		t.Fatal(err)
	}
	for r := range c.Records() {
		if time.Since(r.Used) > time.Hour {
			t.Errorf("used %v", r.Used)
		}
	}
}
