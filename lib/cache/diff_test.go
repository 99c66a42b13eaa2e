package cache

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

func preimageOf(components ...Component) *Preimage { return &Preimage{Components: components} }

func value(name, value string) Component { return Component{Name: name, Value: value} }

func filesOf(list ...File) Component { return Component{Name: "files", Files: list} }

func TestDiff(t *testing.T) {
	f := File{Path: "f", Type: "file", Mode: 0o644, Hash: Hash{1}}
	with := func(edit func(*File)) File {
		g := f
		edit(&g)
		return g
	}
	tests := []struct {
		name     string
		old, new *Preimage
		want     string
	}{
		{"equal", preimageOf(value("a", "1"), filesOf(f)), preimageOf(value("a", "1"), filesOf(f)), ""},
		{"value", preimageOf(value("a", "1"), value("b", "1")), preimageOf(value("a", "1"), value("b", "2")), "b"},
		{"value to none", preimageOf(value("a", "1")), preimageOf(value("a", "")), "a"},
		{"added", preimageOf(value("a", "1")), preimageOf(value("b", "2"), value("a", "1")), "b (added)"},
		{"removed", preimageOf(value("a", "1"), value("b", "1")), preimageOf(value("a", "1")), "b (removed)"},
		{"order", preimageOf(value("a", "1"), value("b", "2")), preimageOf(value("b", "2"), value("a", "1")), "order"},
		{"same name twice", preimageOf(value("a", "1"), value("a", "2")), preimageOf(value("a", "1"), value("a", "3")), "a"},
		{"one of the same name less", preimageOf(value("a", "1"), value("a", "2")), preimageOf(value("a", "1")), "a (removed)"},
		{"content", preimageOf(filesOf(f)), preimageOf(filesOf(with(func(g *File) { g.Hash = Hash{2} }))), "f (content)"},
		{"mode", preimageOf(filesOf(f)), preimageOf(filesOf(with(func(g *File) { g.Mode = 0o600 }))), "f (mode)"},
		{"owner", preimageOf(filesOf(f)), preimageOf(filesOf(with(func(g *File) { g.Owner = "1:1" }))), "f (owner)"},
		{"xattrs", preimageOf(filesOf(f)), preimageOf(filesOf(with(func(g *File) { g.Xattrs = Xattrs{"user.x": ""} }))), "f (xattrs)"},
		{
			"type", preimageOf(filesOf(f)), preimageOf(filesOf(with(func(g *File) { g.Type, g.Hash, g.Link = "symlink", Hash{}, "x" }))),
			"f (type, content, link)",
		},
		{"file added", preimageOf(filesOf()), preimageOf(filesOf(f)), "f (added)"},
		{"file removed", preimageOf(filesOf(f)), preimageOf(filesOf()), "f (removed)"},
		{"file renamed", preimageOf(filesOf(f)), preimageOf(filesOf(with(func(g *File) { g.Path = "g" }))), "g (added), f (removed)"},
		{
			"files in another order", preimageOf(filesOf(f, with(func(g *File) { g.Path = "g" }))),
			preimageOf(filesOf(with(func(g *File) { g.Path = "g" }), f)), "g (order)",
		},
		{
			"many files", preimageOf(filesOf()),
			preimageOf(filesOf(File{Path: "1"}, File{Path: "2"}, File{Path: "3"}, File{Path: "4"}, File{Path: "5"})),
			"1 (added), 2 (added), 3 (added), 2 more files",
		},
		{
			"one more than is shown", preimageOf(filesOf()),
			preimageOf(filesOf(File{Path: "1"}, File{Path: "2"}, File{Path: "3"}, File{Path: "4"})),
			"1 (added), 2 (added), 3 (added), 4 (added)",
		},
		{
			"a list of none is a component", preimageOf(value("a", "1")),
			preimageOf(value("a", "1"), Component{Name: "files", Files: []File{}}), "files (added)",
		},
	}
	for _, tt := range tests {
		if got := Summary(Diff(tt.old, tt.new)); got != tt.want {
			t.Errorf("%s: %q, want %q", tt.name, got, tt.want)
		}
	}
}

func TestDiffKeepsValues(t *testing.T) {
	got := Diff(preimageOf(value("a", "1"), value("gone", "x")), preimageOf(value("a", "2"), value("new", "y")))
	want := []Change{
		{Component: "a", What: "changed", Old: "1", New: "2"},
		{Component: "new", What: "added", New: "y"},
		{Component: "gone", What: "removed", Old: "x"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
}

// Without files, what only they tell apart is equal, as it is for Seen.
func TestDiffHead(t *testing.T) {
	old := preimageOf(value("a", "1"), value("empty", ""), filesOf(File{Path: "f"}))
	if got := diffHead(old, preimageOf(value("a", "1"))); len(got) > 0 {
		t.Errorf("%+v", got)
	}
	if got := Summary(diffHead(old, preimageOf(value("a", "1"), value("empty", "now not")))); got != "empty" {
		t.Error(got)
	}
	if got := Summary(diffHead(old, preimageOf(value("a", "2")))); got != "a" {
		t.Error(got)
	}
}

// Two pre-images have no difference exactly if they have one key.
func TestDiffAgreesWithKeys(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	random := func() *Preimage {
		p := &Preimage{}
		for range r.IntN(4) {
			if r.IntN(3) > 0 {
				p.Add(fmt.Sprint("c", r.IntN(2)), fmt.Sprint(r.IntN(2)))
				continue
			}
			var files []File
			for range r.IntN(3) {
				files = append(files, File{
					Path: fmt.Sprint(r.IntN(2)), Mode: uint32(r.IntN(2)), Hash: Hash{byte(r.IntN(2))},
					Owner: []string{"", "1:1"}[r.IntN(2)],
				})
			}
			p.AddFiles("files", files)
		}
		return p
	}
	var all []*Preimage
	for range 400 {
		all = append(all, random())
	}
	equal := 0
	for _, a := range all {
		for _, b := range all {
			same := a.Key() == b.Key()
			if same {
				equal++
			}
			if got := Diff(a, b); (len(got) == 0) != same {
				t.Fatalf("same key: %v, but of\n%+v\n%+v\nthe difference is %+v", same, a, b, got)
			}
		}
	}
	if equal <= len(all) {
		t.Error("no two of them were equal")
	}
	if slices.ContainsFunc(all, func(p *Preimage) bool { return len(p.Components) == 3 }) == false {
		t.Error("none is long")
	}
}
