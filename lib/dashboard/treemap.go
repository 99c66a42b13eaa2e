package dashboard

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"docksmith/lib/cli"
)

// box is a place in a chart, in shares of its width and height.
type box struct{ x, y, w, h float64 }

// squarify gives each value, the largest first, a box of its share of the area,
// as near to a square as it comes where the whole is so many times as wide as
// high: rows are filled along the shorter side as long as that makes their boxes
// better.
func squarify(values []float64, aspect float64) []box {
	var total float64
	for _, v := range values {
		total += v
	}
	if total <= 0 {
		return make([]box, len(values))
	}
	var boxes []box
	free := box{0, 0, aspect, 1} // in units of the height
	for len(values) > 0 {
		side := min(free.w, free.h)
		scale := free.w * free.h / sumOf(values)
		n := 1
		for n < len(values) && worst(values[:n+1], scale, side) <= worst(values[:n], scale, side) {
			n++
		}
		boxes, free = fillRow(boxes, free, values[:n], scale)
		values = values[n:]
	}
	for i := range boxes {
		boxes[i].x /= aspect
		boxes[i].w /= aspect
	}
	return boxes
}

func sumOf(values []float64) (sum float64) {
	for _, v := range values {
		sum += v
	}
	return sum
}

// worst is how long the longest box of a row is, as a multiple of its width.
func worst(row []float64, scale, side float64) float64 {
	thick := sumOf(row) * scale / side
	if thick <= 0 {
		return math.Inf(1)
	}
	var most float64
	for _, v := range row {
		long := v * scale / thick
		most = max(most, long/thick, thick/max(long, 1e-12))
	}
	return most
}

// fillRow puts a row along the shorter side of what is free, and gives what is
// free then.
func fillRow(boxes []box, free box, row []float64, scale float64) ([]box, box) {
	area := sumOf(row) * scale
	if free.w >= free.h {
		w, y := area/free.h, free.y
		for _, v := range row {
			h := v * scale / w
			boxes = append(boxes, box{free.x, y, w, h})
			y += h
		}
		free.x, free.w = free.x+w, max(free.w-w, 1e-12)
		return boxes, free
	}
	h, x := area/free.w, free.x
	for _, v := range row {
		w := v * scale / h
		boxes = append(boxes, box{x, free.y, w, h})
		x += w
	}
	free.y, free.h = free.y+h, max(free.h-h, 1e-12)
	return boxes, free
}

func share100(f float64) string { return strconv.FormatFloat(100*f, 'f', 2, 64) + "%" }

// frame is a part of a chart that cuts off what does not fit.
func frame(b box) *element {
	return e("svg", "x", share100(b.x), "y", share100(b.y), "width", share100(b.w), "height", share100(b.h))
}

// areaColour is what an area holds.
func areaColour(area string) string {
	switch area {
	case "blobs", "snapshots":
		return "image"
	case "containers", "volumes", "failed":
		return "run"
	case "cache", "mounts", "fetched", "builds":
		return "cache"
	}
	return "rest"
}

// mapAspect is that of the treemap on a wide screen.
const mapAspect = 2.1

// leastWide and leastHigh are what a part of the map must have to carry text.
const leastWide, leastHigh = 0.085, 0.1

// caption is a line of text in a part of a chart, with room at its end.
func caption(class string, row int, text string) *element {
	return e("svg", "width", "97%").add(e("text", "class", class, "x", "6", "y", strconv.Itoa(17*row-1)).text("%s", text))
}

// slim groups captions of a part that is too narrow for them on a phone.
func slim(wide float64, captions ...*element) *element {
	if wide < 2*leastWide {
		return e("g", "class", "slim").add(captions...)
	}
	return e("g").add(captions...)
}

func (m *Model) diskSection() *element {
	var values []float64
	var rows [][]any
	for _, a := range m.Disk { // the largest first
		if a.Bytes > 0 {
			values = append(values, float64(a.Bytes))
		}
		rows = append(rows, []any{a.Name, strconv.Itoa(a.Items), strconv.FormatInt(a.Bytes, 10), cli.Size(a.Bytes), cli.Size(a.Reclaimable)})
	}
	chart := e("svg", "class", "map", "role", "img", "aria-label", "Disk use by area: "+m.diskWords())
	for i, b := range squarify(values, mapAspect) {
		chart.add(m.Disk[i].draw(b))
	}
	keys := e("p").add(key("image-tint", "images"), key("run-tint", "containers and volumes"), key("cache-tint", "cache and builds"), key("rest-tint", "the rest"))
	total, _ := m.diskTotal()
	note := fmt.Sprintf("%s in all. What takes more space is larger.", cli.Size(total))
	if m.Partial {
		note = fmt.Sprintf("At least %s: not all can be looked at.", cli.Size(total))
	}
	return section("disk", "half", "Disk", note, chart, keys,
		figures("The same as a table", []column{{"Area", false}, {"Items", true}, {"Bytes", true}, {"Size", true}, {"Could be freed", true}}, rows))
}

// divided is how much of the map an area must have to be divided into its parts.
const divided = 0.05

// draw draws an area in a box of the map.
func (a *Area) draw(b box) *element {
	tint := areaColour(a.Name) + "-tint"
	el := frame(b).add(e("title").text("%s: %s", a.Name, cli.Size(a.Bytes)), e("rect", "class", tint, "width", "100%", "height", "100%"))
	switch {
	case b.w < leastWide || b.h < leastHigh:
		return el
	case len(a.Parts) < 2 || b.w < 2*leastWide || b.w*b.h < divided:
		return el.add(slim(b.w, caption("strong", 1, a.Name), caption("", 2, cli.Size(a.Bytes))))
	}
	var values []float64
	for _, p := range a.Parts {
		values = append(values, float64(p.Bytes))
	}
	inside := e("svg", "y", "22", "class", "below")
	for i, in := range squarify(values, mapAspect*b.w/b.h) {
		p := a.Parts[i]
		part := frame(in).add(e("title").text("%s: %s, %s", a.Name, p.Text, cli.Size(p.Bytes)), e("rect", "class", tint, "width", "100%", "height", "100%"))
		if in.w*b.w >= leastWide && in.h*b.h >= leastHigh {
			part.add(slim(in.w*b.w, caption("", 1, cli.Size(p.Bytes)), caption("quiet", 2, p.Text)))
		}
		inside.add(part)
	}
	return el.add(caption("strong", 1, a.Name+" "+cli.Size(a.Bytes)), inside)
}

// diskWords names the areas for who does not see them.
func (m *Model) diskWords() string {
	var words []string
	for _, a := range m.Disk {
		if a.Bytes > 0 {
			words = append(words, a.Name+" "+cli.Size(a.Bytes))
		}
	}
	return strings.Join(words, ", ")
}
