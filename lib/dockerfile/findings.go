package dockerfile

import (
	"cmp"
	"slices"
	"strconv"
	"strings"
)

// mostFindings is how many findings of one check are told: who gets more fixes
// the cause, and a file of a million lines does not become a report of two.
const mostFindings = 100

// findings are those of one check: the first ones of the file, though they are
// not found in its order.
type findings struct {
	told  []Finding // fewer than twice mostFindings
	until int       // what is on this line or below need not be told; 0 if all must be
	count int
	next  int // the first line of those that are not told
	last  int // the last line of all
}

// find notes what a check has found. Words that are dear to make are for tell
// alone, where tells says so.
func (c *checker) find(rule string, line int, words ...string) {
	if c.tells(rule, line) {
		c.tell(rule, line, words...)
	}
}

// tells counts a finding, and says whether it must be told as well.
func (c *checker) tells(rule string, line int) bool {
	f := c.found[rule]
	if f == nil {
		f = &findings{}
		c.found[rule] = f
	}
	f.count++
	f.last = max(f.last, line)
	if f.until == 0 || line < f.until {
		return true
	}
	f.next = min(f.next, line)
	return false
}

func (c *checker) tell(rule string, line int, words ...string) {
	f := c.found[rule]
	f.told = append(f.told, Finding{rule, line, strings.Join(words, " ")})
	if len(f.told) == 2*mostFindings {
		f.cut()
	}
}

// cut leaves the first ones of the file.
func (f *findings) cut() {
	slices.SortStableFunc(f.told, func(a, b Finding) int { return cmp.Compare(a.Line, b.Line) })
	f.next = f.told[mostFindings].Line
	clear(f.told[mostFindings:])
	f.told = f.told[:mostFindings]
	f.until = f.told[mostFindings-1].Line
}

// all are the findings in the order of the file.
func (c *checker) all() []Finding {
	var all []Finding
	for rule, f := range c.found {
		if len(f.told) > mostFindings {
			f.cut()
		}
		all = append(all, f.told...)
		if more := f.count - len(f.told); more > 0 {
			all = append(all, Finding{rule, f.next, "and " + strconv.Itoa(more) + " more, the last on line " + strconv.Itoa(f.last)})
		}
	}
	SortFindings(all)
	return all
}

// SortFindings puts findings of several sources into the order of the file.
func SortFindings(all []Finding) {
	slices.SortStableFunc(all, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
}
