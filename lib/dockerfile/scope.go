package dockerfile

// scope holds the names that a stage sees. It can go back to what it was, so
// that the stages that begin with one stage need no copy of its names each.
type scope struct {
	names  nameTable // a name keeps its place for good
	vars   []variable
	size   int // names that are declared
	undo   []change
	marked int
	final  bool // nobody goes back any more
}

// variable is what is known of a name.
type variable struct {
	value    string
	known    bool // value is its value
	set      bool // else it was declared only
	env      bool // by ENV, which no ARG replaces
	declared bool // else it is not in scope
	at       int  // of scope: where in undo the change is that made it
}

type change struct {
	place int
	old   variable
}

// get is what is known of a name: nothing, where it is not declared.
func (s *scope) get(name string) variable {
	if i := s.names.find(name); i >= 0 {
		return s.vars[i]
	}
	return variable{}
}

// place is where a name is, in s.vars.
func (s *scope) place(name string) int {
	i := s.names.add(name)
	if i == len(s.vars) {
		s.vars = append(double(s.vars), variable{})
	}
	return i
}

// put declares the name at a place.
func (s *scope) put(place int, v variable) {
	old := s.vars[place]
	if !old.declared {
		s.size++
	}
	v.declared, v.at = true, old.at
	if !s.final && (!old.declared || old.at <= s.marked) { // else what is gone back to is known already
		s.undo = append(double(s.undo), change{place, old})
		v.at = len(s.undo)
	}
	s.vars[place] = v
}

// mark is a place to go back to. Only the last one, or one that was gone back
// to since, may be gone back to.
func (s *scope) mark() int {
	s.marked = len(s.undo)
	return s.marked
}

// back takes away what was put since the mark.
func (s *scope) back(mark int) {
	for len(s.undo) > mark {
		last := s.undo[len(s.undo)-1]
		s.undo = s.undo[:len(s.undo)-1]
		s.vars[last.place] = last.old
		if !last.old.declared {
			s.size--
		}
	}
	s.marked = mark
}
