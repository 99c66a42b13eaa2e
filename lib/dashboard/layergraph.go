package dashboard

import (
	"fmt"
	"strconv"

	"docksmith/lib/cli"
)

const (
	rowHeight   = 22   // of an image, in pixels
	layersWide  = 0.62 // of the graph, for layers; the rest is for names
	columnWide  = 0.24 // at most
	columnNamed = 0.07 // at least, for text in it
)

// layersSection draws what images share: a row is an image, and a block before
// it is layers, as high as all images that have them.
func (m *Model) layersSection() *element {
	if len(m.Images) == 0 {
		return nil
	}
	stored, unshared := m.layerSizes()
	deep := depth(m.Tree)
	g := &graph{column: min(columnWide, layersWide/float64(max(deep, 1)))}
	rows := 0
	chart := e("svg", "role", "img", "aria-label", fmt.Sprintf("%s on %s; the table has the same", count(len(m.Images), "image", "images"), count(len(m.Layers), "layer", "layers")))
	for _, n := range m.Tree {
		g.draw(chart, n, 0, rows)
		rows += n.leaves
	}
	chart.attrs = append(chart.attrs, "height", strconv.Itoa(rows*rowHeight))
	var table [][]any
	for _, l := range m.Layers {
		table = append(table, []any{id(l.ID), cli.Size(l.Size), strconv.Itoa(l.Images), code(madeBy(l))})
	}
	return section("layers", "", "Layers and the images on them",
		fmt.Sprintf("The bottom layer is at the left. A block is as high as the images that share it: %s are stored, %s without sharing.", cli.Size(stored), cli.Size(unshared)),
		chart, figures(count(len(m.Layers), "layer", "layers")+" as a table", []column{{"Layer", false}, {"Size", true}, {"Images", true}, {"Made by", false}}, table))
}

// depth is how many nodes lie on each other at most.
func depth(nodes []*Node) (most int) {
	for _, n := range nodes {
		most = max(most, 1+depth(n.On))
	}
	return most
}

type graph struct{ column float64 }

// draw draws a node at a depth from a row on, and what is on it.
func (g *graph) draw(chart *element, n *Node, deep, row int) {
	x := float64(deep) * g.column
	block := e("svg", "x", share100(x), "y", strconv.Itoa(row*rowHeight), "width", share100(g.column), "height", strconv.Itoa(n.leaves*rowHeight))
	class := "image-tint"
	if len(n.Layers) == 0 {
		class = "rest-tint"
	}
	block.add(e("title").text("%s", n.words()), e("rect", "class", class, "x", "1", "y", "1", "width", "98%", "height", strconv.Itoa(n.leaves*rowHeight-2), "rx", "3"))
	switch {
	case g.column < columnNamed:
	case n.leaves == 1:
		block.add(caption("", 1, cli.Size(n.Size())+" · "+n.by()))
	default:
		block.add(caption("", 1, cli.Size(n.Size())), caption("quiet", 2, n.by()), caption("quiet", 3, "in "+count(n.leaves, "image", "images")))
	}
	chart.add(block)
	for _, image := range n.Images {
		from := x + g.column
		name := e("svg", "x", share100(from), "y", strconv.Itoa(row*rowHeight), "width", share100(1-from), "height", strconv.Itoa(rowHeight))
		name.add(e("title").text("%s, %s", image.Name, cli.Size(image.Size)), e("text", "class", "strong", "x", "6", "y", "15").text("%s", image.Name))
		chart.add(name)
		row++
	}
	for _, on := range n.On {
		g.draw(chart, on, deep+1, row)
		row += on.leaves
	}
}

// words says what a node is.
func (n *Node) words() string {
	if len(n.Layers) == 0 {
		return "no layer"
	}
	text := fmt.Sprintf("%s, %s, in %s", count(len(n.Layers), "layer", "layers"), cli.Size(n.Size()), count(n.leaves, "image", "images"))
	for _, l := range n.Layers {
		text += " · " + l.ID + " " + madeBy(l)
	}
	return text
}
