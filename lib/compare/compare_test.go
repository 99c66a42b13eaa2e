package compare

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// file is an entry with its content, by default 0644 and root's.
func file(path, content string) layer.Source {
	return layer.Source{
		Entry: layer.Entry{Path: path, Mode: 0o644, Size: int64(len(content))},
		Open:  func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(content)), nil },
	}
}

func entry(e layer.Entry) layer.Source { return layer.Source{Entry: e} }

func dir(path string) layer.Source {
	return entry(layer.Entry{Path: path, Type: layer.TypeDir, Mode: 0o755})
}

func link(path, to string) layer.Source {
	return entry(layer.Entry{Path: path, Type: layer.TypeLink, Linkname: to})
}

func whiteout(path string) layer.Source {
	return entry(layer.Entry{Path: path, Type: layer.TypeWhiteout})
}

func changed(s layer.Source, change func(*layer.Entry)) layer.Source {
	change(&s.Entry)
	return s
}

// opened counts how often layers were read.
type opened map[digest.Digest]int

// stack packs layers; each argument is one.
func (o opened) stack(t *testing.T, layers ...[]layer.Source) []Source {
	t.Helper()
	var list []Source
	for _, entries := range layers {
		var b bytes.Buffer
		if err := layer.Pack(context.Background(), &b, "", entries, layer.PackOptions{KeepTimes: true}); err != nil {
			t.Fatal(err)
		}
		list = append(list, o.source(b.Bytes()))
	}
	return list
}

func (o opened) source(raw []byte) Source {
	d := digest.FromBytes(raw)
	return Source{
		Layer: oci.Layer{Descriptor: oci.Descriptor{MediaType: oci.MediaTypeLayer, Digest: d, Size: int64(len(raw))}, DiffID: d},
		Open: func() (io.ReadCloser, error) {
			o[d]++
			return io.NopCloser(bytes.NewReader(raw)), nil
		},
	}
}

// image is an image over layers.
func image(t *testing.T, cfg oci.Image, layers []Source) *Image {
	t.Helper()
	m := &Image{Layers: layers, config: cfg}
	var descs []oci.Descriptor
	for _, l := range layers {
		descs = append(descs, l.Descriptor)
		m.config.RootFS.DiffIDs = append(m.config.RootFS.DiffIDs, l.DiffID)
	}
	var err error
	if m.Config, err = oci.Marshal(m.config); err != nil {
		t.Fatal(err)
	}
	config := oci.Descriptor{MediaType: oci.MediaTypeConfig, Digest: digest.FromBytes(m.Config), Size: int64(len(m.Config))}
	if m.Manifest, err = oci.Marshal(oci.NewManifest(config, descs, nil)); err != nil {
		t.Fatal(err)
	}
	m.Descriptor = oci.Descriptor{MediaType: oci.MediaTypeManifest, Digest: digest.FromBytes(m.Manifest), Size: int64(len(m.Manifest))}
	return m
}

// brief is a difference in a few words.
func brief(d Difference) string {
	s := fmt.Sprintf("%s %s", d.Change, d.Kind)
	if d.Index > 0 {
		s += fmt.Sprint(" ", d.Index)
	}
	if d.Key+d.Path != "" {
		s += " " + d.Key + d.Path
	}
	if len(d.What) > 0 {
		s += fmt.Sprint(" ", d.What)
	}
	for _, side := range []any{d.Old, d.New} {
		if v, ok := side.(json.RawMessage); ok {
			s += " " + string(v)
		}
	}
	return s
}

