// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
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
	s.Miss(Step{ID: "1"}, sample())
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
		"other schema": bytes.Replace(good, []byte("record/1"), []byte("record/2"), 1), "two": append(bytes.Clone(good), good...),
		"another key's": another, "huge": bytes.Repeat([]byte(" "), maxDocument+1), "wrong type": bytes.Replace(good, []byte(`"size":1`), []byte(`"size":"1"`), 1),
	} {
		os.WriteFile(path, data, 0o600)
		if _, ok, err := c.Lookup(p.Key()); ok || err != nil {
			t.Errorf("%s: %v, %v", name, ok, err)
		}
	}
	os.WriteFile(path, bytes.Replace(good, []byte(`{`), []byte(`{"later":1,`), 1), 0o600)
	if _, ok, _ := c.Lookup(p.Key()); !ok {
		t.Error("a member that is not known makes it a miss")
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

func TestSession(t *testing.T) {
	c := openCache(t)
	build := func(env string, hit bool) {
		t.Helper()
		s := c.Begin("app:v1")
		for i := range 3 {
			p := step(i, env)
			if hit {
				r, ok, err := c.Lookup(p.Key())
				if !ok || err != nil {
					t.Fatal(ok, err)
				}
				s.Hit(Step{fmt.Sprint(i), "RUN x"}, p, r)
				continue
			}
			s.Miss(Step{fmt.Sprint(i), "RUN x"}, p)
			if err := c.Put(p, Record{Seconds: 0.1}); err != nil {
				t.Fatal(err)
			}
		}
		if err := errors.Join(s.Close(), s.Close()); err != nil {
			t.Fatal(err)
		}
	}
	build("1", false)
	build("1", true)
	build("2", false)
	build("1", true)
	want := Counts{Builds: 4, Hits: 6, Misses: 6, SavedSeconds: 0.6}
	s, err := c.Stats()
	if err != nil || s.Counts != want {
		t.Errorf("stats %+v, %v; want %+v", s, err, want)
	}
	h, err := c.History("app:v1")
	if err != nil {
		t.Fatal(err)
	}
	if h.Counts != want || len(h.Steps) != 3 {
		t.Errorf("history %+v", h)
	}
	for i, st := range h.Steps {
		a, b := step(i, "1").Key(), step(i, "2").Key()
		runs := []Run{{Key: a, Hit: true}, {Key: b}, {Key: a, Hit: true}}
		if diff := cmp.Diff(runs, st.Runs, cmpopts.IgnoreFields(Run{}, "Time", "Components")); diff != "" {
			t.Errorf("step %d: %s", i, diff)
		}
		if x, y := st.Runs[0].Components, st.Runs[1].Components; x["env:A"] == y["env:A"] || x["parent"] != y["parent"] || len(x) != 3 {
			t.Errorf("step %d: component digests %v, %v", i, x, y)
		}
	}
	if _, err := c.History("nobody"); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("an unknown image: %v", err)
	}
	// What a history speaks of stays when its record goes.
	if _, err := c.Prune(PruneOptions{Keep: func(*Record) bool { return false }}); err != nil {
		t.Fatal(err)
	}
	ageAll(t, c)
	if _, err := c.Prune(PruneOptions{}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Preimage(step(0, "2").Key()); err != nil {
		t.Errorf("the pre-image of a past run: %v", err)
	}
}

// TestUnchangedHistoryIsNotWritten: a cached build must not pay for a rename.
func TestUnchangedHistoryIsNotWritten(t *testing.T) {
	c := openCache(t)
	p, q := step(1, "x"), step(2, "x")
	build := func(first, second string) {
		t.Helper()
		s := c.Begin("app")
		s.Hit(Step{ID: first}, p, &Record{Key: p.Key()})
		s.Hit(Step{ID: second}, q, &Record{Key: q.Key()})
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	build("1", "2")
	before, err := os.Stat(c.historyPath("app", historyExt))
	if err != nil {
		t.Fatal(err)
	}
	build("1", "2")
	s := c.Begin("app")
	s.Hit(Step{ID: "2"}, q, &Record{Key: q.Key()})
	s.Hit(Step{ID: "1"}, p, &Record{Key: p.Key()})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	after, err := os.Stat(c.historyPath("app", historyExt))
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the history was written anew: %v", err)
	}
	if h, err := c.History("app"); err != nil || h.Hits != 6 || h.Builds != 3 {
		t.Errorf("%+v, %v", h, err)
	}
}

func TestDamagedCountersAreZero(t *testing.T) {
	c := openCache(t)
	for _, data := range []string{"", "rubbish", strings.Repeat("x", 5000), "{}", `{"schema":"docksmith.stats/2","hits":7}`} {
		if err := os.WriteFile(c.statsPath(), []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
		if s, err := c.Stats(); err != nil || s.Counts != (Counts{}) {
			t.Errorf("%.20q: %+v, %v", data, s, err)
		}
		s := c.Begin("")
		s.Miss(Step{ID: "1"}, nil)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err := c.Stats(); err != nil || s.Counts != (Counts{Builds: 1, Misses: 1}) {
			t.Errorf("%.20q, then one build: %+v, %v", data, s, err)
		}
	}
}

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

func TestHistoryIsBounded(t *testing.T) {
	c := openCache(t)
	for round := range 3 {
		s := c.Begin("app")
		for i := range 100 {
			s.Miss(Step{ID: fmt.Sprint(round, "/", i)}, step(i, fmt.Sprint(round)))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h, err := c.History("app")
	if err != nil || len(h.Steps) != 100+maxOldSteps {
		t.Fatalf("%d steps, %v", len(h.Steps), err)
	}
	if h.Steps[0].Step != "2/0" || h.Steps[99].Step != "2/99" {
		t.Error("the last build's steps are not first, in their order")
	}
	for i := range 10 {
		s := c.Begin("app")
		s.Miss(Step{ID: "2/0"}, step(0, fmt.Sprint("again", i)))
		s.Close()
	}
	if h, _ := c.History("app"); len(h.Steps[0].Runs) != maxRuns {
		t.Errorf("%d runs", len(h.Steps[0].Runs))
	}
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

// TestMain lets the tests start themselves as other processes.
func TestMain(m *testing.M) {
	dir := os.Getenv("CACHE_TEST_DIR")
	switch os.Getenv("CACHE_TEST_ROLE") {
	case "count":
		countMany(&Cache{dir: dir})
		os.Exit(0)
	case "put":
		putForever(&Cache{dir: dir})
	}
	os.Exit(m.Run())
}

func start(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CACHE_TEST_ROLE="+role, "CACHE_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

const countRounds = 10

func countMany(c *Cache) {
	for range countRounds {
		s := c.Begin("app")
		s.Hit(Step{ID: "1"}, nil, &Record{Seconds: 0.1})
		s.Hit(Step{ID: "2"}, nil, &Record{Seconds: 0.000001})
		s.Miss(Step{ID: "3"}, nil)
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func TestCountersOfManyProcesses(t *testing.T) {
	c := openCache(t)
	const processes = 20
	var running []*exec.Cmd
	for range processes {
		running = append(running, start(t, "count", c.dir))
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	want := Counts{Builds: 200, Hits: 400, Misses: 200, SavedSeconds: 20.0002}
	if s, err := c.Stats(); err != nil || s.Counts != want {
		t.Errorf("stats %+v, %v; want %+v", s.Counts, err, want)
	}
	if h, err := c.History("app"); err != nil || h.Counts != want {
		t.Errorf("history %+v, %v; want %+v", h.Counts, err, want)
	}
}

// putForever puts records of all sizes, over and over.
func putForever(c *Cache) {
	for i := 0; ; i++ {
		p := step(i%50, strings.Repeat("x", i*97%9000))
		p.AddFiles("files", []File{{Path: "f"}})
		r := Record{Layer: layerOf(i), Text: strings.Repeat("y", i*131%70000)}
		if err := c.Put(p, r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		s := c.Begin("app")
		s.Miss(Step{ID: fmt.Sprint(i % 7)}, p)
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// TestKill kills a process at random moments of Put and Close: whatever is
// there afterwards is whole.
func TestKill(t *testing.T) {
	c := openCache(t)
	var builds int64
	for range 25 {
		cmd := start(t, "put", c.dir)
		time.Sleep(time.Duration(5+rand.IntN(40)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		for f, err := range c.shards(records) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := readRecord(f.path, keyPrefix+f.digits)
			if err != nil {
				t.Fatalf("half a record: %v", err)
			}
			p, err := c.Preimage(r.Key)
			if err != nil {
				t.Fatalf("a record without its pre-image: %v", err)
			}
			if !c.Seen(p) {
				t.Fatal("a record whose prefix was not seen")
			}
		}
		s, err := c.Stats()
		if err != nil || s.Builds < builds {
			t.Fatalf("counters went back: %+v, %v", s, err)
		}
		builds = s.Builds
	}
	if builds == 0 {
		t.Skip("the machine is too slow: no process got as far as a record")
	}
}

func TestConcurrentUse(t *testing.T) {
	c := openCache(t)
	s := c.Begin("app")
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 50 {
				p := step(i, "same")
				if err := c.Put(p, Record{Layer: layerOf(i)}); err != nil {
					t.Error(err)
				}
				r, ok, err := c.Lookup(p.Key())
				if !ok || err != nil || r.Layer.Size != int64(i) {
					t.Error(ok, err)
					return
				}
				s.Hit(Step{ID: fmt.Sprint(w, i)}, p, r)
			}
		})
	}
	group.Go(func() {
		for range 20 {
			if _, err := c.Prune(PruneOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
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
			h.note(note{step: Step{ID: "1"}, run: Run{Key: "k"}, pre: sample()})
			h.arrange([]note{{step: Step{ID: "1"}}})
			if h.Steps[0].Step != "1" {
				t.Fatal("the step is not first")
			}
		}
		decodeJSON(data, &Stats{})
	})
}

// BenchmarkCachedBuild is what the cache costs a build of ten steps that all hit.
func BenchmarkCachedBuild(b *testing.B) {
	c := openCache(b)
	var steps []*Preimage
	s := c.Begin("app:v1")
	for i := range 10 {
		p := step(i, "x")
		for j := range 20 {
			p.Add(fmt.Sprint("env:V", j), "some value of a variable")
		}
		if err := c.Put(p, Record{Layer: layerOf(i), Seconds: 1}); err != nil {
			b.Fatal(err)
		}
		s.Miss(Step{ID: fmt.Sprint(i), Text: "RUN something"}, p)
		steps = append(steps, p)
	}
	if err := s.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		c, _ := Open(c.dir)
		s := c.Begin("app:v1")
		for i, p := range steps {
			r, ok, err := c.Lookup(p.Key())
			if !ok || err != nil {
				b.Fatal(ok, err)
			}
			s.Hit(Step{ID: fmt.Sprint(i), Text: "RUN something"}, p, r)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
