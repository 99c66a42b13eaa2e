package dockerfile

import (
	"hash/maphash"
	"slices"
)

// nameTable numbers names in the order in which they come. A file may have
// millions of them, and a map of strings would take three times as long for
// these. Few are only a list.
type nameTable struct {
	list  []string
	slots []slot // nil while there are few; else a power of two, half of them empty
	seed  maphash.Seed
}

// fewNames are found as fast without their hashes.
const fewNames = 8

// slot says where in the list a name is. It is at the place of its hash, or
// right behind others that have taken that.
type slot struct {
	hash  uint32
	place int32 // plus one; 0 in an empty slot
}

// find gives the place of a name in the list, -1 if it is not there.
func (n *nameTable) find(name string) int {
	if n.slots == nil {
		return slices.Index(n.list, name)
	}
	_, place := n.slot(n.hash(name), name)
	return place
}

// add is find, but puts the name at the end of the list if it is not there.
func (n *nameTable) add(name string) int {
	if len(n.list) < fewNames {
		place := slices.Index(n.list, name)
		if place < 0 {
			place = len(n.list)
			n.list = append(n.list, name)
		}
		return place
	}
	if len(n.slots) <= 2*len(n.list) {
		n.grow()
	}
	h := n.hash(name)
	s, place := n.slot(h, name)
	if place < 0 {
		place = len(n.list)
		n.list = append(double(n.list), name)
		*s = slot{h, int32(place + 1)}
	}
	return place
}

// clear empties the table. It keeps no more memory than few names take.
func (n *nameTable) clear() {
	if n.slots != nil {
		*n = nameTable{}
	}
	n.list = n.list[:0]
}

func (n *nameTable) hash(name string) uint32 { return uint32(maphash.String(n.seed, name)) }

// slot gives the slot where a name is, or where it would be if place is -1.
func (n *nameTable) slot(hash uint32, name string) (s *slot, place int) {
	last := uint32(len(n.slots) - 1)
	for i := hash & last; ; i = (i + 1) & last {
		s := &n.slots[i]
		switch {
		case s.place == 0:
			return s, -1
		case s.hash == hash && n.list[s.place-1] == name:
			return s, int(s.place - 1)
		}
	}
}

// grow makes slots, or twice as many.
func (n *nameTable) grow() {
	old := n.slots
	if old == nil {
		n.seed = maphash.MakeSeed()
		for i, name := range n.list {
			old = append(old, slot{n.hash(name), int32(i + 1)})
		}
	}
	n.slots = make([]slot, max(2*len(old), 4*fewNames))
	last := uint32(len(n.slots) - 1)
	for _, s := range old {
		if s.place == 0 {
			continue
		}
		i := s.hash & last
		for n.slots[i].place != 0 {
			i = (i + 1) & last
		}
		n.slots[i] = s
	}
}