func check(t *testing.T, seq func(func(Difference, error) bool), want ...string) {
	t.Helper()
	var got []string
	for d, err := range seq {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, brief(d))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestTrees(t *testing.T) {
	base := []layer.Source{
		dir("etc"), file("etc/a", "1"), file("etc/b", "2"), entry(layer.Entry{Path: "lib", Type: layer.TypeSymlink, Linkname: "usr/lib"}),
		dir("usr"), dir("usr/lib"), file("usr/lib/x", "x"),
	}
	cases := []struct {
		name string
		a, b [][]layer.Source
		want []string
	}{
		{"nothing", [][]layer.Source{base}, [][]layer.Source{base}, nil},
		{"content", [][]layer.Source{base, {dir("etc"), file("etc/a", "3")}}, [][]layer.Source{base, {dir("etc"), file("etc/a", "4")}},
			[]string{"changed file etc/a [content]"}},
		{"against the base", [][]layer.Source{base}, [][]layer.Source{base, {file("etc/a", "4")}}, []string{"changed file etc/a [content]"}},
		{"same content again", [][]layer.Source{base}, [][]layer.Source{base, {file("etc/a", "1")}}, nil},
		{"size", [][]layer.Source{base}, [][]layer.Source{base, {file("etc/a", "14")}}, []string{"changed file etc/a [content size]"}},
		{"removed and added", [][]layer.Source{base}, [][]layer.Source{base, {whiteout("etc/b"), file("etc/c", "")}},
			[]string{"deleted file etc/b", "added file etc/c"}},
		{"removed on one side, below a directory", [][]layer.Source{base}, [][]layer.Source{base, {whiteout("etc")}},
			[]string{"deleted file etc", "deleted file etc/a", "deleted file etc/b"}},
		{"through a link", [][]layer.Source{base, {file("usr/lib/x", "y")}}, [][]layer.Source{base, {file("lib/x", "y")}}, nil},
		{"other layers, the same tree", [][]layer.Source{base}, [][]layer.Source{base[:2], base}, nil},
		{"attributes", [][]layer.Source{{file("f", "")}}, [][]layer.Source{{changed(file("f", ""), func(e *layer.Entry) {
			e.Mode, e.UID, e.ModTime, e.Xattrs = 0o600, 7, time.Unix(9, 0), map[string]string{"user.a": "b"}
		})}}, []string{"changed file f [mode owner xattr time]"}},
		{"type", [][]layer.Source{{file("f", "")}}, [][]layer.Source{{changed(dir("f"), func(e *layer.Entry) { e.Mode = 0o644 })}}, []string{"changed file f [type]"}},
		{"symbolic link", [][]layer.Source{base}, [][]layer.Source{base, {entry(layer.Entry{Path: "lib", Type: layer.TypeSymlink, Linkname: "usr"})}},
			[]string{"changed file lib [link]"}},
		{"device", [][]layer.Source{{entry(layer.Entry{Path: "d", Type: layer.TypeChar, Major: 1})}}, [][]layer.Source{{entry(layer.Entry{Path: "d", Type: layer.TypeChar, Major: 2})}},
			[]string{"changed file d [device]"}},
		{"hard link or copy", [][]layer.Source{{file("a", "1"), link("b", "a")}}, [][]layer.Source{{file("a", "1"), file("b", "1")}},
			[]string{"changed file b [link]"}},
		{"first name gone", [][]layer.Source{{file("a", "1"), link("b", "a")}}, [][]layer.Source{{file("a", "1"), link("b", "a")}, {whiteout("a")}},
			[]string{"deleted file a"}},
		{"implied directory", [][]layer.Source{{file("a/b", "")}}, [][]layer.Source{{dir("a"), file("a/b", "")}}, nil},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := opened{}
			check(t, Trees(context.Background(), o.stack(t, c.a...), o.stack(t, c.b...)), c.want...)
			back := []string(nil)
			for _, w := range c.want {
				w = strings.NewReplacer("added", "deleted", "deleted", "added").Replace(w)
				back = append(back, w)
			}
			check(t, Trees(context.Background(), o.stack(t, c.b...), o.stack(t, c.a...)), back...)
		})
	}
}

// TestFileNamesItsLinks: a difference says with which other name a file is one.
func TestFileNamesItsLinks(t *testing.T) {
	o := opened{}
	a := o.stack(t, []layer.Source{file("a", "1"), link("b", "a"), link("c", "a")})
	b := o.stack(t, []layer.Source{file("b", "1"), link("c", "b")})
	for d, err := range Trees(context.Background(), b, a) {
		if err != nil {
			t.Fatal(err)
		}
		f := d.New.(File)
		if want := map[string]string{"a": "", "b": "a", "c": "a"}[d.Path]; d.Path != "a" || f.Linkname != want || f.Digest != digest.FromString("1") {
			t.Errorf("%s: got %+v, want a alone, added", d.Path, f)
		}
	}
	for d := range Trees(context.Background(), a, o.stack(t, []layer.Source{file("a", "1"), file("b", "1"), link("c", "b")})) {
		if was, is := d.Old.(File).Linkname, d.New.(File).Linkname; was != "a" || is != map[string]string{"b": "", "c": "b"}[d.Path] {
			t.Errorf("%s: linked with %q, then %q", d.Path, was, is)
		}
	}
}

