package dockerfile

import "slices"

// slab hands out slices that are cut from larger ones, since a file may have
// millions of instructions of a word each. What it handed out is never reused.
type slab[T any] struct {
	free []T
	next int // the length of the next large one
}

const (
	firstSlab = 16
	lastSlab  = 2048
)

// take returns n zero values.
func (s *slab[T]) take(n int) []T {
	if n > len(s.free) {
		if n > lastSlab/4 {
			return make([]T, n)
		}
		s.next = min(max(2*s.next, firstSlab), lastSlab)
		s.free = make([]T, max(n, s.next))
	}
	out := s.free[:n:n]
	s.free = s.free[n:]
	return out
}

// double makes room for one value more, for twice as many where there is none:
// append would copy a long slice five times over until it has its length.
func double[T any](s []T) []T {
	if len(s) == cap(s) {
		return slices.Grow(s, max(len(s), 4))
	}
	return s
}

// one returns a pointer to a zero value.
func (s *slab[T]) one() *T { return &s.take(1)[0] }

// foresee is double for what is read from a text: where there is much already,
// it makes the room that the rest of the text needs if that is like the part that
// was read.
func foresee[T any](s []T, read, size int) []T {
	const much = 1000
	if len(s) < much || len(s) < cap(s) {
		return double(s)
	}
	rest := len(s) * (size - read) / read
	return slices.Grow(s, rest+(len(s)+rest)/16)
}

func (s *slab[T]) copy(values []T) []T {
	out := s.take(len(values))
	copy(out, values)
	return out
}
