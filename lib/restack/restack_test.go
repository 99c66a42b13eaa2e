package restack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docksmith/lib/compare"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// randomStacks is how many stacks are tried; DOCKSMITH_TEST_LONG raises it.
var randomStacks = map[bool]int{false: 60, true: 1000}[os.Getenv("DOCKSMITH_TEST_LONG") != ""]

// member is an entry of a layer with its content.
type member struct {
	layer.Entry
	content string
}

func file(path, content string) member {
	return member{layer.Entry{Path: path, Mode: 0o644}, content}
}

// randomLayer makes entries with few names, so that those of several layers meet:
// files, directories, hard links within the layer, whiteouts and opaque directories.
func randomLayer(r *rand.Rand) []member {
	pick := func(names string) string { return string(names[r.IntN(len(names))]) }
	dir := func() string {
		s := ""
		for range r.IntN(3) {
			s += pick("abc") + "/"
		}
		return s
	}
	first := file(dir()+pick("xyz"), "first")
	list := []member{first}
	for range r.IntN(14) {
		m := file(dir()+pick("xyz"), fmt.Sprint("content ", r.IntN(20)))
		m.Mode = []uint32{0o644, 0o755, 0o4711}[r.IntN(3)]
		m.ModTime = time.Unix(int64(r.IntN(3)), 0)
		switch r.IntN(10) {
		case 0, 1:
			m.Path, m.Type, m.Mode = dir()+pick("abc"), layer.TypeDir, []uint32{0o755, 0o700}[r.IntN(2)]
		case 2:
			m.Type, m.Linkname = layer.TypeSymlink, []string{"a", "../b", "/c"}[r.IntN(3)]
		case 3, 4:
			m.Type, m.Linkname = layer.TypeLink, first.Path
		case 5:
			m.Type = layer.TypeWhiteout
		case 6:
			m.Path, m.Type = dir()+pick("abc"), layer.TypeWhiteout
		case 7:
			m.Path, m.Type = dir()+pick("abc"), layer.TypeOpaque
		default:
			first = m
		}
		list = append(list, m)
	}
	return list
}

