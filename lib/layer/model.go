package layer

import (
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// model is the merged tree of a stack of layers, without content: what Apply would
// make of them, by the same rules, in memory.
type model struct {
	root  *node
	layer int // that is being applied

	keep    bool                    // entries are kept in their bodies
	implied bool                    // a directory was wanted that no entry had spoken of
	lost    func(n *node, e *Entry) // told of each name that e takes away; nil: nobody
}

// body is a file, with as many names as lead to it. ord is the number of its entry
// in its layer; -1: a directory that no layer mentions.
type body struct {
	layer int
	ord   int
	typ   Type
	link  string // of a symlink
	entry *Entry // if the model keeps them
}

// node is a name in the tree.
type node struct {
	*body
	name     string
	added    int // the layer that put it here last
	parent   *node
	children map[string]*node
}

func newModel() *model {
	root := &node{body: &body{ord: -1, typ: TypeDir}, name: ".", children: map[string]*node{}}
	root.parent = root
	return &model{root: root}
}

func (n *node) isDir() bool { return n.children != nil }

func (n *node) put(name string, b *body, layer int) *node {
	c := &node{body: b, name: name, added: layer, parent: n}
	if b.typ == TypeDir {
		c.children = map[string]*node{}
	}
	n.children[name] = c
	return c
}

// sorted are the children in the order of ComparePaths.
func (n *node) sorted() []*node {
	list := make([]*node, 0, len(n.children))
	for _, c := range n.children {
		list = append(list, c)
	}
	slices.SortFunc(list, func(a, b *node) int { return strings.Compare(a.name, b.name) })
	return list
}

// directory finds the directory path, following links inside the root. What lacks
// is made if make is set, else the answer is fs.ErrNotExist.
func (m *model) directory(path string, create bool) (*node, error) {
	n := m.root
	todo := strings.Split(path, "/")
	for links := 0; len(todo) > 0; {
		name := todo[0]
		todo = todo[1:]
		switch name {
		case "", ".":
			continue
		case "..":
			n = n.parent
			continue
		}
		c := n.children[name]
		switch {
		case c == nil && !create:
			return nil, fs.ErrNotExist
		case c == nil:
			n = n.put(name, &body{layer: m.layer, ord: -1, typ: TypeDir}, -1)
			m.implied = true
		case c.isDir():
			n = c
		case c.typ != TypeSymlink:
			return nil, pathError("open", path, unix.ENOTDIR)
		default:
			if links++; links > maxLinks {
				return nil, pathError("open", path, unix.ELOOP)
			}
			if strings.HasPrefix(c.link, "/") {
				n = m.root
			}
			todo = append(strings.Split(c.link, "/"), todo...)
		}
	}
	return n, nil
}

// find finds path; its last element is not followed. nil: there is none.
func (m *model) find(path string) (*node, error) {
	if path == "." {
		return m.root, nil
	}
	dir, base := splitPath(path)
	n, err := m.directory(dir, false)
	if err != nil {
		if isMissing(err) {
			err = nil
		}
		return nil, err
	}
	return n.children[base], nil
}

// apply applies the entry with number ord of the current layer.
func (m *model) apply(e *Entry, ord int) error {
	switch e.Type {
	case TypeWhiteout, TypeOpaque:
		return m.remove(e)
	}
	b := &body{layer: m.layer, ord: ord, typ: e.Type, link: e.Linkname}
	if m.keep {
		dropSteering(e)
		b.entry = e
	}
	if e.Path == "." {
		m.root.body = b
		return nil
	}
	dir, base := splitPath(e.Path)
	n, err := m.directory(dir, true)
	if err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	old := n.children[base]
	if e.Type == TypeDir && old != nil && old.isDir() {
		old.body, old.added = b, m.layer
		return nil
	}
	if e.Type == TypeLink {
		t, err := m.find(e.Linkname)
		if err == nil && (t == nil || t.isDir()) {
			err = unix.ENOENT
		}
		if err != nil {
			return fmt.Errorf("link %q to %q: %w", e.Path, e.Linkname, cause(err))
		}
		b = t.body
	}
	if old != nil {
		m.lose(old, e)
	}
	n.put(base, b, m.layer)
	return nil
}

// lose tells of n and all below it, which e replaces.
func (m *model) lose(n *node, e *Entry) {
	if m.lost == nil {
		return
	}
	m.lost(n, e)
	for _, c := range n.sorted() {
		m.lose(c, e)
	}
}

// remove applies a whiteout or an opaque mark.
func (m *model) remove(e *Entry) error {
	if dir, _ := splitPath(e.Path); m.keep {
		_, err := m.directory(dir, false)
		m.implied = m.implied || isMissing(err)
	}
	n, err := m.find(e.Path)
	if e.Type == TypeOpaque {
		n, err = m.directory(e.Path, false)
	}
	if isMissing(err) || err == nil && n == nil {
		return nil
	}
	if err != nil {
		return fmt.Errorf("%q: %w", e.Path, err)
	}
	m.prune(n, e)
	if e.Type == TypeWhiteout && n.added != m.layer && len(n.children) == 0 {
		m.drop(n, e)
	}
	return nil
}

// prune removes what is below n and was not added by the current layer.
func (m *model) prune(n *node, e *Entry) {
	for _, c := range n.children {
		m.prune(c, e)
		if c.added != m.layer && len(c.children) == 0 {
			m.drop(c, e)
		}
	}
}

// drop removes a name that has nothing below it.
func (m *model) drop(n *node, e *Entry) {
	delete(n.parent.children, n.name)
	if m.lost != nil {
		m.lost(n, e)
	}
}
