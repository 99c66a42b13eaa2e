package cache

import (
	"bytes"
	"maps"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
)

// generator makes random pre-images, from few words, so that equal ones and ones
// that nearly are come up often.
type generator struct {
	*rand.Rand
	words []string
}

func newGenerator(t *testing.T) *generator {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	return &generator{rand.New(rand.NewPCG(seed, 1)), []string{
		"", "a", "b", "ab", "\x00", "\x01a", "a\n", "files", "=", "ENV A", "ARG A", "é", "\xff", "\x80\x01", "12:12", "blake3:",
	}}
}

func (g *generator) word() string { return g.words[g.IntN(len(g.words))] }

func (g *generator) hash() (h Hash) {
	h[g.IntN(len(h))] = byte(g.IntN(3))
	return h
}

func (g *generator) file(path string) File {
	f := File{
		Path: path, Type: []string{"", "file", "dir", "symlink"}[g.IntN(4)], Mode: []uint32{0, 0o644, 0o4755, 1<<32 - 1}[g.IntN(4)],
		Owner: g.word(), Link: g.word(), Hash: g.hash(),
	}
	for range g.IntN(3) {
		if f.Xattrs == nil {
			f.Xattrs = Xattrs{}
		}
		f.Xattrs[g.word()] = g.word()
	}
	return f
}

// preimage has components and files of distinct names, as those of steps have.
func (g *generator) preimage() *Preimage {
	p := &Preimage{}
	for _, i := range g.Perm(len(g.words))[:1+g.IntN(6)] {
		if g.IntN(3) > 0 {
			p.Add(g.words[i], g.word())
			continue
		}
		var files []File
		for _, k := range g.Perm(len(g.words))[:g.IntN(5)] {
			files = append(files, g.file(g.words[k]))
		}
		p.AddFiles(g.words[i], files)
	}
	return p
}

func clonePreimage(p *Preimage) *Preimage {
	q := &Preimage{Components: slices.Clone(p.Components)}
	for i := range q.Components {
		c := &q.Components[i]
		c.Files = slices.Clone(c.Files)
		for k := range c.Files {
			c.Files[k].Xattrs = maps.Clone(c.Files[k].Xattrs)
		}
	}
	return q
}

// other is a word that is not this one.
func (g *generator) other(than string) string {
	for {
		if w := g.word(); w != than {
			return w
		}
	}
}

// unused is a name that no component has.
func (g *generator) unused(p *Preimage) string {
	for {
		name := g.word() + g.word()
		if !slices.ContainsFunc(p.Components, func(c Component) bool { return c.Name == name }) {
			return name
		}
	}
}

// mutate changes one thing of p and says what Diff has to find.
func (g *generator) mutate(p *Preimage) Change {
	at := g.IntN(len(p.Components))
	c := &p.Components[at]
	switch g.IntN(5) {
	case 0: // another component
		added := Component{Name: g.unused(p), Value: g.word()}
		p.Components = slices.Insert(p.Components, at, added)
		return Change{Component: added.Name, What: "added", New: added.Value}
	case 1: // one less
		if len(p.Components) > 1 {
			gone := *c
			p.Components = slices.Delete(p.Components, at, at+1)
			return Change{Component: gone.Name, What: "removed", Old: gone.Value, Files: each(gone.Files, "removed")}
		}
	case 2: // the same in another order
		if next := (at + 1) % len(p.Components); next != at {
			p.Components[at], p.Components[next] = p.Components[next], p.Components[at]
			return Change{Component: "order", What: "changed"}
		}
	}
	if c.Files == nil {
		old := c.Value
		c.Value = g.other(old)
		return Change{Component: c.Name, What: "changed", Old: old, New: c.Value}
	}
	return Change{Component: c.Name, What: "changed", Files: []FileChange{g.mutateFiles(c)}}
}

func each(files []File, what string) (list []FileChange) {
	for _, f := range files {
		list = append(list, FileChange{f.Path, []string{what}})
	}
	return list
}

