package layer

import (
	"context"
	"fmt"
	"io"
	"time"
)

// SquashOptions are the options of Squash.
type SquashOptions struct {
	// Keep is the number of layers at the bottom that stay as they are. Default: none.
	Keep   int
	Limits Limits // of each layer
}

// Squash writes the one layer that, on the o.Keep layers at the bottom of a
// stack, makes the tree that all of them make. It says what the layers it
// replaces last said, with whiteouts for what they removed, and nothing twice;
// names that were one file stay one. Layers are read as Flatten reads them, and
// the output is in order or not as its is.
func Squash(ctx context.Context, w io.Writer, layers []func() (io.ReadCloser, error), o SquashOptions) error {
	list, err := squashItems(ctx, layers, o)
	if err != nil {
		return fmt.Errorf("squash: %w", err)
	}
	f := &flattener{ctx: ctx, w: NewWriter(w), streams: make([]*stream, len(layers))}
	for i, open := range layers {
		f.streams[i] = &stream{open: open, limits: o.Limits}
	}
	err = f.write(list)
	for _, s := range f.streams {
		s.close()
	}
	if err == nil {
		err = f.w.Close()
	}
	if err != nil {
		return fmt.Errorf("squash: %w", err)
	}
	return nil
}

// squashItems lists what the new layer has: what is not in the tree of the layers
// that stay, and whiteouts for what is only there.
func squashItems(ctx context.Context, layers []func() (io.ReadCloser, error), o SquashOptions) ([]item, error) {
	m, err := readModel(ctx, layers[:o.Keep], o.Limits)
	if err != nil {
		return nil, err
	}
	s := &squasher{first: map[*body]string{}, at: map[*body]int{}}
	base := m.root.clone(nil)
	if err := m.read(ctx, layers, o.Keep, o.Limits); err != nil {
		return nil, err
	}
	s.stays(base, m.root, ".")
	s.list(base, m.root, ".")
	return s.items, nil
}

// squasher compares the tree of the layers that stay with the whole one.
type squasher struct {
	first map[*body]string // a name that a file has in both
	at    map[*body]int    // the item of a file that is written
	items []item
}

// stays notes the names that mean the same file in both trees.
func (s *squasher) stays(base, whole *node, path string) {
	for _, c := range whole.sorted() {
		below := base.children[c.name]
		if below == nil {
			continue
		}
		name := joinPath(path, c.name)
		if _, ok := s.first[c.body]; !ok && below.body == c.body && c.typ != TypeDir {
			s.first[c.body] = name
		}
		s.stays(below, c, name)
	}
}

// list adds the items of the directory whole and of all below it; base is what
// the layers that stay have in its place, or nil.
func (s *squasher) list(base, whole *node, path string) {
	if base == nil || base.body != whole.body {
		s.add(whole.body, path)
	}
	if !whole.isDir() {
		return
	}
	if base != nil && base.isDir() {
		for _, c := range base.sorted() {
			if whole.children[c.name] == nil {
				s.add(whiteoutBody(), joinPath(path, c.name))
			}
		}
	}
	for _, c := range whole.sorted() {
		var below *node
		if base != nil {
			below = base.children[c.name]
		}
		s.list(below, c, joinPath(path, c.name))
	}
}

// add adds an item, as a hard link if the file has a name before it.
func (s *squasher) add(b *body, path string) {
	it := item{path: path, body: b, first: path}
	if name, ok := s.first[b]; ok {
		it.first = name
	} else if i, ok := s.at[b]; ok {
		it.first, s.items[i].more = s.items[i].path, true
	} else if b.typ != TypeDir && b.typ != TypeWhiteout {
		s.at[b] = len(s.items)
	}
	s.items = append(s.items, it)
}

// whiteoutBody is the mark that removes a name. It is in no layer.
func whiteoutBody() *body {
	return &body{ord: -1, typ: TypeWhiteout, entry: &Entry{Type: TypeWhiteout, ModTime: time.Unix(0, 0)}}
}
