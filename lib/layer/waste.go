package layer

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"slices"
)

// Cause is why the content of a file in a layer is not seen.
type Cause string

// The causes of waste.
const (
	Overwritten Cause = "overwritten" // something else has its name
	Metadata    Cause = "metadata"    // the same content was written again, for a mode, an owner, a time or attributes
	Removed     Cause = "removed"     // by a whiteout
	Hidden      Cause = "opaque"      // by an opaque directory
)

// Wasted is a file whose content a layer carries in vain.
type Wasted struct {
	Path  string `json:"path"`  // the last name it had
	Layer int    `json:"layer"` // that has it, from 1
	By    int    `json:"by"`    // the layer that took that name away
	Cause Cause  `json:"cause"`
	Bytes int64  `json:"bytes"` // of its content, uncompressed
}

// WasteReport is what Waste found.
type WasteReport struct {
	Files  []Wasted // the largest first, then by layer and path
	Layers []int64  // bytes of all files in each layer
}

// WasteOptions are the options of Waste.
type WasteOptions struct {
	Limits Limits // of each layer
}

// Waste finds the files in a stack of layers, bottom first, that are not in its
// merged tree. A file of several names is wasted when the last of them is gone;
// one without content is not counted. Every layer is read once, and once more
// if it has a file that was replaced by one of the same size.
func Waste(ctx context.Context, layers []func() (io.ReadCloser, error), o WasteOptions) (WasteReport, error) {
	w := &waste{m: newModel(), lost: map[*body]*loss{}}
	w.m.keep, w.m.lost = true, w.note
	res := WasteReport{Layers: make([]int64, len(layers))}
	for i, open := range layers {
		if err := w.read(ctx, i, open, o.Limits, &res.Layers[i]); err != nil {
			return res, fmt.Errorf("find waste: layer %d: %w", i+1, err)
		}
	}
	w.spare(w.m.root)
	if err := w.compare(ctx, layers, o.Limits); err != nil {
		return res, fmt.Errorf("find waste: %w", err)
	}
	for b, l := range w.lost {
		res.Files = append(res.Files, Wasted{Path: l.path, Layer: b.layer + 1, By: l.by + 1, Cause: l.cause, Bytes: b.entry.Size})
	}
	slices.SortFunc(res.Files, func(a, b Wasted) int {
		return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), a.Layer-b.Layer, ComparePaths(a.Path, b.Path), a.By-b.By)
	})
	return res, nil
}

// loss is how a file lost its last name.
type loss struct {
	path  string
	by    int // layer
	ord   int // of the entry there
	cause Cause
	same  bool // the entry is a file of the same size
}

// waste collects the files that lost a name.
type waste struct {
	m    *model
	ord  int // of the entry that is being applied
	lost map[*body]*loss
}

func (w *waste) read(ctx context.Context, i int, open func() (io.ReadCloser, error), l Limits, total *int64) error {
	w.m.layer = i
	s := &stream{open: open, limits: l}
	defer s.close()
	return s.each(func(e *Entry, ord int) error {
		if err := context.Cause(ctx); err != nil {
			return err
		}
		*total += e.Size
		w.ord = ord
		return w.m.apply(e, ord)
	})
}

// note is the model's lost.
func (w *waste) note(n *node, e *Entry) {
	if n.typ != TypeFile || n.entry.Size == 0 {
		return
	}
	l := &loss{path: n.path(), by: w.m.layer, ord: w.ord, cause: Overwritten}
	switch e.Type {
	case TypeWhiteout:
		l.cause = Removed
	case TypeOpaque:
		l.cause = Hidden
	case TypeFile:
		l.same = e.Size == n.entry.Size
	}
	w.lost[n.body] = l
}

// path is the path of a node.
func (n *node) path() string {
	if n.parent == n {
		return "."
	}
	return joinPath(n.parent.path(), n.name)
}

// spare forgets what still has a name in the tree.
func (w *waste) spare(n *node) {
	delete(w.lost, n.body)
	for _, c := range n.children {
		w.spare(c)
	}
}

// compare finds out which files were overwritten by the same content.
func (w *waste) compare(ctx context.Context, layers []func() (io.ReadCloser, error), l Limits) error {
	type place struct{ layer, ord int }
	sums := map[place][]byte{}
	for b, l := range w.lost {
		if l.same {
			sums[place{b.layer, b.ord}], sums[place{l.by, l.ord}] = nil, nil
		}
	}
	for i, open := range layers {
		wanted := false
		for p := range sums {
			wanted = wanted || p.layer == i
		}
		if !wanted {
			continue
		}
		s := &stream{open: open, limits: l}
		err := s.each(func(_ *Entry, ord int) error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			if _, ok := sums[place{i, ord}]; !ok {
				return nil
			}
			h := sha256.New()
			_, err := s.r.CopyTo(ctx, h)
			sums[place{i, ord}] = h.Sum(nil)
			return err
		})
		s.close()
		if err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	for b, l := range w.lost {
		if l.same && slices.Equal(sums[place{b.layer, b.ord}], sums[place{l.by, l.ord}]) {
			l.cause = Metadata
		}
	}
	return nil
}