func (g *generator) mutateFiles(c *Component) FileChange {
	if len(c.Files) == 0 || g.IntN(4) == 0 {
		f := g.file(g.word() + g.word() + "new")
		c.Files = slices.Insert(c.Files, g.IntN(len(c.Files)+1), f)
		return FileChange{f.Path, []string{"added"}}
	}
	at := g.IntN(len(c.Files))
	f := &c.Files[at]
	what := []string{"content", "mode", "owner", "link", "type", "xattrs", "removed", "order"}[g.IntN(8)]
	switch what {
	case "content":
		f.Hash[g.IntN(len(f.Hash))] ^= 1 << g.IntN(8)
	case "mode":
		f.Mode ^= 1 << g.IntN(32)
	case "owner":
		f.Owner = g.other(f.Owner)
	case "link":
		f.Link = g.other(f.Link)
	case "type":
		f.Type += "x"
	case "xattrs":
		g.mutateXattrs(f)
	case "removed":
		path := f.Path
		c.Files = slices.Delete(c.Files, at, at+1)
		return FileChange{path, []string{what}}
	case "order":
		next := (at + 1) % len(c.Files)
		if next == at {
			f.Mode ^= 1
			return FileChange{f.Path, []string{"mode"}}
		}
		c.Files[at], c.Files[next] = c.Files[next], c.Files[at]
		return FileChange{c.Files[min(at, next)].Path, []string{what}}
	}
	return FileChange{f.Path, []string{what}}
}

func (g *generator) mutateXattrs(f *File) {
	for name, value := range f.Xattrs {
		if g.IntN(2) == 0 {
			delete(f.Xattrs, name)
		} else {
			f.Xattrs[name] = g.other(value)
		}
		return
	}
	f.Xattrs = Xattrs{g.word(): g.word()}
}

// TestOneChangeIsNamed changes one thing of a random pre-image: the key is
// another one, the difference is that one thing and nothing else, and what a
// history keeps of the components tells the same one.
func TestOneChangeIsNamed(t *testing.T) {
	g := newGenerator(t)
	for range 2000 {
		old := g.preimage()
		now := clonePreimage(old)
		want := g.mutate(now)
		if old.Key() == now.Key() {
			t.Fatalf("%+v: one key for\n%+v\n%+v", want, old, now)
		}
		got := Diff(old, now)
		if len(got) != 1 || !reflect.DeepEqual(got[0], want) {
			t.Fatalf("Diff says %+v, want %+v, of\n%+v\n%+v", got, want, old, now)
		}
		a, b := old.digests(), now.digests()
		for name := range maps.Keys(joined(a, b)) {
			if (a[name] != b[name]) != (name == want.Component && want.What+want.Component != "changedorder") {
				t.Fatalf("of %+v the history tells %q: %q and %q", want, name, a[name], b[name])
			}
		}
		// Before any file was read, what is not of files is told as well.
		early := diffHead(old, now)
		if ofFiles := want.Old == want.New; len(early) > 0 && ofFiles && want.Component != "order" || len(early) != 1 && !ofFiles {
			t.Fatalf("of %+v without files: %+v", want, early)
		}
	}
}

func joined(a, b map[string]string) map[string]string {
	all := maps.Clone(a)
	maps.Copy(all, b)
	return all
}

// TestOneEncodingForOnePreimage: of two random pre-images, of words that repeat
// and names that occur twice, key, encoding and difference agree on whether they
// are equal; and the encoding says all that is in them.
func TestOneEncodingForOnePreimage(t *testing.T) {
	g := newGenerator(t)
	g.words = g.words[:3]
	seen := map[string]*Preimage{}
	equal := 0
	for range 2000 {
		p := &Preimage{}
		for range g.IntN(4) {
			p.Add(g.word(), g.word())
			if g.IntN(2) == 0 {
				c := &p.Components[len(p.Components)-1]
				for range g.IntN(3) {
					c.Files = append(c.Files, File{Path: g.word(), Link: g.word()})
				}
			}
		}
		var b bytes.Buffer
		if _, err := p.WriteTo(&b); err != nil {
			t.Fatal(err)
		}
		q, err := readPreimage(&b, p.Key())
		if err != nil || !samePreimage(p, q) {
			t.Fatalf("%+v is read as %+v, %v", p, q, err)
		}
		if other := seen[p.Key()]; other != nil {
			equal++
			if !samePreimage(p, other) || Diff(p, other) != nil {
				t.Fatalf("one key for\n%+v\n%+v\n%+v", p, other, Diff(p, other))
			}
		}
		for _, other := range seen { // any
			if (Diff(p, other) == nil) != (p.Key() == other.Key()) {
				t.Fatalf("keys differ: %v, but %+v, of\n%+v\n%+v", p.Key() != other.Key(), Diff(p, other), p, other)
			}
			break
		}
		seen[p.Key()] = p
	}
	if equal < 100 {
		t.Errorf("only %d pairs were equal: the words are too many", equal)
	}
}

// samePreimage does not tell no files from an empty list.
func samePreimage(p, q *Preimage) bool {
	return slices.EqualFunc(p.Components, q.Components, func(a, b Component) bool {
		return a.Name == b.Name && a.Value == b.Value && slices.EqualFunc(a.Files, b.Files, func(f, g File) bool {
			return reflect.DeepEqual(f, g)
		})
	})
}
