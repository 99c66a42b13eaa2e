package compare

import (
	"context"

	"docksmith/lib/oci"
)

// hunk is a place where two sequences differ: a[a0:a1] became b[b0:b1].
type hunk struct{ a0, a1, b0, b1 int }

// maxCells bounds the table of a comparison of sequences: documents are foreign,
// and may have very long ones. Beyond it all between the common ends is one hunk.
const maxCells = 4 << 20

// hunks compares two sequences of lengths n and m by their longest common one.
func hunks(n, m int, equal func(i, j int) bool) []hunk {
	start := 0
	for start < n && start < m && equal(start, start) {
		start++
	}
	end := 0
	for n-end > start && m-end > start && equal(n-end-1, m-end-1) {
		end++
	}
	rows, cols := n-end-start, m-end-start
	if rows == 0 && cols == 0 {
		return nil
	}
	if rows == 0 || cols == 0 || rows*cols > maxCells {
		return []hunk{{start, n - end, start, m - end}}
	}
	// common[i][j] is the length of the longest common sequence from i and j on.
	common := make([]int32, (rows+1)*(cols+1))
	at := func(i, j int) *int32 { return &common[i*(cols+1)+j] }
	for i := rows - 1; i >= 0; i-- {
		for j := cols - 1; j >= 0; j-- {
			if equal(start+i, start+j) {
				*at(i, j) = *at(i+1, j+1) + 1
			} else {
				*at(i, j) = max(*at(i+1, j), *at(i, j+1))
			}
		}
	}
	var list []hunk
	open := false // the last hunk ends at i and j
	for i, j := 0, 0; i < rows || j < cols; {
		if i < rows && j < cols && equal(start+i, start+j) {
			i, j, open = i+1, j+1, false
			continue
		}
		if !open {
			list = append(list, hunk{start + i, start + i, start + j, start + j})
			open = true
		}
		last := &list[len(list)-1]
		if j == cols || i < rows && *at(i+1, j) >= *at(i, j+1) {
			i++
			last.a1++
		} else {
			j++
			last.b1++
		}
	}
	return list
}

// histories compares two histories; what stands where something else stood is a change.
func histories(out *sink, a, b []oci.History) {
	list := hunks(len(a), len(b), func(i, j int) bool { return sameHistory(a[i], b[j]) })
	for _, h := range list {
		i, j := h.a0, h.b0
		for ; i < h.a1 && j < h.b1; i, j = i+1, j+1 {
			out.emit(Difference{Kind: History, Change: Changed, Index: j + 1, Old: a[i], New: b[j]})
		}
		for ; i < h.a1; i++ {
			out.emit(Difference{Kind: History, Change: Deleted, Index: i + 1, Old: a[i]})
		}
		for ; j < h.b1; j++ {
			out.emit(Difference{Kind: History, Change: Added, Index: j + 1, New: b[j]})
		}
	}
}

func sameHistory(a, b oci.History) bool {
	sameTime := a.Created == nil && b.Created == nil || a.Created != nil && b.Created != nil && a.Created.Equal(*b.Created)
	return sameTime && a.CreatedBy == b.CreatedBy && a.Author == b.Author && a.Comment == b.Comment && a.EmptyLayer == b.EmptyLayer
}

// stacks compares two lists of layers: by diff ID, and those that both have by
// their blobs.
func stacks(out *sink, a, b *Image) {
	list := layerHunks(a, b)
	olds, news := items(a), items(b)
	i, j := 0, 0
	shared := func(end int) {
		for ; i < end; i, j = i+1, j+1 {
			if a.Manifest != nil && b.Manifest != nil && (olds[i].Digest != news[j].Digest || a.Layers[i].MediaType != b.Layers[j].MediaType) {
				out.emit(Difference{Kind: Layer, Change: Changed, Index: j + 1, What: []Aspect{Compressor}, Old: olds[i], New: news[j]})
			}
		}
	}
	for _, h := range list {
		shared(h.a0)
		for ; i < h.a1; i++ {
			out.emit(Difference{Kind: Layer, Change: Deleted, Index: i + 1, Old: olds[i]})
		}
		for ; j < h.b1; j++ {
			out.emit(Difference{Kind: Layer, Change: Added, Index: j + 1, New: news[j]})
		}
	}
	shared(len(olds))
}

func layerHunks(a, b *Image) []hunk {
	return hunks(len(a.Layers), len(b.Layers), func(i, j int) bool { return a.Layers[i].DiffID == b.Layers[j].DiffID })
}

// reasons tells of layers that others stand for, when the files are the same,
// whether it is their order or encoding that differs.
func reasons(ctx context.Context, out *sink, a, b *Image, o Options) error {
	if out.files || !o.wants(Tree) {
		return nil
	}
	olds, news := items(a), items(b)
	for _, h := range layerHunks(a, b) {
		if h.a1-h.a0 != h.b1-h.b0 {
			continue // as many layers are no longer each other's
		}
		for i, j := h.a0, h.b0; i < h.a1; i, j = i+1, j+1 {
			for d, err := range Layers(ctx, a.Layers[i], b.Layers[j]) {
				if err != nil {
					return err
				}
				if d.Kind == Layer {
					d.Index, d.Old, d.New = j+1, olds[i], news[j]
					out.emit(d)
				}
			}
		}
	}
	return nil
}

// items are the layers of an image with the instructions that made them.
func items(m *Image) []LayerItem {
	list := make([]LayerItem, len(m.Layers))
	for i, l := range m.Layers {
		list[i] = LayerItem{Digest: l.Digest, DiffID: l.DiffID, Size: l.Size}
	}
	for i, h := range m.config.LayerHistory() {
		if i < len(list) {
			list[i].CreatedBy = h.CreatedBy
		}
	}
	return list
}
