package layer

import (
	"fmt"
	"iter"
)

// Merged is the merged view of a stack of layers, without content: what Apply
// would make of them, by the same rules, in memory. Memory grows with the
// number of names. It is not safe for concurrent use.
type Merged struct{ m *model }

// NewMerged is an empty tree.
func NewMerged() *Merged {
	m := newModel()
	m.keep = true
	return &Merged{m}
}

// File is a name in a Merged.
type File struct {
	Path string // clean; the root is "."
	// Entry is what the layers last said of it, and not to be changed: of a hard
	// link that of the file itself, with another path. A directory that no layer
	// mentions has one that Apply would make. Attributes that describe the file
	// system underneath are left out.
	Entry *Entry
	// Layer and Index are the place of Entry, both from 0: names with the same
	// two are hard links of one file. Index is -1 for a directory that no layer
	// mentions.
	Layer, Index int
}

// Add applies one layer more. The tree is of no use after an error.
func (t *Merged) Add(entries iter.Seq2[*Entry, error]) error {
	ord := 0
	for e, err := range entries {
		if err == nil {
			err = t.m.apply(e, ord)
		}
		if err != nil {
			return fmt.Errorf("layer %d: %w", t.m.layer+1, err)
		}
		ord++
	}
	t.m.layer++
	return nil
}

// Implied tells whether an entry was in a directory that no layer had mentioned
// before: of layers that lie on others, those may have a link in its place.
func (t *Merged) Implied() bool { return t.m.implied }

// Clone is an independent copy, to put other layers on.
func (t *Merged) Clone() *Merged {
	m := *t.m
	m.root = m.root.clone(nil)
	m.root.parent = m.root
	return &Merged{&m}
}

func (n *node) clone(parent *node) *node {
	c := *n
	c.parent = parent
	if n.children != nil {
		c.children = make(map[string]*node, len(n.children))
		for name, child := range n.children {
			c.children[name] = child.clone(&c)
		}
	}
	return &c
}

// Files yields the names in the order of ComparePaths, the root first.
func (t *Merged) Files() iter.Seq[File] {
	return func(yield func(File) bool) { t.m.root.files(".", yield) }
}

func (n *node) files(path string, yield func(File) bool) bool {
	f := File{Path: path, Entry: n.entry, Layer: n.layer, Index: n.ord}
	if f.Entry == nil {
		f.Entry = impliedEntry()
		f.Entry.Path = path
	}
	if !yield(f) {
		return false
	}
	for _, c := range n.sorted() {
		if !c.files(joinPath(path, c.name), yield) {
			return false
		}
	}
	return true
}
