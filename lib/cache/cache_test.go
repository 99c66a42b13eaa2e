package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"docksmith/lib/oci"
)

func openCache(t testing.TB) *Cache {
	t.Helper()
	c, err := Open(filepath.Join(t.TempDir(), "cache"))
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func layerOf(i int) *oci.Layer {
	l := &oci.Layer{DiffID: digest.FromString(fmt.Sprint("diff", i))}
	l.MediaType = "application/vnd.oci.image.layer.v1.tar+gzip"
	l.Digest, l.Size = digest.FromString(fmt.Sprint(i)), int64(i)
	return l
}

func step(i int, value string) *Preimage {
	p := &Preimage{}
	p.Add("parent", fmt.Sprint("chain", i))
	p.Add("instruction", fmt.Sprint("RUN ", i))
	p.Add("env:A", value)
	return p
}

func TestPutLookupDelete(t *testing.T) {
	c := openCache(t)
	p := sample()
	if _, ok, err := c.Lookup(p.Key()); ok || err != nil {
		t.Fatalf("an empty cache: %v, %v", ok, err)
	}
	if c.Seen(p) {
		t.Error("an empty cache has seen the prefix")
	}
	want := Record{Layer: layerOf(1), Seconds: 1.25, Created: time.Unix(1e9, 0).UTC(), Text: "COPY <&>", Result: json.RawMessage(`{"env":["A=1"]}`)}
	if err := c.Put(p, want); err != nil {
		t.Fatal(err)
	}
	got, ok, err := c.Lookup(p.Key())
	if !ok || err != nil {
		t.Fatalf("after Put: %v, %v", ok, err)
	}
	want.Schema, want.Key, want.Prefix = RecordSchema, p.Key(), p.prefix()
	if diff := cmp.Diff(&want, got); diff != "" {
		t.Error(diff)
	}
	other := sample()
	other.Components[4].Files = nil
	if !c.Seen(p) || !c.Seen(other) {
		t.Error("the prefix was not seen")
	}
	other.Components[1].Value = "COPY a b /y/"
	if c.Seen(other) {
		t.Error("another instruction was seen")
	}
	none := &Preimage{}
	none.AddFiles("files", nil)
	if err := c.Put(none, want); err != nil || !c.Seen(&Preimage{}) {
		t.Errorf("a list of no files was not seen: %v", err)
	}
	if pre, err := c.Preimage(p.Key()); err != nil || pre.Key() != p.Key() {
		t.Errorf("the pre-image: %v", err)
	}
	if key, err := c.Expand(p.Key()[7:15]); err != nil || key != p.Key() {
		t.Errorf("Expand: %q, %v", key, err)
	}
	if err := c.Delete(p.Key()); err != nil {
		t.Fatal(err)
	}
	if err := c.Delete(p.Key()); err != nil {
		t.Error("a second Delete:", err)
	}
	if _, ok, _ := c.Lookup(p.Key()); ok {
		t.Error("found after Delete")
	}
	if _, _, err := c.Lookup("blake3:../../etc/passwd"); err == nil {
		t.Error("a malformed key is looked up")
	}
}

func TestPermissions(t *testing.T) {
	old := unix.Umask(0)
	defer unix.Umask(old)
	c := openCache(t)
	s := c.Begin("app")
	s.Miss(Step{ID: "1"}, sample(), "new")
	if err := errors.Join(c.Put(sample(), Record{}), s.Close()); err != nil {
		t.Fatal(err)
	}
	filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		info, _ := d.Info()
		if info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		return nil
	})
}

// unsummed is a document up to its sum, without its last bracket.
func unsummed(document []byte) []byte {
	return bytes.Clone(document[:bytes.LastIndex(document, []byte(sumMember))])
}

// summed gives a document that was changed its new sum.
func summed(document []byte) []byte { return append(addSum(append(unsummed(document), '}')), '\n') }

