package compare

import (
	"context"
	"iter"
	"slices"

	"docksmith/lib/layer"
)

// Layers yields the differences between two single layers: of their entries as
// they are, whiteouts among them, in the order of layer.ComparePaths, then of
// the layers themselves: Order, Encoding or, if the diff IDs are equal and the
// blobs' digests are not, Compressor. Of several entries with one path the last counts.
func Layers(ctx context.Context, a, b Source) iter.Seq2[Difference, error] {
	return func(yield func(Difference, error) bool) {
		out := &sink{yield: yield}
		whole := Difference{
			Kind: Layer, Change: Changed,
			Old: LayerItem{Digest: a.Digest, DiffID: a.DiffID, Size: a.Size},
			New: LayerItem{Digest: b.Digest, DiffID: b.DiffID, Size: b.Size},
		}
		if a.DiffID == b.DiffID && a.DiffID != "" {
			if a.Digest != b.Digest {
				whole.What = []Aspect{Compressor}
				out.emit(whole)
			}
			return
		}
		var lists [2][]member
		for i, l := range []Source{a, b} {
			list, err := readMembers(ctx, l, func(int) bool { return true })
			if err != nil {
				out.fail(err)
				return
			}
			lists[i] = list
		}
		members(out, lists[0], lists[1])
		switch {
		case !sameOrder(lists[0], lists[1]):
			whole.What = []Aspect{Order}
		case !out.found:
			whole.What = []Aspect{Encoding}
		}
		if len(whole.What) > 0 {
			out.emit(whole)
		}
	}
}

// members compares the entries of two layers by their paths.
func members(out *sink, a, b []member) {
	a, b = byPath(a), byPath(b)
	for (len(a) > 0 || len(b) > 0) && !out.stopped {
		order := -1
		switch {
		case len(a) == 0:
			order = 1
		case len(b) > 0:
			order = compareEntries(a[0].entry, b[0].entry)
		}
		d := Difference{Kind: Entry, Change: Changed}
		if order <= 0 {
			d.Path, d.Old = a[0].entry.Path, describe(a[0].entry, a[0].sum)
		}
		if order >= 0 {
			d.Path, d.New = b[0].entry.Path, describe(b[0].entry, b[0].sum)
		}
		switch {
		case order < 0:
			d.Change = Deleted
			a = a[1:]
		case order > 0:
			d.Change = Added
			b = b[1:]
		default:
			d.What = memberAspects(a[0], b[0])
			a, b = a[1:], b[1:]
		}
		if d.Change != Changed || len(d.What) > 0 {
			out.emit(d)
		}
	}
}

func memberAspects(a, b member) []Aspect {
	what := entryAspects(a.entry, b.entry)
	if a.entry.Type == layer.TypeFile && b.entry.Type == layer.TypeFile && a.sum != b.sum {
		what = append([]Aspect{Content}, what...)
	}
	if a.entry.Type == layer.TypeLink && b.entry.Type == layer.TypeLink && a.entry.Linkname != b.entry.Linkname {
		what = append(what, Link)
	}
	return what
}

// compareEntries orders entries by their paths, marks before what has the same.
func compareEntries(a, b *layer.Entry) int {
	if c := layer.ComparePaths(a.Path, b.Path); c != 0 {
		return c
	}
	return rank(a) - rank(b)
}

func rank(e *layer.Entry) int {
	switch e.Type {
	case layer.TypeWhiteout:
		return 0
	case layer.TypeOpaque:
		return 1
	}
	return 2
}

// byPath is list in order, the last of each path.
func byPath(list []member) []member {
	sorted := slices.Clone(list)
	slices.SortStableFunc(sorted, func(a, b member) int { return compareEntries(a.entry, b.entry) })
	out := sorted[:0]
	for i, m := range sorted {
		if i+1 == len(sorted) || compareEntries(m.entry, sorted[i+1].entry) != 0 {
			out = append(out, m)
		}
	}
	return out
}

// sameOrder tells whether the paths that both lists have come in one order.
func sameOrder(a, b []member) bool {
	type name struct {
		path string
		rank int
	}
	inA := map[name]bool{}
	for _, m := range a {
		inA[name{m.entry.Path, rank(m.entry)}] = true
	}
	var common []name
	inB := map[name]bool{}
	for _, m := range b {
		n := name{m.entry.Path, rank(m.entry)}
		inB[n] = true
		if inA[n] {
			common = append(common, n)
		}
	}
	for _, m := range a {
		n := name{m.entry.Path, rank(m.entry)}
		if !inB[n] {
			continue
		}
		if len(common) == 0 || common[0] != n {
			return false
		}
		common = common[1:]
	}
	return len(common) == 0
}
