package dockerfile

// scope holds the names that a stage sees. It can go back to what it was, so
// that the stages that begin with one stage need no copy of its names each.
type scope struct {
	vars   map[string]variable
	undo   []change
	marked int
}

type change struct {
	name string
	old  variable
	had  bool
}

func (s *scope) put(name string, v variable) {
	old, had := s.vars[name]
	v.at = old.at
	if !had || old.at <= s.marked { // else what is gone back to is known already
		s.undo = append(s.undo, change{name, old, had})
		v.at = len(s.undo)
	}
	s.vars[name] = v
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
		if last.had {
			s.vars[last.name] = last.old
		} else {
			delete(s.vars, last.name)
		}
	}
	s.marked = mark
}