// TestTreesReadOnlyWhatDiffers: the layers at the bottom are not opened when
// nothing in them can matter, and their content only where it does.
func TestTreesReadOnlyWhatDiffers(t *testing.T) {
	base := []layer.Source{dir("etc"), file("etc/a", "1"), file("etc/b", "2"), entry(layer.Entry{Path: "l", Type: layer.TypeSymlink, Linkname: "etc"})}
	cases := []struct {
		name  string
		a, b  []layer.Source
		opens int // of the base
		want  []string
	}{
		{"same names", []layer.Source{dir("etc"), file("etc/a", "3")}, []layer.Source{dir("etc"), file("etc/a", "4")}, 0, []string{"changed file etc/a [content]"}},
		{"another name", []layer.Source{dir("etc"), file("etc/c", "3")}, []layer.Source{dir("etc"), file("etc/d", "3")}, 1, []string{"deleted file etc/c", "added file etc/d"}},
		{"content below in question", []layer.Source{file("etc/c", "3")}, []layer.Source{file("etc/a", "1")}, 2, []string{"deleted file etc/c"}},
		{"perhaps through a link", []layer.Source{file("l/a", "3")}, []layer.Source{file("l/a", "4")}, 1, []string{"changed file etc/a [content]"}},
		{"link to below", []layer.Source{dir("etc"), link("etc/c", "etc/a"), file("etc/d", "1")}, []layer.Source{dir("etc"), link("etc/c", "etc/a"), file("etc/d", "2")}, 1,
			[]string{"changed file etc/d [content]"}},
		{"mark through a link", []layer.Source{dir("etc"), file("etc/a", "3"), whiteout("l/b")}, []layer.Source{dir("etc"), file("etc/a", "4"), whiteout("l/b")}, 1,
			[]string{"changed file etc/a [content]"}},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			o := opened{}
			a, b := o.stack(t, base, c.a), o.stack(t, base, c.b)
			check(t, Trees(context.Background(), a, b), c.want...)
			if got := o[a[0].DiffID]; got != c.opens {
				t.Errorf("the base was opened %d times, want %d", got, c.opens)
			}
		})
	}
}

func TestLayers(t *testing.T) {
	o := opened{}
	one := o.stack(t, []layer.Source{file("a", "1"), file("b", "2"), whiteout("c")})[0]
	other := o.stack(t, []layer.Source{file("a", "3"), file("b", "2"), file("c", "")})[0]
	check(t, Layers(context.Background(), one, one))
	check(t, Layers(context.Background(), one, other), "changed entry a [content]", "deleted entry c", "added entry c")

	recompressed := one
	recompressed.Digest = other.Digest
	check(t, Layers(context.Background(), one, recompressed), "changed layer [compressor]")

	// The same entries in other places, and with other padding.
	raw := new(bytes.Buffer)
	if err := layer.Pack(context.Background(), raw, "", []layer.Source{file("a", "1"), file("b", "2")}, layer.PackOptions{KeepTimes: true}); err != nil {
		t.Fatal(err)
	}
	const entrySize = 1024
	swapped := slices.Concat(raw.Bytes()[entrySize:2*entrySize], raw.Bytes()[:entrySize], raw.Bytes()[2*entrySize:])
	check(t, Layers(context.Background(), o.source(raw.Bytes()), o.source(swapped)), "changed layer [order]")
	padded := slices.Concat(raw.Bytes(), make([]byte, 512))
	check(t, Layers(context.Background(), o.source(raw.Bytes()), o.source(padded)), "changed layer [encoding]")
}

