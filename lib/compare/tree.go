package compare

import (
	"context"
	"fmt"
	"io"
	"iter"
	"maps"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
)

// trees compares the merged trees of two stacks of layers.
func trees(ctx context.Context, out *sink, a, b []Source) error {
	shared := 0
	for shared < len(a) && shared < len(b) && a[shared].DiffID == b[shared].DiffID && a[shared].DiffID != "" {
		shared++
	}
	if shared == len(a) && shared == len(b) {
		return nil
	}
	t := &treeDiff{ctx: ctx, out: out, read: map[digest.Digest][]member{}}
	t.sides = [2]side{{layers: a, shared: shared}, {layers: b, shared: shared}}
	for i := range t.sides {
		if err := t.readTop(&t.sides[i]); err != nil {
			return err
		}
	}
	alone, err := t.mergeAlone()
	if err == nil && !alone {
		err = t.mergeAll()
	}
	if err != nil {
		return err
	}
	return t.compare()
}

// treeDiff is a comparison of two trees.
type treeDiff struct {
	ctx   context.Context
	out   *sink
	read  map[digest.Digest][]member // of the layers that are not shared, by diff ID
	sides [2]side
	base  [][]member // of the layers at the bottom that both have, once read
}

// side is one of the two stacks.
type side struct {
	layers []Source
	shared int        // how many at the bottom are the other side's too
	top    [][]member // of the others
	tree   *layer.Merged
	offset int // what to add to the tree's layer numbers
}

// readTop reads what lies on the shared layers. A layer that occurs twice is read once.
func (t *treeDiff) readTop(s *side) error {
	for _, l := range s.layers[s.shared:] {
		list, ok := t.read[l.DiffID]
		if !ok {
			var err error
			if list, err = readMembers(t.ctx, l, func(int) bool { return true }); err != nil {
				return err
			}
			if l.DiffID != "" {
				t.read[l.DiffID] = list
			}
		}
		s.top = append(s.top, list)
	}
	return nil
}

// mergeAlone merges what lies on the shared layers without those, if that is
// enough: when both sides say the same names in the same order, whatever is
// below becomes the same on both. It is not if a name may lead through a
// link below, or to a file there.
func (t *treeDiff) mergeAlone() (bool, error) {
	if t.sides[0].shared == 0 || !sameNames(t.sides[0].top, t.sides[1].top) {
		return false, nil
	}
	for i := range t.sides {
		s := &t.sides[i]
		s.tree, s.offset = layer.NewMerged(), s.shared
		for _, list := range s.top {
			if s.tree.Add(entries(list)) != nil {
				return false, nil // a hard link to something below, for one
			}
		}
		if s.tree.Implied() {
			return false, nil
		}
	}
	return true, nil
}

func sameNames(a, b [][]member) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if len(a[i]) != len(b[i]) {
			return false
		}
		for j := range a[i] {
			x, y := a[i][j].entry, b[i][j].entry
			if x.Path != y.Path || x.Type != y.Type || x.Linkname != y.Linkname {
				return false
			}
		}
	}
	return true
}

// mergeAll reads the names in the shared layers too.
func (t *treeDiff) mergeAll() error {
	base := layer.NewMerged()
	for _, l := range t.sides[0].layers[:t.sides[0].shared] {
		list, err := readMembers(t.ctx, l, func(int) bool { return false })
		if err != nil {
			return err
		}
		t.base = append(t.base, list)
		if err := base.Add(entries(list)); err != nil {
			return err
		}
	}
	for i := range t.sides {
		s := &t.sides[i]
		s.tree, s.offset = base, 0
		if i == 0 {
			s.tree = base.Clone()
		}
		for _, list := range s.top {
			if err := s.tree.Add(entries(list)); err != nil {
				return err
			}
		}
	}
	return nil
}

// compare goes through both trees at once.
func (t *treeDiff) compare() error {
	if len(t.base) > 0 {
		if err := t.readDoubtful(); err != nil {
			return err
		}
	}
	links := newLinks(t)
	for p := range t.pairs() {
		d := Difference{Kind: Tree}
		switch {
		case p.old == nil:
			d.Change, d.Path = Added, p.new.Path
		case p.new == nil:
			d.Change, d.Path = Deleted, p.old.Path
		default:
			d.Change, d.Path = Changed, p.new.Path
			if d.What = t.aspects(p, links); len(d.What) == 0 {
				continue
			}
		}
		if p.old != nil {
			d.Old = t.file(0, p.old, links)
		}
		if p.new != nil {
			d.New = t.file(1, p.new, links)
		}
		if !t.out.emit(d) {
			return nil
		}
	}
	return nil
}

// pair is a name in both trees, or one of them.
type pair struct{ old, new *layer.File }

