package store

import (
	"encoding/json"
	"errors"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

func names(t testing.TB, s *Store) []string {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if e.Err != nil {
			t.Errorf("%s: %v", e.Name, e.Err)
		}
		out = append(out, e.Name)
	}
	return out
}

func TestResolve(t *testing.T) {
	s := open(t, t.TempDir())
	a := publish(t, s, "app:v1", addLayer(t, s, map[string]string{"f": "a"}))
	b := publish(t, s, "localhost:5000/app", addLayer(t, s, map[string]string{"f": "b"}))
	unnamed := writeImage(t, s, addLayer(t, s, map[string]string{"f": "c"}))
	tests := []struct {
		ref  string
		want digest.Digest
	}{
		{"app:v1", a.Digest},
		{"app@" + a.Digest.String(), a.Digest},
		{"app:v1@" + a.Digest.String(), a.Digest},
		{"localhost:5000/app", b.Digest},
		{"localhost:5000/app:latest", b.Digest},
		{a.Digest.String(), a.Digest},
		{a.Digest.Encoded(), a.Digest},
		{a.Digest.Encoded()[:12], a.Digest},
		{"sha256:" + b.Digest.Encoded()[:7], b.Digest},
		{unnamed.Digest.String(), unnamed.Digest},
		{"app", ""},
		{"ap:v1", ""},
		{"localhost:5000/app:v2", ""},
		{"sha256:" + strings.Repeat("0", 64), ""},
		{"app:v1@sha256:" + strings.Repeat("0", 64), ""},
	}
	for _, tt := range tests {
		d, err := s.Resolve(tt.ref)
		if tt.want == "" && !errors.Is(err, oci.ErrNotFound) || tt.want != "" && (err != nil || d.Digest != tt.want) {
			t.Errorf("%s: %s, %v; want %q", tt.ref, d.Digest, err, tt.want)
		}
	}
	var missing *NotFoundError
	if _, err := s.Resolve("ap:v1"); !errors.As(err, &missing) || !slices.Equal(missing.Nearest, []string{"app:v1"}) {
		t.Errorf("nearest: %v", err)
	}
	if err := s.Tag(t.Context(), a, ref(t, "h:1")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Resolve("c"); !errors.As(err, &missing) || missing.Nearest != nil {
		t.Errorf("a name of one letter is near to another: %v", err)
	}
}

func TestTagMovesNamesAndKeepsTimes(t *testing.T) {
	s := open(t, t.TempDir())
	a := writeImage(t, s, addLayer(t, s, map[string]string{"f": "a"}))
	b := writeImage(t, s, addLayer(t, s, map[string]string{"f": "b"}))
	made := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := s.tagAt(t.Context(), made, tagging{desc: a}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); !slices.Equal(got, []string{""}) {
		t.Errorf("published without a name: %q", got)
	}
	if err := s.Tag(t.Context(), a, ref(t, "x:1"), ref(t, "y")); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || !list[0].Created.Equal(made) || !list[1].Created.Equal(made) {
		t.Errorf("%+v, %v: the first time is not kept", list, err)
	}
	if err := s.Tag(t.Context(), b, ref(t, "x:1")); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Resolve("x:1"); err != nil || d.Digest != b.Digest {
		t.Errorf("%v, %v", d, err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"x:1", "y:latest"}) {
		t.Errorf("%q", got)
	}
}

func TestTagWritesNothingWhenNothingChanges(t *testing.T) {
	s := open(t, t.TempDir())
	a := publish(t, s, "x:1", addLayer(t, s, map[string]string{"f": "a"}))
	before, _ := os.Stat(s.path(fileIndex))
	if err := s.Tag(t.Context(), a, ref(t, "x:1")); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(s.path(fileIndex))
	if !os.SameFile(before, after) {
		t.Error("index.json was replaced")
	}
}

func TestTagRefusesTornImages(t *testing.T) {
	s := open(t, t.TempDir())
	l := addLayer(t, s, map[string]string{"f": "a"})
	a := writeImage(t, s, l)
	if err := os.Remove(s.BlobPath(l.Digest)); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), a, ref(t, "x:1")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestEntriesOfOtherToolsAreUnderstoodAndKept(t *testing.T) {
	s := open(t, t.TempDir())
	a := writeImage(t, s, addLayer(t, s, map[string]string{"f": "a"}))
	foreign := oci.Descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: a.Size, Annotations: map[string]string{oci.AnnotationRefName: "theirs", "org.example.x": "y"}}
	raw, err := json.Marshal(oci.NewIndex([]oci.Descriptor{foreign}))
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, s.path(fileIndex), string(raw))
	if d, err := s.Resolve("theirs"); err != nil || d.Digest != a.Digest {
		t.Errorf("%v, %v", d, err)
	}
	if err := s.Tag(t.Context(), a, ref(t, "ours:1")); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(s.path(fileIndex))
	if !strings.Contains(string(text), `"org.example.x":"y"`) {
		t.Errorf("lost an annotation: %s", text)
	}
	if _, err := s.Remove(t.Context(), "theirs", RemoveOptions{}); err != nil {
		t.Error(err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"ours:1"}) {
		t.Errorf("%q", got)
	}
}

func TestTwentyWritersAtOnce(t *testing.T) {
	root := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			s, err := Open(root) // a store each, as processes have
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			l := addLayer(t, s, map[string]string{"f": strconv.Itoa(i % 3)})
			publish(t, s, "app:v"+strconv.Itoa(i), l)
			publish(t, s, "all", l)
			if i%4 == 0 {
				if _, err := s.GC(t.Context(), GCOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := open(t, root)
	if got := names(t, s); len(got) != 21 {
		t.Errorf("%d names: %q", len(got), got)
	}
	fsckClean(t, s)
}