func addLayer(t *testing.T, s *store.Store, members ...member) oci.Layer {
	t.Helper()
	var b bytes.Buffer
	w := layer.NewWriter(&b)
	for _, m := range members {
		e := m.Entry
		if e.Type == layer.TypeFile {
			e.Size = int64(len(m.content))
		}
		if err := w.WriteHeader(&e); err != nil {
			t.Fatal(err)
		}
		if e.Type == layer.TypeFile {
			if _, err := io.WriteString(w, m.content); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	l, err := s.AddLayer(context.Background(), &b, store.LayerOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func newStore(t *testing.T) *store.Store {
	t.Helper()
	s, err := store.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func addImage(t *testing.T, s *store.Store, cfg oci.Image, layers ...oci.Layer) *store.Image {
	t.Helper()
	cfg.Platform = oci.HostPlatform()
	desc, err := s.WriteImage(context.Background(), cfg, layers, nil)
	if err != nil {
		t.Fatal(err)
	}
	return readImage(t, s, desc)
}

func readImage(t *testing.T, s *store.Store, desc oci.Descriptor) *store.Image {
	t.Helper()
	img, err := s.Image(desc.Digest.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// flat is the merged tree of layers as a tar.
func flat(s *store.Store, layers []oci.Layer) ([]byte, error) {
	var open []func() (io.ReadCloser, error)
	for _, l := range layers {
		open = append(open, func() (io.ReadCloser, error) { return s.OpenLayer(l) })
	}
	var b bytes.Buffer
	err := layer.Flatten(context.Background(), &b, open, layer.FlattenOptions{})
	return b.Bytes(), err
}

// TestRandomStacks: the flattened tree of a squashed or rebased image is, byte
// for byte, that of the layers it was made of.
func TestRandomStacks(t *testing.T) {
	ctx := context.Background()
	squashes, rebases := 0, 0
	for seed := range randomStacks {
		r := rand.New(rand.NewPCG(2, uint64(seed)))
		s := newStore(t)
		var layers []oci.Layer
		for range 2 + r.IntN(4) {
			layers = append(layers, addLayer(t, s, randomLayer(r)...))
		}
		want, err := flat(s, layers)
		if err != nil {
			continue // a file with something in it, or a link to nothing
		}
		img := addImage(t, s, oci.Image{}, layers...)
		for keep := range layers {
			desc, err := Squash(ctx, s, img, SquashOptions{Keep: keep})
			if err != nil {
				t.Fatalf("seed %d, keep %d: %v", seed, keep, err)
			}
			short := readImage(t, s, desc).Layers
			if len(short) != keep+1 || !slices.Equal(oci.DiffIDs(short[:keep]), oci.DiffIDs(layers[:keep])) {
				t.Fatalf("seed %d, keep %d: %d layers", seed, keep, len(short))
			}
			if got, err := flat(s, short); err != nil || !bytes.Equal(got, want) {
				t.Errorf("seed %d, keep %d: another tree, %v", seed, keep, err)
			}
			squashes++
		}
		base := addImage(t, s, oci.Image{}, addLayer(t, s, randomLayer(r)...), addLayer(t, s, randomLayer(r)...))
		below := 1 + r.IntN(len(layers)-1)
		moved := append(slices.Clone(base.Layers), layers[below:]...)
		if want, err = flat(s, moved); err != nil {
			continue
		}
		res, err := Rebase(ctx, s, img, addImage(t, s, oci.Image{}, layers[:below]...), base)
		if err != nil {
			t.Fatalf("seed %d: rebase: %v", seed, err)
		}
		got := readImage(t, s, res.Descriptor)
		if tree, err := flat(s, got.Layers); err != nil || !bytes.Equal(tree, want) {
			t.Errorf("seed %d: rebased: another tree, %v", seed, err)
		}
		for i, l := range got.Layers {
			if l.Digest != moved[i].Digest {
				t.Errorf("seed %d: rebased: layer %d is another blob", seed, i+1)
			}
		}
		rebases++
	}
	t.Logf("%d stacks, %d squashed images and %d rebased ones", randomStacks, squashes, rebases)
	if squashes < randomStacks/2 || rebases < randomStacks/5 {
		t.Errorf("%d and %d of %d stacks: the test tests little", squashes, rebases, randomStacks)
	}
}

func TestProofFails(t *testing.T) {
	s := newStore(t)
	a, b := addLayer(t, s, file("a", "1")), addLayer(t, s, file("a", "2"))
	err := prove(context.Background(), s, addImage(t, s, oci.Image{}, a).Descriptor, []oci.Layer{b})
	if !errors.Is(err, ErrNotProven) || !strings.Contains(err.Error(), `changed "/a" [content]`) {
		t.Errorf("got %v, want that /a is another", err)
	}
}

func TestSquashKeepsInstructions(t *testing.T) {
	s := newStore(t)
	at := time.Unix(7, 0).UTC()
	cfg := oci.Image{
		Created: &at, Author: "me", Config: oci.ImageConfig{Env: []string{"A=1"}},
		History: []oci.History{{CreatedBy: "base"}, {CreatedBy: "ENV", EmptyLayer: true}, {CreatedBy: "COPY"}, {CreatedBy: "RUN"}},
	}
	img := addImage(t, s, cfg, addLayer(t, s, file("a", "1")), addLayer(t, s, file("b", "1")), addLayer(t, s, file("c", "1")))
	desc, err := Squash(context.Background(), s, img, SquashOptions{Keep: 1})
	if err != nil {
		t.Fatal(err)
	}
	got := readImage(t, s, desc)
	want := []oci.History{
		{CreatedBy: "base"}, {CreatedBy: "ENV", EmptyLayer: true}, {CreatedBy: "COPY", EmptyLayer: true}, {CreatedBy: "RUN", EmptyLayer: true},
		{Created: &at, CreatedBy: "ds-store squash", Comment: "2 layers in one"},
	}
	if diff := cmp.Diff(want, got.Config.History); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for d := range compare.Images(context.Background(), compare.Stored(s, img), compare.Stored(s, got), compare.Options{Only: []compare.Kind{compare.Config, compare.Tree}}) {
		t.Errorf("%s %s%s", d.Change, d.Key, d.Path)
	}
	again, err := Squash(context.Background(), s, img, SquashOptions{Keep: 1})
	if err != nil || again.Digest != desc.Digest {
		t.Errorf("again: got %s, %v; want the same", again.Digest, err)
	}
	one, err := Squash(context.Background(), s, got, SquashOptions{Keep: 1})
	if err != nil || one.Digest != desc.Digest {
		t.Errorf("one layer: got %s, %v; want the image itself", one.Digest, err)
	}
	if _, err := Squash(context.Background(), s, img, SquashOptions{Keep: 4}); err == nil {
		t.Error("four layers of three were kept")
	}
}

func TestRebase(t *testing.T) {
	s := newStore(t)
	entry := func(by string, empty bool) oci.History { return oci.History{CreatedBy: by, EmptyLayer: empty} }
	oldCfg := oci.Image{
		Config:  oci.ImageConfig{Env: []string{"PATH=/bin", "OS=1", "GONE=1"}, Cmd: []string{"sh"}, User: "u", Labels: map[string]string{"v": "1"}},
		History: []oci.History{entry("old", false), entry("ENV OS=1", true)},
	}
	old := addImage(t, s, oldCfg, addLayer(t, s, file("etc", "1"), file("lib", "1")))
	newCfg := oldCfg
	newCfg.Config = oci.ImageConfig{Env: []string{"OS=2", "PATH=/bin:/sbin", "GONE=1", "MORE=1"}, Cmd: []string{"ash"}, User: "v", Labels: map[string]string{"v": "2"}}
	newCfg.History = []oci.History{entry("new", false), entry("ENV OS=2", true), entry("ENV MORE=1", true)}
	base := addImage(t, s, newCfg, addLayer(t, s, file("etc", "2"), file("lib", "2")))
	imgCfg := oldCfg
	imgCfg.Config = oci.ImageConfig{Env: []string{"PATH=/app:/bin", "OS=1", "OWN=1"}, Cmd: []string{"sh"}, User: "app", Labels: map[string]string{"v": "1", "own": "1"}}
	imgCfg.History = append(slices.Clone(oldCfg.History), entry("COPY", false), entry("USER app", true))
	app := addLayer(t, s, file("lib", "app"), file("app", "1"))
	img := addImage(t, s, imgCfg, old.Layers[0], app)

	res, err := Rebase(context.Background(), s, img, old, base)
	if err != nil {
		t.Fatal(err)
	}
	got := readImage(t, s, res.Descriptor)
	want := oci.ImageConfig{
		Env: []string{"OS=2", "PATH=/app:/bin", "MORE=1", "OWN=1"}, Cmd: []string{"ash"}, User: "app",
		Labels: map[string]string{"v": "2", "own": "1"},
	}
	if diff := cmp.Diff(want, got.Config.Config); diff != "" {
		t.Errorf("config (-want +got):\n%s", diff)
	}
	wantHistory := append(slices.Clone(newCfg.History), entry("COPY", false), entry("USER app", true))
	if diff := cmp.Diff(wantHistory, got.Config.History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}
	if !slices.Equal(res.Hidden, []string{"lib"}) {
		t.Errorf("hidden: %q, want lib", res.Hidden)
	}

	// A history that was rewritten is divided by its layers.
	rewritten := imgCfg
	rewritten.History = []oci.History{entry("everything before", false), entry("COPY", false)}
	res, err = Rebase(context.Background(), s, addImage(t, s, rewritten, old.Layers[0], app), old, base)
	if err != nil {
		t.Fatal(err)
	}
	wantHistory = append(slices.Clone(newCfg.History), entry("COPY", false))
	if diff := cmp.Diff(wantHistory, readImage(t, s, res.Descriptor).Config.History); diff != "" {
		t.Errorf("history (-want +got):\n%s", diff)
	}

	if _, err := Rebase(context.Background(), s, img, base, old); err == nil || !strings.Contains(err.Error(), "its layer 1 is "+old.Layers[0].DiffID.String()) {
		t.Errorf("got %v, want that it does not lie on it", err)
	}
}
