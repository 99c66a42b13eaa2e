package oci

import "slices"

// LayerHistory has the entries of the history that speak of a layer, the bottom
// first. Of an image made by hand it may have fewer than the image has layers.
func (m Image) LayerHistory() []History {
	var list []History
	for _, h := range m.History {
		if !h.EmptyLayer {
			list = append(list, h)
		}
	}
	return list
}

// FillHistory is a copy of the history with an entry for each of so many layers:
// else an entry that is added would count for a layer that has none.
func (m Image) FillHistory(layers int) []History {
	h := slices.Clone(m.History)
	for range layers - len(m.LayerHistory()) {
		h = append(h, History{Comment: "no history"})
	}
	return h
}
