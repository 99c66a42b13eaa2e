package store

import (
	"os"
	"testing"
	"time"

	"docksmith/lib/oci"
)

func TestNameFile(t *testing.T) {
	s := open(t, t.TempDir())
	ctx := t.Context()
	one := writeImage(t, s, addLayer(t, s, map[string]string{"f": "1"}))
	two := writeImage(t, s, addLayer(t, s, map[string]string{"f": "2"}))
	base, other := ref(t, "base:latest"), ref(t, "other:latest")
	tag := func(d oci.Descriptor, name oci.Ref) {
		t.Helper()
		if err := s.Tag(ctx, d, name); err != nil {
			t.Fatal(err)
		}
	}
	tag(one, base)
	path, err := s.NameFile(ctx, ref(t, "base"))
	if err != nil {
		t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	was := func(what, want string, written bool) {
		t.Helper()
		got, err := os.ReadFile(path)
		if err != nil || string(got) != want {
			t.Errorf("%s: content %q, %v, want %q", what, got, err, want)
		}
		info, err := os.Stat(path)
		if err != nil || info.ModTime().After(old) != written {
			t.Errorf("%s: of %v, %v", what, info.ModTime(), err)
		}
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	was("asked for first", one.Digest.String(), false)
	if again, err := s.NameFile(ctx, base); err != nil || again != path {
		t.Errorf("%s, %v, first %s", again, err, path)
	}
	tag(two, other)
	tag(one, base)
	was("another name's image, and its own again", one.Digest.String(), false)
	tag(two, base)
	was("another image", two.Digest.String(), true)
	if _, err := s.Remove(ctx, "base", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	was("removed", "", true)
}