func TestImages(t *testing.T) {
	o := opened{}
	at := time.Unix(0, 0).UTC()
	cfg := func(env ...string) oci.Image {
		return oci.Image{
			Created: &at, Platform: oci.Platform{OS: "linux", Architecture: "amd64"},
			Config:  oci.ImageConfig{Env: env, Labels: map[string]string{"a.b": "1"}},
			History: []oci.History{{CreatedBy: "base"}, {CreatedBy: "ENV " + strings.Join(env, " "), EmptyLayer: true}, {CreatedBy: "COPY"}},
		}
	}
	v1 := image(t, cfg("PATH=/bin", "V=1"), o.stack(t, []layer.Source{dir("etc")}, []layer.Source{file("f", "1")}))
	v2 := image(t, cfg("PATH=/bin", "V=2", "W="), o.stack(t, []layer.Source{dir("etc")}, []layer.Source{file("f", "2")}))
	check(t, Images(context.Background(), v1, v1, Options{}))
	check(t, Images(context.Background(), v1, v2, Options{}),
		`changed config config.Env.V "1" "2"`, `added config config.Env.W ""`,
		"changed history 2", "deleted layer 2", "added layer 2", "changed file f [content]")
	clear(o)
	check(t, Images(context.Background(), v1, v2, Options{Only: []Kind{Layer}}), "deleted layer 2", "added layer 2")
	if len(o) > 0 {
		t.Errorf("layers were read, and nobody had asked for files: %v", o)
	}

	labels := cfg("PATH=/bin", "V=1")
	labels.Config.Labels = map[string]string{"a.b": "2", "c": "3"}
	check(t, Images(context.Background(), v1, image(t, labels, v1.Layers), Options{}),
		`changed config config.Labels."a.b" "1" "2"`, `added config config.Labels.c "3"`)

	// Documents that say the same in other bytes are not the same image.
	check(t, Images(context.Background(), v1, image(t, cfg("V=1", "PATH=/bin"), v1.Layers), Options{Only: []Kind{Config}}))
	spaced := *v1
	spaced.Manifest = append(slices.Clone(v1.Manifest), ' ')
	for d, err := range Images(context.Background(), v1, &spaced, Options{}) {
		if err != nil || d.Kind != Manifest || !slices.Equal(d.What, []Aspect{Encoding}) {
			t.Errorf("got %v, %v; want the encoding of the manifest", brief(d), err)
		}
	}

	// The same files in another order: the layer is another, and it is said why.
	raw := tarOf(t, []layer.Source{file("a", "1"), file("b", "2")})
	turned := tarOf(t, []layer.Source{file("b", "2"), file("a", "1")})
	check(t, Images(context.Background(), image(t, cfg(), []Source{o.source(raw)}), image(t, cfg(), []Source{o.source(turned)}), Options{}),
		"deleted layer 1", "added layer 1", "changed layer 1 [order]")

	// Docker's archives have no manifest: how layers are compressed says nothing.
	recompressed := *v1
	recompressed.Layers = slices.Clone(v1.Layers)
	recompressed.Layers[0].Digest = v2.Layers[1].Digest
	check(t, Images(context.Background(), v1, &recompressed, Options{}), "changed layer 1 [compressor]")
	recompressed.Manifest = nil
	check(t, Images(context.Background(), v1, &recompressed, Options{}))
}

// TestDeepDocument: thousands of levels are one value, not thousands of readings.
func TestDeepDocument(t *testing.T) {
	deep := func(s string) []byte {
		const levels = 9000
		return []byte(strings.Repeat(`{"a":`, levels) + `"` + s + `"` + strings.Repeat("}", levels))
	}
	n := 0
	out := &sink{yield: func(d Difference, _ error) bool {
		if n++; d.Key != "a.a.a.a.a.a.a.a.a" {
			t.Errorf("key %.40q", d.Key)
		}
		return true
	}}
	none := func(map[string]json.RawMessage) error { return nil }
	if err := documents(out, Config, deep("1"), deep("2"), none); err != nil || n != 1 {
		t.Errorf("%d differences, %v; want one", n, err)
	}
}

func TestCancel(t *testing.T) {
	o := opened{}
	a, b := o.stack(t, []layer.Source{file("a", strings.Repeat("1", 1<<20))}), o.stack(t, []layer.Source{file("a", "2")})
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	for _, err := range Trees(ctx, a, b) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("got %v, want cancelled", err)
		}
	}
}

func TestHunks(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want []hunk
	}{
		{"", "", nil},
		{"abc", "abc", nil},
		{"abc", "axc", []hunk{{1, 2, 1, 2}}},
		{"", "ab", []hunk{{0, 0, 0, 2}}},
		{"ab", "", []hunk{{0, 2, 0, 0}}},
		{"abcde", "xbdey", []hunk{{0, 1, 0, 1}, {2, 3, 2, 2}, {5, 5, 4, 5}}},
	} {
		got := hunks(len(c.a), len(c.b), func(i, j int) bool { return c.a[i] == c.b[j] })
		if !slices.Equal(got, c.want) {
			t.Errorf("%q to %q: got %v, want %v", c.a, c.b, got, c.want)
		}
	}
}

func TestErrorIsTheLast(t *testing.T) {
	o := opened{}
	good := o.stack(t, []layer.Source{file("a", "1")})[0]
	cut := o.source([]byte("no tar at all"))
	n := 0
	for _, err := range Trees(context.Background(), []Source{good}, []Source{cut}) {
		n++
		if err == nil || !strings.Contains(err.Error(), "compare: read layer sha256:") {
			t.Errorf("got %v, want an error that names the layer", err)
		}
	}
	if n != 1 {
		t.Errorf("%d values, want the error alone", n)
	}
}
