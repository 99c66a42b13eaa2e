package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

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
				s.Hit(Step{ID: fmt.Sprint(i), Text: "RUN x"}, p, r)
				continue
			}
			s.Miss(Step{ID: fmt.Sprint(i), Text: "RUN x"}, p, "new")
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
		runs := []Run{{Key: a, Hit: true}, {Key: b, Reason: "new"}, {Key: a, Hit: true}}
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
	build("1", "2")
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
		s.Miss(Step{ID: "1"}, nil, "new")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		if s, err := c.Stats(); err != nil || s.Counts != (Counts{Builds: 1, Misses: 1}) {
			t.Errorf("%.20q, then one build: %+v, %v", data, s, err)
		}
	}
}

func TestHistoryIsBounded(t *testing.T) {
	c := openCache(t)
	for round := range 3 {
		s := c.Begin("app")
		for i := range 100 {
			s.Miss(Step{ID: fmt.Sprint(round, "/", i), Text: fmt.Sprint("RUN ", round, i)}, step(i, fmt.Sprint(round)), "new")
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
		s.Miss(Step{ID: "2/0", Text: "RUN 20"}, step(0, fmt.Sprint("again", i)), "new")
		s.Close()
	}
	if h, _ := c.History("app"); len(h.Steps[0].Runs) != maxRuns {
		t.Errorf("%d runs", len(h.Steps[0].Runs))
	}
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
		s.Miss(Step{ID: fmt.Sprint(i), Text: "RUN something"}, p, "new")
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
