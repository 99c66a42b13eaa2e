package plan

import (
	"fmt"
	"slices"
	"strings"
)

// members are the keys of an object that are known, as they stand before their
// values, in the order in which we write them. They are literals, so that nothing
// is made of them before a program begins.
type members []string

// name is a key without its quotes and colon.
func name(key string) string { return key[1 : len(key)-2] }

// object is an object whose members are being read.
type object struct {
	*scanner
	known members
	name  string // of the member whose value is next
	seen  uint64
	next  int  // the member that likely follows
	begun bool // the first member has
	ended bool
}

// object begins an object, or a null as an empty one. A member that is known is
// there once, and under no other name that readers of JSON take for it.
func (s *scanner) object(known members) object {
	return object{scanner: s, known: known, ended: !s.opens('{')}
}

// opens goes over a bracket; without one there may be a null only.
func (s *scanner) opens(bracket byte) bool {
	if s.peek() == bracket {
		s.enter()
		return true
	}
	if !s.null() {
		s.mistyped()
	}
	return false
}

// more goes to the next known member and says whether there is one: then its
// value is to be read.
func (o *object) more() bool {
	if o.name != "" {
		o.path, o.name = o.path[:len(o.path)-1], ""
	}
	for !o.ended && o.err == nil {
		if o.closes('}', o.begun) {
			o.ended = true
			break
		}
		o.begun = true
		i := o.key(o.known, o.next)
		if i < 0 {
			continue
		}
		if o.seen&(1<<i) != 0 {
			o.fail(fmt.Errorf("member %q is given twice", o.member(name(o.known[i]))))
			break
		}
		o.seen |= 1 << i
		o.next, o.name = i+1, name(o.known[i])
		o.path = append(o.path, o.name)
		return true
	}
	return false
}

// closes goes over the bracket at the end, or where an element has begun before,
// over the comma to the next one.
func (s *scanner) closes(bracket byte, begun bool) bool {
	if s.skip(bracket) {
		s.depth--
		return true
	}
	if s.err == nil && begun && !s.skip(',') {
		s.expected(`"," or "` + string(bracket) + `"`)
	}
	return false
}

// key reads a member's name and the colon, and says which of the known it is,
// likely next or one behind that. A member that is not known it reads as a whole.
func (s *scanner) key(known members, next int) int {
	if s.err != nil {
		return -1
	}
	rest := s.buf[s.pos:]
	for i := next; i < len(known); i++ { // as we write it
		if key := known[i]; len(rest) > len(key) && rest[1] == key[1] && string(rest[:len(key)]) == key {
			s.pos += len(key)
			return i
		}
	}
	if !s.must('"', "a member name") {
		return -1
	}
	given := s.quoted()
	if s.err != nil {
		return -1
	}
	i := slices.IndexFunc(known, func(key string) bool { return string(given) == name(key) })
	if i < 0 && slices.ContainsFunc(known, func(key string) bool { return strings.EqualFold(name(key), string(given)) }) {
		s.fail(fmt.Errorf("member %.40q is not in the right case", given))
		return -1
	}
	if !s.must(':', `":"`) {
		return -1
	}
	if i < 0 {
		s.pass()
	}
	return i
}

// array is an array whose elements are being read.
type array struct {
	*scanner
	begun, ended bool
}

// array begins an array, or a null as an empty one.
func (s *scanner) array() array { return array{scanner: s, ended: !s.opens('[')} }

// more says whether there is another element, which is to be read then.
func (a *array) more() bool {
	if !a.ended {
		a.ended = a.closes(']', a.begun)
		a.begun = true
	}
	return !a.ended && a.err == nil
}

// enter goes over a bracket into what is inside.
func (s *scanner) enter() {
	s.pos++
	if s.depth++; s.depth > maxDepth {
		s.fail(fmt.Errorf("more than %d values inside each other", maxDepth))
	}
}
