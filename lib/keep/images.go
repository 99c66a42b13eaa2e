package keep

import (
	"cmp"
	"slices"

	"github.com/opencontainers/go-digest"
)

// ImageUse is what an image takes: the blobs and snapshots that it leads to.
type ImageUse struct {
	Digest digest.Digest `json:"digest"`
	Names  []string      `json:"names,omitempty"`
	// Shared is what other images lead to as well, Unique what only this one does.
	Shared int64 `json:"shared"`
	Unique int64 `json:"unique"`
	Total  int64 `json:"total"`
	Layers int   `json:"layers"`
}

// Images tells what each image takes, the largest first.
func (inv *Inventory) Images() []ImageUse {
	bytes := map[string]int64{}
	for _, i := range inv.Items {
		bytes[i.Kind+i.Name] = i.Bytes
	}
	uses := map[digest.Digest]*ImageUse{}
	parts := map[digest.Digest][]string{}
	shares := map[string]int{}
	for _, n := range inv.contents.Images {
		d := n.Descriptor.Digest
		if u := uses[d]; u != nil {
			u.Names = append(u.Names, n.Name)
			continue
		}
		uses[d] = &ImageUse{Digest: d, Layers: len(n.Layers)}
		if n.Name != "" {
			uses[d].Names = []string{n.Name}
		}
		for _, b := range n.Blobs {
			parts[d] = append(parts[d], KindBlob+b.String())
		}
		for _, c := range n.Snapshots {
			parts[d] = append(parts[d], KindSnapshot+c.String())
		}
		for _, p := range parts[d] {
			shares[p]++
		}
	}
	var list []ImageUse
	for d, u := range uses {
		for _, p := range parts[d] {
			if u.Total += bytes[p]; shares[p] > 1 {
				u.Shared += bytes[p]
			} else {
				u.Unique += bytes[p]
			}
		}
		list = append(list, *u)
	}
	slices.SortFunc(list, func(a, b ImageUse) int {
		return cmp.Or(cmp.Compare(b.Total, a.Total), cmp.Compare(a.Digest, b.Digest))
	})
	return list
}
