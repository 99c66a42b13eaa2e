package dashboard

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"docksmith/lib/keep"
	"docksmith/lib/store"
)

// Area is the disk space of one part of the state directory.
type Area struct {
	Name        string
	Items       int
	Bytes       int64
	Reclaimable int64
	Parts       []Part // the largest first; one may be all that is small
}

// Part is a thing of an area, or several of which none is large.
type Part struct {
	Text  string
	Bytes int64
}

// maxParts is how many things of an area are told by themselves.
const maxParts = 24

// readDisk measures the disk, which means to walk all of it: at most a
// fiftieth of the time is spent so.
func (r *Reader) readDisk(ctx context.Context, s *store.Store, now time.Time) error {
	began := time.Now()
	inv, err := keep.Take(ctx, s)
	if err != nil {
		return err
	}
	r.disk, r.partial = areas(inv), inv.Denied != nil
	r.measure = now.Add(max(5*time.Second, 50*time.Since(began)))
	return nil
}

// areas are those of an inventory, the largest first, with what is in them.
func areas(inv *keep.Inventory) []Area {
	items := slices.Clone(inv.Items)
	slices.SortStableFunc(items, func(a, b *keep.Item) int { return larger(a.Bytes, b.Bytes) })
	var list []Area
	for _, a := range inv.Areas {
		area := Area{Name: a.Area, Items: a.Items, Bytes: a.Bytes, Reclaimable: a.Reclaimable}
		rest := a.Bytes
		for _, i := range items {
			if i.Area() == a.Area && i.Bytes > 0 && i.Bytes <= rest && len(area.Parts) < maxParts {
				area.Parts = append(area.Parts, Part{partText(i), i.Bytes})
				rest -= i.Bytes
			}
		}
		if rest > 0 {
			area.Parts = append(area.Parts, Part{"all else", rest})
			slices.SortStableFunc(area.Parts, func(x, y Part) int { return larger(x.Bytes, y.Bytes) })
		}
		list = append(list, area)
	}
	slices.SortStableFunc(list, func(a, b Area) int { return larger(a.Bytes, b.Bytes) })
	return list
}

// larger sorts the larger one first.
func larger(a, b int64) int { return int(min(max(b-a, -1), 1)) }

// partText is what people know a thing by: the step that made it, the images that
// have it, or its name.
func partText(i *keep.Item) string {
	var images []string
	for _, ref := range i.Refs {
		if step, ok := strings.CutPrefix(ref, "step "); ok {
			return oneLine(step)
		}
		if image, ok := strings.CutPrefix(ref, "image "); ok {
			images = append(images, image)
		}
	}
	switch {
	case len(images) > 1:
		return fmt.Sprintf("%s and %d more", images[0], len(images)-1)
	case len(images) == 1:
		return images[0]
	case i.Text != "":
		return oneLine(i.Text)
	}
	return i.Name
}
