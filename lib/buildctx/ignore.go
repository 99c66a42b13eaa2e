package buildctx

import (
	"bufio"
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/moby/patternmatcher/ignorefile"
)

// maxIgnoreSize bounds an ignore file. Every rule is asked about every path, so
// a file beyond this is a mistake, not a wish.
const maxIgnoreSize = 1 << 20

// Rule is one line of an ignore file.
type Rule struct {
	Pattern string // as cleaned, with its "!" if it has one
	Line    int    // counted from 1; 0 for rules that came from no file
}

// Ignore is an ordered list of rules with the meaning of moby/patternmatcher in
// a walk from the top: the last rule that matches a path or one of its parents
// wins, "!" brings back. It is immutable and safe for concurrent use. A nil
// *Ignore hides nothing.
type Ignore struct {
	name     string
	rules    []Rule
	patterns []pattern
	restores bool // some rule begins with "!"
}

// ParseIgnore reads an ignore file; name is used in errors and explanations
// only. The caller chooses the file (NAME.dockerignore before .dockerignore)
// and closes it.
func ParseIgnore(r io.Reader, name string) (*Ignore, error) {
	g := &Ignore{name: name}
	limited := &io.LimitedReader{R: r, N: maxIgnoreSize + 1}
	lines := bufio.NewScanner(limited)
	lines.Buffer(nil, maxIgnoreSize)
	for line := 1; lines.Scan(); line++ {
		text := lines.Text()
		if line > 1 {
			// Only the first line may begin with a byte order mark; the
			// reference reader is given a first line of its own to look at.
			text = "#\n" + text
		}
		found, err := ignorefile.ReadAll(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("read %s:%d: %w", name, line, err)
		}
		for _, p := range found {
			if err := g.add(p, line); err != nil {
				return nil, fmt.Errorf("read %s:%d: rule %q: %w", name, line, p, err)
			}
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if limited.N == 0 {
		return nil, fmt.Errorf("read %s: larger than %d bytes", name, maxIgnoreSize)
	}
	return g, nil
}

// NewIgnore makes rules from patterns that are not in a file, such as those of
// COPY --exclude.
func NewIgnore(patterns ...string) (*Ignore, error) {
	g := &Ignore{}
	for _, p := range patterns {
		if err := g.add(p, 0); err != nil {
			return nil, fmt.Errorf("pattern %q: %w", p, err)
		}
	}
	return g, nil
}

// Name is the name the rules were read under.
func (g *Ignore) Name() string {
	if g == nil {
		return ""
	}
	return g.name
}

// Rules returns the active rules in order.
func (g *Ignore) Rules() []Rule {
	if g == nil {
		return nil
	}
	return append([]Rule(nil), g.rules...)
}

// Match reports whether the rules hide path (clean, relative, "/"-separated)
// and which rule decided. When no rule said anything the Rule is zero. The root
// "." is never hidden.
func (g *Ignore) Match(path string) (Rule, bool) {
	state, decided := g.state(path)
	if decided < 0 {
		return Rule{}, state.hidden
	}
	return g.rules[decided], state.hidden
}

func (g *Ignore) add(text string, line int) error {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	// The order is the reference's: the text is cleaned with its "!", so
	// "!./a" keeps its dot and matches nothing.
	clean := filepath.Clean(text)
	p, err := compile(clean)
	if err != nil {
		return err
	}
	g.rules = append(g.rules, Rule{Pattern: clean, Line: line})
	g.patterns = append(g.patterns, p)
	g.restores = g.restores || p.restore
	return nil
}

// dirState is what the rules said about one directory, which is all that is
// needed to judge its children: matched[i] tells that rule i matched it or one
// of its parents when it was asked.
type dirState struct {
	matched []bool
	hidden  bool
}

// step judges path below a directory with state parent, and returns the index
// of the rule that decided (-1: none). A rule is asked only when its answer can
// change the outcome so far; that an unasked rule counts as unmatched for
// everything below is part of the reference's meaning, not an accident here.
func (g *Ignore) step(path string, parent dirState, matched []bool) (hidden bool, decided int) {
	decided = -1
	for i := range g.patterns {
		p := &g.patterns[i]
		match := parent.matched != nil && parent.matched[i]
		if !match {
			if p.restore != hidden {
				continue
			}
			match = p.match(path)
		}
		if matched != nil {
			matched[i] = match
		}
		if match {
			hidden = !p.restore
			decided = i
		}
	}
	return hidden, decided
}

// child is step with the state kept, for a directory that will be entered.
func (g *Ignore) child(path string, parent dirState) dirState {
	if g == nil || len(g.patterns) == 0 {
		return dirState{}
	}
	matched := make([]bool, len(g.patterns))
	hidden, _ := g.step(path, parent, matched)
	return dirState{matched: matched, hidden: hidden}
}

// hides is step for an entry whose children do not matter.
func (g *Ignore) hides(path string, parent dirState) bool {
	if g == nil || len(g.patterns) == 0 {
		return false
	}
	hidden, _ := g.step(path, parent, nil)
	return hidden
}

// state judges path from the top.
func (g *Ignore) state(path string) (dirState, int) {
	state, decided := dirState{}, -1
	if g == nil || len(g.patterns) == 0 || path == "." {
		return state, decided
	}
	for i := 0; i <= len(path); i++ {
		if i < len(path) && path[i] != '/' {
			continue
		}
		matched := make([]bool, len(g.patterns))
		var hidden bool
		hidden, decided = g.step(path[:i], state, matched)
		state = dirState{matched: matched, hidden: hidden}
	}
	return state, decided
}

// mayRestore reports whether something below the hidden directory path could be
// visible. It may say yes in vain, never no in vain.
func (g *Ignore) mayRestore(path string, state dirState) bool {
	if !g.restores {
		return false
	}
	// Everything below inherits the matches of the directory, so only rules
	// after the last hiding match can still bring something back.
	for i := len(g.patterns) - 1; i >= 0; i-- {
		p := &g.patterns[i]
		if p.restore && p.mayMatchBelow(path) {
			return true
		}
		if !p.restore && state.matched[i] {
			return false
		}
	}
	return false
}