func TestDamagedRecordIsAMiss(t *testing.T) {
	c := openCache(t)
	p, q := sample(), step(1, "x")
	if err := errors.Join(c.Put(p, Record{Layer: layerOf(1)}), c.Put(q, Record{})); err != nil {
		t.Fatal(err)
	}
	digits, _ := checkKey(p.Key())
	path := c.path(records, digits, ".json")
	good, _ := os.ReadFile(path)
	foreign, _ := checkKey(q.Key())
	another, _ := os.ReadFile(c.path(records, foreign, ".json"))
	for name, data := range map[string][]byte{
		"empty": {}, "cut": good[:len(good)/2], "binary": {0, 1, 2}, "list": []byte("[]"), "null": []byte("null"),
		"other schema": summed(bytes.Replace(good, []byte("record/1"), []byte("record/2"), 1)), "two": append(bytes.Clone(good), good...),
		"another key's": another, "huge": bytes.Repeat([]byte(" "), maxDocument+1), "wrong type": summed(bytes.Replace(good, []byte(`"size":1`), []byte(`"size":"1"`), 1)),
		"another size": bytes.Replace(good, []byte(`"size":1`), []byte(`"size":2`), 1),
	} {
		os.WriteFile(path, data, 0o600)
		if _, ok, err := c.Lookup(p.Key()); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	os.WriteFile(path, summed(bytes.Replace(good, []byte(`{`), []byte(`{"later":1,`), 1)), 0o600)
	if _, ok, _ := c.Lookup(p.Key()); !ok {
		t.Error("a member that is not known makes it a miss")
	}
	os.WriteFile(path, append(unsummed(good), '}'), 0o600)
	if _, ok, _ := c.Lookup(p.Key()); !ok {
		t.Error("a record of a version without sums is a miss")
	}
	os.Remove(path)
	os.Symlink("/etc/passwd", path)
	if _, ok, err := c.Lookup(p.Key()); ok || err != nil {
		t.Errorf("a symlink: %v, %v", ok, err)
	}
	os.Remove(path)
	unix.Mkfifo(path, 0o600)
	if _, ok, err := c.Lookup(p.Key()); ok || err != nil {
		t.Errorf("a FIFO: %v, %v", ok, err)
	}
	if removed, err := c.Prune(PruneOptions{}); err != nil || len(removed) != 1 || removed[0].Key != p.Key() {
		t.Errorf("Prune: %v, %v", removed, err)
	}
}

func TestLargePreimageIsCompressed(t *testing.T) {
	c := openCache(t)
	p := sample()
	files := make([]File, 5000)
	for i := range files {
		files[i] = File{Path: fmt.Sprintf("dir/file%05d", i), Type: "file", Mode: 0o644}
	}
	p.AddFiles("more", files)
	if err := c.Put(p, Record{}); err != nil {
		t.Fatal(err)
	}
	digits, _ := checkKey(p.Key())
	st, err := os.Stat(c.path(preimages, digits, zstdExt))
	if err != nil || st.Size() > 100_000 {
		t.Fatalf("%v, %v", st, err)
	}
	got, err := c.Preimage(p.Key())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, got); diff != "" {
		t.Error(diff)
	}
	data, _ := os.ReadFile(c.path(preimages, digits, zstdExt))
	os.WriteFile(c.path(preimages, digits, zstdExt), data[:len(data)/2], 0o600)
	if _, err := c.Preimage(p.Key()); err == nil {
		t.Error("a cut pre-image is read")
	}
}

func FuzzRecord(f *testing.F) {
	r := Record{Schema: RecordSchema, Key: sample().Key(), Layer: layerOf(1), Result: json.RawMessage(`{"a":1}`)}
	data, _ := encodeJSON(r)
	f.Add(data)
	f.Add([]byte(`{"schema":"docksmith.history/1","image":"a","steps":[{"step":"1","runs":[{"key":"x"}]}]}`))
	f.Add([]byte(`{"schema":"docksmith.stats/1","hits":1}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		r := &Record{}
		if decodeJSON(data, r) == nil {
			again, err := encodeJSON(r)
			if err != nil {
				t.Fatal(err)
			}
			if err := decodeJSON(again, &Record{}); err != nil {
				t.Fatalf("%s: %v", again, err)
			}
		}
		h := &History{}
		if decodeJSON(data, h) == nil {
			h.enter(nil, []note{{step: Step{ID: "1"}, run: Run{Key: "k"}, pre: sample()}})
			if h.Steps[0].Step != "1" {
				t.Fatal("the step is not first")
			}
		}
		decodeJSON(data, &Stats{})
	})
}
