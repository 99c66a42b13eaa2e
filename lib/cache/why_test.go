package cache

import (
	"os"
	"reflect"
	"testing"
)

// A step that misses is compared with its last run: with the whole of it, with
// what is known before the files, or with digests if its pre-image is lost.
func TestSessionChanges(t *testing.T) {
	c := openCache(t)
	step := Step{ID: "0/1", Text: "COPY f /"}
	resumed := func(image string) *Session {
		s := c.Begin(image)
		s.Expect([]Step{step})
		return s
	}
	before := preimageOf(value("instruction", "COPY"), value("ENV A", "1"), filesOf(File{Path: "f", Mode: 1}))
	s := c.Begin("app:v1")
	if changes, ran := s.Changes(step, before, true); ran {
		t.Errorf("before any build: %+v", changes)
	}
	s.Miss(step, before, "new")
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	now := preimageOf(value("instruction", "COPY"), value("ENV A", "2"), filesOf(File{Path: "f", Mode: 2}))
	head := preimageOf(now.Components[:2]...)
	tests := []struct {
		name     string
		p        *Preimage
		complete bool
		want     string
	}{
		{"all", now, true, "ENV A, f (mode)"},
		{"without files", head, false, "ENV A"},
		{"same", before, true, ""},
	}
	for _, tt := range tests {
		changes, ran := resumed("app:v1").Changes(step, tt.p, tt.complete)
		if got := Summary(changes); !ran || got != tt.want {
			t.Errorf("%s: %v, %q, want %q", tt.name, ran, got, tt.want)
		}
	}
	if _, ran := resumed("other").Changes(step, now, true); ran {
		t.Error("another image has a past")
	}
	digits, err := checkKey(before.Key())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(c.path(preimages, digits, "")); err != nil {
		t.Fatal(err)
	}
	changes, ran := resumed("app:v1").Changes(step, now, true)
	if got := Summary(changes); !ran || got != "ENV A, files" {
		t.Errorf("by digests: %v, %q", ran, got)
	}
	if _, ran := resumed("app:v1").Changes(step, head, false); ran {
		t.Error("digests cannot tell without files")
	}
}

// A history compares the last two runs of a step.
func TestChanges(t *testing.T) {
	c := openCache(t)
	step := Step{ID: "0/1"}
	for _, v := range []string{"1", "2"} {
		s := c.Begin("app:v1")
		s.Miss(step, preimageOf(value("ENV A", v)), "why")
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	h, err := c.History("app:v1")
	if err != nil {
		t.Fatal(err)
	}
	want := []Change{{Component: "ENV A", What: "changed", Old: "1", New: "2"}}
	if got := c.Changes(&h.Steps[0]); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if h.Steps[0].Runs[0].Reason != "why" || h.Last != 1 {
		t.Errorf("%+v", h)
	}
	first := StepHistory{Runs: h.Steps[0].Runs[1:]}
	if got := c.Changes(&first); got != nil {
		t.Errorf("a first run differs: %+v", got)
	}
}

// A hit by an alias is, in the history, one of the record's key.
func TestHitByAlias(t *testing.T) {
	c := openCache(t)
	full := preimageOf(value("a", "1"), filesOf(File{Path: "f"}))
	if err := c.Put(full, Record{}); err != nil {
		t.Fatal(err)
	}
	s := c.Begin("app:v1")
	s.Hit(Step{ID: "0/1"}, nil, &Record{Key: full.Key()})
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	s = c.Begin("app:v1")
	s.Expect([]Step{{ID: "0/1"}})
	changes, ran := s.Changes(Step{ID: "0/1"}, preimageOf(value("a", "1"), filesOf()), true)
	if got := Summary(changes); !ran || got != "f (removed)" {
		t.Errorf("%v, %q", ran, got)
	}
}
