package store

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// hostile are archives that must be refused, each with words of the reason.
var hostile = []struct {
	name string
	make func(*foreign)
	want string
}{
	{"flipped byte in a layer", func(f *foreign) { f.flip(f.image("a:1", "x", host()), oci.MediaTypeLayerGzip) }, "does not match"},
	{"flipped byte in a blob nobody needs", func(f *foreign) {
		f.image("a:1", "x", host())
		d := f.blob("", []byte("stray"))
		f.files[blobFile(d.Digest)] = []byte("strax")
	}, "does not match"},
	{"missing layer", func(f *foreign) { f.drop(f.image("a:1", "x", host()), oci.MediaTypeLayerGzip) }, "not found"},
	{"missing config", func(f *foreign) { f.drop(f.image("a:1", "x", host()), oci.MediaTypeConfig) }, "not found"},
	{"wrong size in the index", func(f *foreign) { f.image("a:1", "x", host()); f.index[0].Size++ }, "announced"},
	{"negative size", func(f *foreign) { f.image("a:1", "x", host()); f.index[0].Size = -1 }, "size -1"},
	{"digest that is a path", func(f *foreign) { f.image("a:1", "x", host()); f.index[0].Digest = "sha256:../../../etc/passwd" }, "hexadecimal"},
	{"upper-case digest", func(f *foreign) {
		f.image("a:1", "x", host())
		f.index[0].Digest = digest.Digest("sha256:" + strings.ToUpper(f.index[0].Digest.Encoded()))
	}, "hexadecimal"},
	{"short digest", func(f *foreign) { f.image("a:1", "x", host()); f.index[0].Digest = f.index[0].Digest[:40] }, "hexadecimal"},
	{"other algorithm", func(f *foreign) {
		f.image("a:1", "x", host())
		f.index[0].Digest = digest.Digest("sha512:" + strings.Repeat("a", 128))
	}, "sha256"},
	{"diff ID of another content", func(f *foreign) {
		l := f.blob(oci.MediaTypeLayerGzip, gzipped(f.t, makeTar(f.t, map[string]string{"a": "b"})))
		f.manifest("a:1", host(), []digest.Digest{digest.FromString("other")}, l)
	}, "diff ID"},
	{"more diff IDs than layers", func(f *foreign) {
		f.manifest("a:1", host(), []digest.Digest{digest.FromString("x")})
	}, "0 layers and 1 diff IDs"},
	{"history of too many layers", func(f *foreign) {
		c := f.json(oci.MediaTypeConfig, oci.Image{Platform: host(), RootFS: oci.RootFS{Type: "layers"}, History: []oci.History{{}}})
		f.index = append(f.index, f.json(oci.MediaTypeManifest, oci.NewManifest(c, nil, nil)))
	}, "history"},
	{"layer that is no tar", func(f *foreign) {
		raw := []byte(strings.Repeat("no tar ", 200))
		f.manifest("a:1", host(), []digest.Digest{digest.FromBytes(raw)}, f.blob(oci.MediaTypeLayerGzip, gzipped(f.t, raw)))
	}, "tar"},
	{"layer that is JSON", func(f *foreign) {
		f.manifest("a:1", host(), []digest.Digest{digest.FromString("")}, f.blob(oci.MediaTypeLayer, []byte("{}")))
	}, "not a layer"},
	{"cut layer", func(f *foreign) {
		raw := makeTar(f.t, map[string]string{"a": strings.Repeat("b", 5000)})
		cut := gzipped(f.t, raw)
		cut = cut[:len(cut)-9]
		f.manifest("a:1", host(), []digest.Digest{digest.FromBytes(raw)}, f.blob(oci.MediaTypeLayerGzip, cut))
	}, "EOF"},
	{"manifest that is an index too", func(f *foreign) {
		d := f.blob(oci.MediaTypeManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[],"manifests":[]}`))
		f.index = []oci.Descriptor{d}
	}, "another kind"},
	{"index announced as manifest", func(f *foreign) {
		d := f.json(oci.MediaTypeIndex, oci.NewIndex(nil))
		d.MediaType = oci.MediaTypeManifest
		f.index = []oci.Descriptor{d}
	}, "another kind"},
	{"member given twice", func(f *foreign) {
		d := f.blob(oci.MediaTypeManifest, []byte(`{"schemaVersion":2,"config":{},"layers":[],"Layers":[]}`))
		f.index = []oci.Descriptor{d}
	}, "twice"},
	{"index with layers", func(f *foreign) {
		f.files["index.json"] = []byte(`{"schemaVersion":2,"manifests":[],"layers":[]}`)
	}, "another kind"},
	{"cyclic index", func(f *foreign) {
		// A true cycle needs a collision; a chain that never ends is as bad.
		d := f.json(oci.MediaTypeIndex, oci.NewIndex([]oci.Descriptor{f.image("", "x", host())}))
		for range 20 {
			d = f.json(oci.MediaTypeIndex, oci.NewIndex([]oci.Descriptor{d}))
		}
		f.index = []oci.Descriptor{d}
	}, "too deep"},
	{"empty index", func(f *foreign) { f.index = []oci.Descriptor{f.json(oci.MediaTypeIndex, oci.NewIndex(nil))} }, "empty index"},
	{"no image", func(f *foreign) {}, "no image"},
	{"huge index.json", func(f *foreign) { f.files["index.json"] = bytes.Repeat([]byte(" "), oci.MaxDocument+1) }, "at most"},
	{"deep JSON", func(f *foreign) {
		f.files["index.json"] = []byte(`{"manifests":` + strings.Repeat("[", 100_000) + strings.Repeat("]", 100_000) + `}`)
	}, "depth"},
	{"unknown layout version", func(f *foreign) {
		f.image("a:1", "x", host())
		f.files["oci-layout"] = []byte(`{"imageLayoutVersion":"9"}`)
	}, "version"},
	{"artifact", func(f *foreign) {
		c := f.blob("application/vnd.example+json", []byte("{}"))
		f.index = []oci.Descriptor{f.json(oci.MediaTypeManifest, oci.NewManifest(c, nil, nil))}
	}, "not an image"},
	{"name with a path", func(f *foreign) { f.image("../../../x:1", "x", host()) }, "../../../x:1"},
	{"name that is an option", func(f *foreign) { f.image("--force:1", "x", host()) }, "--force"},
	{"name with an escape", func(f *foreign) { f.image("a\x1b[31m:1", "x", host()) }, "reference"},
	{"two images of one name", func(f *foreign) {
		for _, name := range []string{"a:1", "b:1", "a:1"} {
			f.image(name, fmt.Sprint(len(f.index)), host())
		}
	}, "two images are called a:1"},
	{"two images of one name in docker's format", func(f *foreign) {
		f.files, _ = dockerFiles(f.t)
		other := f.json("", oci.Image{Platform: host(), RootFS: oci.RootFS{Type: "layers"}})
		var list []map[string]any
		if err := json.Unmarshal(f.files["manifest.json"], &list); err != nil {
			f.t.Fatal(err)
		}
		list = append(list, map[string]any{"Config": blobFile(other.Digest), "RepoTags": list[0]["RepoTags"], "Layers": []string{}})
		f.files["manifest.json"], _ = json.Marshal(list)
		f.files["index.json"] = nil
	}, "two images are called"},
	{"docker config of another ID", func(f *foreign) {
		files, id := dockerFiles(f.t)
		f.files = files
		f.files[id.Encoded()+".json"] = append(f.files[id.Encoded()+".json"], ' ')
		f.files["index.json"] = nil
	}, "does not match"},
	{"docker layer of another content", func(f *foreign) {
		f.files, _ = dockerFiles(f.t)
		f.files[strings.Repeat("1", 64)+"/layer.tar"] = makeTar(f.t, map[string]string{"f": "other"})
		f.files["index.json"] = nil
	}, "diff ID"},
	{"docker manifest that names what is outside", func(f *foreign) {
		f.files = map[string][]byte{"index.json": nil, "manifest.json": []byte(`[{"Config":"../../../../etc/passwd","Layers":[]}]`)}
	}, "not found"},
}

// find gives the descriptor of the config or layer of an image.
func (f *foreign) find(manifest oci.Descriptor, mediaType string) oci.Descriptor {
	m, err := oci.DecodeManifest(f.files[blobFile(manifest.Digest)], "")
	if err != nil {
		f.t.Fatal(err)
	}
	if mediaType == oci.MediaTypeConfig {
		return m.Config
	}
	return m.Layers[0]
}

func (f *foreign) flip(manifest oci.Descriptor, mediaType string) {
	name := blobFile(f.find(manifest, mediaType).Digest)
	b := bytes.Clone(f.files[name])
	b[len(b)/2] ^= 1
	f.files[name] = b
}

func (f *foreign) drop(manifest oci.Descriptor, mediaType string) {
	delete(f.files, blobFile(f.find(manifest, mediaType).Digest))
}

func TestImportRefuses(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	before := tree(t, s)
	for _, tt := range hostile {
		t.Run(tt.name, func(t *testing.T) {
			f := newForeign(t)
			tt.make(f)
			_, err := s.Import(t.Context(), bytes.NewReader(f.archive()), ImportOptions{})
			if err == nil {
				t.Fatal("imported")
			}
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, tt.want)
			}
			if after := tree(t, s); !slices.Equal(before, after) {
				t.Errorf("the store changed:\n%s", strings.Join(after, "\n"))
			}
		})
	}
}

func TestImportRefusesInputs(t *testing.T) {
	f := newForeign(t)
	f.image("a:1", strings.Repeat("x", 10_000), host())
	whole := f.archive()
	s := open(t, t.TempDir())
	before := tree(t, s)
	for name, in := range map[string][]byte{
		"empty":           nil,
		"text":            []byte("hello"),
		"cut archive":     whole[:len(whole)/2],
		"no end mark":     whole[:len(whole)-1024],
		"cut gzip":        gzipped(t, whole)[:500],
		"empty tar":       make([]byte, 1024),
		"garbage in gzip": append(gzipped(t, whole), "garbage"...),
	} {
		if _, err := s.Import(t.Context(), bytes.NewReader(in), ImportOptions{}); err == nil {
			t.Errorf("%s: imported", name)
		}
		if after := tree(t, s); !slices.Equal(before, after) {
			t.Errorf("%s: the store changed:\n%s", name, strings.Join(after, "\n"))
		}
	}
}

func FuzzImport(f *testing.F) {
	for _, tt := range hostile[:8] {
		in := newForeign(f)
		tt.make(in)
		f.Add(in.archive())
	}
	good := newForeign(f)
	good.image("a:1", "x", host())
	f.Add(good.archive())
	docker := newForeign(f)
	docker.files, _ = dockerFiles(f)
	docker.files["index.json"] = nil
	f.Add(docker.archive())
	f.Add(makeTar(f, map[string]string{"bin/": "", "bin/sh": "x"}))
	f.Fuzz(func(t *testing.T, in []byte) {
		s := open(t, t.TempDir())
		got, err := s.Import(t.Context(), io.LimitReader(bytes.NewReader(in), 1<<20), ImportOptions{})
		if err == nil && len(got) == 0 {
			t.Error("nothing imported, and no error")
		}
		fsckClean(t, s)
	})
}
