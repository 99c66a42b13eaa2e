package cache

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

func TestAlias(t *testing.T) {
	c := openCache(t)
	full := step(1, "x")
	full.AddFiles("files", []File{{Path: "f"}})
	other := step(1, "y")
	if err := c.Put(full, Record{Layer: layerOf(7)}); err != nil {
		t.Fatal(err)
	}
	p := preimageOf(value("instruction", "COPY f"), value("seen", "slot 1"))
	find := func(p *Preimage, seen string) string {
		t.Helper()
		r, ok, err := c.LookupAlias(p, seen)
		if err != nil {
			t.Fatal(err)
		}
		if !ok {
			return ""
		}
		return r.Key
	}
	if got := find(p, "s1"); got != "" {
		t.Errorf("before there is an alias: %s", got)
	}
	if err := c.Alias(p, "s1", full.Key()); err != nil {
		t.Fatal(err)
	}
	if got := find(p, "s1"); got != full.Key() {
		t.Errorf("got %q, want the record of the key", got)
	}
	if find(p, "s2") != "" || find(other, "s1") != "" {
		t.Error("found by something else seen, or by another pre-image")
	}
	if err := c.Alias(p, "s2", full.Key()); err != nil {
		t.Fatal(err)
	}
	if find(p, "s1") != "" || find(p, "s2") != full.Key() {
		t.Error("an alias is not the last that was given")
	}
	if n := listed(t, c); n != 1 {
		t.Errorf("%d records are listed, want 1", n)
	}
	if err := c.Delete(full.Key()); err != nil {
		t.Fatal(err)
	}
	if find(p, "s2") != "" {
		t.Error("an alias of a record that is gone was found")
	}
}

func FuzzAlias(f *testing.F) {
	key := step(1, "x").Key()
	f.Add((&alias{key: key, of: key, seen: "0f"}).line())
	f.Add((&alias{key: key, of: key}).line())
	f.Add(aliasSchema + " a b c d\n")
	f.Fuzz(func(t *testing.T, line string) {
		a := parseAlias(line)
		if a == nil {
			return
		}
		if _, err := checkKey(a.of); err != nil {
			t.Error(err)
		}
		if again := parseAlias(a.line()); again == nil || *again != *a {
			t.Errorf("%q is read as %+v, and that as %+v", line, a, again)
		}
	})
}

func TestDamagedAliasIsAMiss(t *testing.T) {
	c := openCache(t)
	full, p := step(1, "x"), step(2, "y")
	if err := c.Put(full, Record{}); err != nil {
		t.Fatal(err)
	}
	if err := c.Alias(p, "s", full.Key()); err != nil {
		t.Fatal(err)
	}
	path := c.path(aliases, p.Key()[len(keyPrefix):], "")
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range data {
		flipped := bytes.Clone(data)
		flipped[i] ^= 1
		if err := os.WriteFile(path, flipped, 0o600); err != nil {
			t.Fatal(err)
		}
		if r, ok, err := c.LookupAlias(p, "s"); ok || err != nil {
			t.Fatalf("byte %d flipped: %v, %v", i, r, err)
		}
	}
	// An alias that was copied to the place of another.
	q := step(3, "z")
	elsewhere := c.path(aliases, q.Key()[len(keyPrefix):], "")
	if err := os.MkdirAll(filepath.Dir(elsewhere), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(elsewhere, data, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, ok, err := c.LookupAlias(q, "s"); ok || err != nil {
		t.Errorf("the alias of something else was taken: %v", err)
	}
}

// TestDropWithAliases: the space of an alias is its record's, and goes with it.
func TestDropWithAliases(t *testing.T) {
	c := openCache(t)
	p := step(1, "x")
	if err := c.Put(p, Record{Layer: layerOf(7)}); err != nil {
		t.Fatal(err)
	}
	entry := func() *Entry {
		t.Helper()
		var list []*Entry
		for e, err := range c.Entries() {
			if err != nil {
				t.Fatal(err)
			}
			list = append(list, e)
		}
		if len(list) != 1 || list[0].Key != p.Key() || list[0].Record == nil {
			t.Fatalf("want one entry, that of the record, got %+v", list)
		}
		return list[0]
	}
	alone := entry().Bytes
	if err := c.Alias(step(2, "alias"), "s", p.Key()); err != nil {
		t.Fatal(err)
	}
	e := entry()
	if e.Bytes <= alone {
		t.Errorf("%d bytes with an alias, %d without", e.Bytes, alone)
	}
	if err := c.Drop(e); err != nil {
		t.Fatal(err)
	}
	for e, err := range c.Entries() {
		t.Errorf("left of a record that was dropped: %+v, %v", e, err)
	}
}

func TestPruneAliases(t *testing.T) {
	c := openCache(t)
	stays, goes := step(1, "x"), step(2, "x")
	for i, p := range []*Preimage{stays, goes} {
		if err := c.Put(p, Record{Layer: layerOf(i)}); err != nil {
			t.Fatal(err)
		}
		if err := c.Alias(step(10+i, "alias"), "s", p.Key()); err != nil {
			t.Fatal(err)
		}
	}
	s := c.Begin("app:v1") // which speaks of the key longer than there is a record
	s.Miss(Step{ID: "0/1"}, goes, "new")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	left := func() int {
		n := 0
		for _, err := range c.shards(aliases) {
			if err != nil {
				t.Fatal(err)
			}
			n++
		}
		return n
	}
	keep := PruneOptions{Keep: func(r *Record) bool { return r.Key == stays.Key() }, DryRun: true}
	if _, err := c.Prune(keep); err != nil || left() != 2 {
		t.Fatalf("a dry run leaves %d aliases, %v", left(), err)
	}
	keep.DryRun = false
	if _, err := c.Prune(keep); err != nil || left() != 1 {
		t.Fatalf("%d aliases left, want that of the record that stays; %v", left(), err)
	}
	if _, ok, _ := c.LookupAlias(step(10, "alias"), "s"); !ok {
		t.Error("the alias of the record that stays is gone")
	}
}

// listed is how many records are listed.
func listed(t *testing.T, c *Cache) int {
	t.Helper()
	n := 0
	for _, err := range c.Records() {
		if err != nil {
			t.Fatal(err)
		}
		n++
	}
	return n
}
