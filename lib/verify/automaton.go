package verify

// automaton finds any of a set of words in a stream, each byte looked at once
// (Aho and Corasick).
type automaton struct {
	// next has 256 places for each state: where a byte leads, as the place of that
	// state's row; negative, by its complement, if a word ends there.
	next []int32
	ends [][]int // by state: the words that end there
}

// newAutomaton looks for words. The bytes of skip, which no word has, count as
// not there: encoders break lines.
func newAutomaton(words [][]byte, skip string) *automaton {
	a := &automaton{next: make([]int32, 256), ends: make([][]int, 1)}
	for i, w := range words {
		state := int32(0)
		for _, c := range w {
			if a.next[state<<8|int32(c)] == 0 {
				a.next[state<<8|int32(c)] = int32(len(a.ends))
				a.next = append(a.next, make([]int32, 256)...)
				a.ends = append(a.ends, nil)
			}
			state = a.next[state<<8|int32(c)]
		}
		a.ends[state] = append(a.ends[state], i)
	}
	a.link()
	for _, c := range []byte(skip) {
		for state := range a.ends {
			a.next[state<<8|int(c)] = int32(state)
		}
	}
	for i, state := range a.next {
		a.next[i] = state << 8
		if len(a.ends[state]) > 0 {
			a.next[i] = ^a.next[i]
		}
	}
	return a
}

// link fills the table: where no word goes on, the longest suffix that begins one does.
func (a *automaton) link() {
	fall := make([]int32, len(a.ends))
	var queue []int32
	for _, s := range a.next[:256] {
		if s != 0 {
			queue = append(queue, s)
		}
	}
	for len(queue) > 0 {
		s := queue[0]
		queue = queue[1:]
		a.ends[s] = append(a.ends[s], a.ends[fall[s]]...)
		for c := range int32(256) {
			child, other := a.next[s<<8|c], a.next[fall[s]<<8|c]
			if child == 0 {
				a.next[s<<8|c] = other
				continue
			}
			fall[child] = other
			queue = append(queue, child)
		}
	}
}

// step goes over p from a state, 0 at first, and tells hit the words that end in it.
func (a *automaton) step(state int32, p []byte, hit func(word int)) int32 {
	next := a.next
	for _, c := range p {
		state = next[state|int32(c)]
		if state < 0 {
			state = ^state
			for _, w := range a.ends[state>>8] {
				hit(w)
			}
		}
	}
	return state
}