// pairs yields the names of both trees in their order.
func (t *treeDiff) pairs() iter.Seq[pair] {
	return func(yield func(pair) bool) {
		next, stop := iter.Pull(t.sides[1].tree.Files())
		defer stop()
		b, ok := next()
		for a := range t.sides[0].tree.Files() {
			for ok && layer.ComparePaths(b.Path, a.Path) < 0 {
				added := b
				if !yield(pair{new: &added}) {
					return
				}
				b, ok = next()
			}
			p := pair{old: &a}
			if ok && b.Path == a.Path {
				both := b
				p.new = &both
				b, ok = next()
			}
			if !yield(p) {
				return
			}
		}
		for ; ok; b, ok = next() {
			added := b
			if !yield(pair{new: &added}) {
				return
			}
		}
	}
}

// aspects is in what two files of one name differ.
func (t *treeDiff) aspects(p pair, links *links) []Aspect {
	var what []Aspect
	if !t.sameBody(p) {
		what = entryAspects(p.old.Entry, p.new.Entry)
		if p.old.Entry.Type == layer.TypeFile && p.new.Entry.Type == layer.TypeFile && t.sum(0, p.old) != t.sum(1, p.new) {
			what = append([]Aspect{Content}, what...)
		}
	}
	if links.differ(p) {
		what = append(what, Link)
	}
	return what
}

// sameBody tells of two files that they are from the same place of one layer.
func (t *treeDiff) sameBody(p pair) bool {
	if p.old.Index < 0 || p.new.Index < 0 {
		return p.old.Index == p.new.Index
	}
	a, b := t.source(0, p.old), t.source(1, p.new)
	return p.old.Index == p.new.Index && a.DiffID == b.DiffID && a.DiffID != ""
}

func (t *treeDiff) source(i int, f *layer.File) Source {
	return t.sides[i].layers[f.Layer+t.sides[i].offset]
}

// sum is the digest of a file's content, "" if it was not read.
func (t *treeDiff) sum(i int, f *layer.File) digest.Digest {
	s := t.sides[i]
	switch at := f.Layer + s.offset - s.shared; {
	case f.Index < 0:
		return ""
	case at >= 0:
		return s.top[at][f.Index].sum
	default:
		return t.base[f.Layer][f.Index].sum
	}
}

// readDoubtful reads the content of files of the shared layers that the other
// side has replaced by one of the same size.
func (t *treeDiff) readDoubtful() error {
	doubtful := map[int]map[int]bool{}
	shared := t.sides[0].shared
	for p := range t.pairs() {
		if p.old == nil || p.new == nil || t.sameBody(p) || p.old.Entry.Type != layer.TypeFile || p.new.Entry.Type != layer.TypeFile {
			continue
		}
		for _, f := range []*layer.File{p.old, p.new} {
			if f.Layer < shared && p.old.Entry.Size == p.new.Entry.Size {
				if doubtful[f.Layer] == nil {
					doubtful[f.Layer] = map[int]bool{}
				}
				doubtful[f.Layer][f.Index] = true
			}
		}
	}
	for i, wanted := range doubtful {
		list, err := readMembers(t.ctx, t.sides[0].layers[i], func(j int) bool { return wanted[j] })
		if err != nil {
			return err
		}
		for j := range maps.Keys(wanted) {
			t.base[i][j].sum = list[j].sum
		}
	}
	return nil
}

// file is f as a Difference has it.
func (t *treeDiff) file(i int, f *layer.File, links *links) File {
	out := describe(f.Entry, t.sum(i, f))
	if f.Index >= 0 {
		out.Layer = f.Layer + t.sides[i].offset + 1
	}
	if first := links.first(i, f); first != f.Path && out.Type == layer.TypeFile {
		out.Linkname = first
	}
	return out
}

// member is an entry of a layer with the digest of its content, if that was read.
type member struct {
	entry *layer.Entry
	sum   digest.Digest
}

// readMembers reads a layer to its end, and the content of the entries that are wanted.
func readMembers(ctx context.Context, l Source, want func(i int) bool) (_ []member, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("read layer %s: %w", l.DiffID, err)
		}
	}()
	in, err := l.Open()
	if err != nil {
		return nil, err
	}
	defer in.Close()
	r := layer.NewReader(in, layer.ReaderOptions{})
	var list []member
	for i := 0; ; i++ {
		e, err := r.Next()
		if err == io.EOF {
			return list, nil
		}
		if err != nil {
			return nil, err
		}
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		m := member{entry: e}
		if e.Type == layer.TypeFile && want(i) {
			h := digest.SHA256.Digester()
			if _, err := r.CopyTo(ctx, h.Hash()); err != nil {
				return nil, err
			}
			m.sum = h.Digest()
		}
		list = append(list, m)
	}
}

func entries(list []member) iter.Seq2[*layer.Entry, error] {
	return func(yield func(*layer.Entry, error) bool) {
		for _, m := range list {
			if !yield(m.entry, nil) {
				return
			}
		}
	}
}
