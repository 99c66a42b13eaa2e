package dashboard

import "slices"

// Node is layers that lie on each other and have the same images, as one, with
// the images that end there and the nodes on top.
type Node struct {
	Layers []*Layer
	Images []*Image // those whose topmost layer is the node's last
	On     []*Node
	leaves int
}

// Size is that of the node's layers.
func (n *Node) Size() (sum int64) {
	for _, l := range n.Layers {
		sum += l.Size
	}
	return sum
}

// growTree joins what the images have in common from the bottom. Images without
// a layer lie on a node without one.
func growTree(images []Image) []*Node {
	root := &Node{}
	for i := range images {
		at := root
		for _, l := range images[i].Layers {
			at = at.child(l)
		}
		if at == root {
			if images[i].Error != "" {
				continue
			}
			at = at.child(nil)
		}
		at.Images = append(at.Images, &images[i])
	}
	for _, n := range root.On {
		n.join()
	}
	return root.sorted()
}

// child is the node on n that begins with a layer.
func (n *Node) child(l *Layer) *Node {
	for _, c := range n.On {
		if len(c.Layers) == 0 && l == nil || len(c.Layers) > 0 && c.Layers[0] == l {
			return c
		}
	}
	c := &Node{}
	if l != nil {
		c.Layers = []*Layer{l}
	}
	n.On = append(n.On, c)
	return c
}

// join takes a single node on top of one where no image ends into that, and
// counts the leaves.
func (n *Node) join() {
	for len(n.On) == 1 && len(n.Images) == 0 {
		top := n.On[0]
		n.Layers, n.Images, n.On = append(n.Layers, top.Layers...), top.Images, top.On
	}
	n.leaves = len(n.Images)
	for _, c := range n.On {
		c.join()
		n.leaves += c.leaves
	}
}

// sorted has what most images lie on first, and keeps the order of names else.
func (n *Node) sorted() []*Node {
	slices.SortStableFunc(n.On, func(a, b *Node) int { return b.leaves - a.leaves })
	for _, c := range n.On {
		c.sorted()
	}
	return n.On
}
