package cache

import "strings"

// matchSteps tells for each step of a build, by its ID, which step of the past
// it continues: an index of past. A line that is added moves those below it, so
// the same instruction comes first, if need be in another stage; an instruction
// that changed is at least of the same kind and in the same place.
func matchSteps(past []StepHistory, steps []Step) map[string]int {
	m := matching{past: past, found: map[string]int{}, taken: make([]bool, len(past))}
	m.by(steps, func(id, text string) string { return stageOf(id) + "\x00" + text })
	m.by(steps, func(_, text string) string { return text })
	m.by(steps, func(id, text string) string { return id + "\x00" + keyword(text) })
	return m.found
}

type matching struct {
	past  []StepHistory
	found map[string]int
	taken []bool
}

// by matches what is left and has equal names, in order.
func (m *matching) by(steps []Step, name func(id, text string) string) {
	free := map[string][]int{}
	for i, s := range m.past {
		if !m.taken[i] {
			n := name(s.Step, s.Text)
			free[n] = append(free[n], i)
		}
	}
	for _, s := range steps {
		if _, ok := m.found[s.ID]; ok {
			continue
		}
		n := name(s.ID, s.Text)
		if list := free[n]; len(list) > 0 {
			m.found[s.ID], m.taken[list[0]], free[n] = list[0], true, list[1:]
		}
	}
}

func stageOf(id string) string { return id[:max(strings.LastIndexByte(id, '/'), 0)] }

func keyword(text string) string {
	word, _, _ := strings.Cut(text, " ")
	return strings.ToUpper(word)
}
