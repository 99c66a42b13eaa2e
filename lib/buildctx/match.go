package buildctx

import (
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"unicode/utf8"

	"github.com/moby/patternmatcher"
)

// pattern is one rule's pattern in the cheapest form that answers as
// moby/patternmatcher does. A differential fuzz test holds them equal.
type pattern struct {
	restore bool // began with "!"
	kind    patternKind
	text    string   // exact: the path; prefix, suffix: that part of it
	glob    []string // segments of single-name wildcards
	deep    bool     // glob: may begin at any depth (began with "**/")
	tail    bool     // glob: matches only strictly below (ended with "/**")
	slow    *reference
}

type patternKind byte

const (
	matchExact  patternKind = iota
	matchPrefix             // "foo/**", "foo**"
	matchSuffix             // "**/foo", "**foo", "**"
	matchGlob               // "*.o", "**/*.o", "a/*/b", "**/node_modules/**"
	matchSlow               // everything else
)

// reference asks moby/patternmatcher about a single pattern. The library says
// that a matcher must not be used concurrently, hence the lock.
type reference struct {
	mu      sync.Mutex
	matcher *patternmatcher.PatternMatcher
}

// compile takes a pattern cleaned by filepath.Clean, "!" included.
func compile(text string) (pattern, error) {
	var p pattern
	if text[0] == '!' {
		if text == "!" {
			return p, errors.New(`"!" alone brings nothing back`)
		}
		p.restore = true
		text = text[1:]
	}
	if strings.IndexByte(text, 0) >= 0 {
		return p, errors.New("holds a NUL byte")
	}
	if _, err := filepath.Match(text, "."); err != nil {
		return p, err
	}
	p.classify(text)
	if p.kind == matchSlow || p.kind == matchGlob {
		var err error
		if p.slow, err = newReference(text); err != nil {
			return p, err
		}
	}
	return p, nil
}

// classify follows the reference's own classes: literal, literal before a final
// "**", literal after a leading "**"; and adds globs of plain names.
func (p *pattern) classify(text string) {
	const meta = `*?[]\`
	switch {
	case !strings.ContainsAny(text, meta):
		p.kind, p.text = matchExact, text
	case strings.HasPrefix(text, "\ufeff"):
		p.kind = matchSlow // the reference's scanner drops it, its comparison does not
	case strings.HasSuffix(text, "**") && text != "**" && !strings.ContainsAny(text[:len(text)-2], meta):
		p.kind, p.text = matchPrefix, text[:len(text)-2]
	case strings.HasPrefix(text, "**") && !strings.ContainsAny(text[2:], meta):
		p.kind, p.text = matchSuffix, text[2:]
	default:
		p.kind = matchSlow
		p.classifyGlob(text)
	}
}

func (p *pattern) classifyGlob(text string) {
	for i := 0; i < len(text); i++ {
		// Classes and escapes need the reference. So do the characters that it
		// hands to its regular expression unescaped, and those outside ASCII,
		// where bytes and characters differ.
		if text[i] < ' ' || text[i] > '~' || strings.IndexByte(`?[]\^|{}`, text[i]) >= 0 {
			return
		}
	}
	rest, deep := strings.CutPrefix(text, "**/")
	rest, tail := strings.CutSuffix(rest, "/**")
	if rest == "" || strings.Contains(rest, "**") {
		return
	}
	p.kind, p.glob, p.deep, p.tail = matchGlob, strings.Split(rest, "/"), deep, tail
}

func newReference(text string) (*reference, error) {
	// The library's scanner writes its complaints about invalid UTF-8 to the
	// standard error; it reads such bytes as U+FFFD, and so may we. Not after a
	// byte order mark, where the library may compare bytes.
	if !strings.HasPrefix(text, "\ufeff") {
		text = replaceInvalid(text)
	}
	m, err := patternmatcher.New([]string{text})
	if err != nil {
		return nil, err
	}
	r := &reference{matcher: m}
	// The library compiles at the first question. A pattern that it cannot
	// compile is an error here, not in the middle of a walk.
	if _, _, err := m.MatchesUsingParentResults("x", unmatchedParent); err != nil {
		return nil, err
	}
	return r, nil
}

// unmatchedParent says of one rule that no parent matched it: with it the
// library looks at the path alone.
var unmatchedParent = func() patternmatcher.MatchInfo {
	m, err := patternmatcher.New([]string{"!x"})
	if err != nil {
		panic("buildctx: " + err.Error())
	}
	_, info, _ := m.MatchesUsingParentResults("x", patternmatcher.MatchInfo{})
	return info
}()

func (r *reference) match(path string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	match, _, err := r.matcher.MatchesUsingParentResults(path, unmatchedParent)
	return err == nil && match
}

func replaceInvalid(s string) string {
	if utf8.ValidString(s) {
		return s
	}
	return string([]rune(s))
}

func (p *pattern) match(path string) bool {
	switch p.kind {
	case matchExact:
		return path == p.text
	case matchPrefix:
		return strings.HasPrefix(path, p.text)
	case matchSuffix:
		return strings.HasSuffix(path, p.text) || p.text != "" && p.text[0] == '/' && path == p.text[1:]
	case matchGlob:
		if (p.deep || p.tail) && strings.IndexByte(path, '\n') >= 0 {
			return p.slow.match(path) // the reference's "**" stops at a newline
		}
		return p.matchGlob(path)
	default:
		return p.slow.match(path)
	}
}

// matchGlob compares name by name: from the top, or if deep from every name from
// which the pattern could reach the path's end or below.
func (p *pattern) matchGlob(path string) bool {
	if !p.deep {
		return p.matchFrom(path)
	}
	if !p.tail {
		// It ends where the path ends, so it begins as many names before.
		at := len(path)
		for range p.glob {
			if at < 0 {
				return false
			}
			at = strings.LastIndexByte(path[:at], '/')
		}
		return p.matchFrom(path[at+1:])
	}
	for {
		if p.matchFrom(path) {
			return true
		}
		i := strings.IndexByte(path, '/')
		if i < 0 {
			return false
		}
		path = path[i+1:]
	}
}

func (p *pattern) matchFrom(path string) bool {
	for i, segment := range p.glob {
		name, rest, more := strings.Cut(path, "/")
		if !matchName(segment, name) {
			return false
		}
		if i == len(p.glob)-1 {
			return more == p.tail
		}
		if !more {
			return false
		}
		path = rest
	}
	return false
}

// matchName matches a name with a segment whose only wildcard is "*". The text
// between the stars is sought from left to right: the leftmost place is never
// worse than a later one, so there is nothing to try twice.
func matchName(segment, name string) bool {
	head, rest, star := strings.Cut(segment, "*")
	if !star {
		return segment == name
	}
	name, ok := strings.CutPrefix(name, head)
	if !ok {
		return false
	}
	for {
		part, more, star := strings.Cut(rest, "*")
		if !star {
			return strings.HasSuffix(name, part)
		}
		i := strings.Index(name, part)
		if i < 0 {
			return false
		}
		name, rest = name[i+len(part):], more
	}
}

// mayMatchBelow reports whether the pattern could match a path below dir.
func (p *pattern) mayMatchBelow(dir string) bool {
	switch p.kind {
	case matchExact:
		return below(p.text, dir)
	case matchPrefix:
		return below(p.text, dir) || strings.HasPrefix(dir+"/", p.text)
	case matchGlob:
		return p.deep || p.globReaches(dir)
	default:
		return true
	}
}

func (p *pattern) globReaches(dir string) bool {
	for i, segment := range p.glob {
		name, rest, more := strings.Cut(dir, "/")
		if !matchName(segment, name) {
			return false
		}
		if !more {
			return p.tail || i < len(p.glob)-1
		}
		dir = rest
	}
	return p.tail
}

func below(path, dir string) bool {
	return len(path) > len(dir) && path[len(dir)] == '/' && path[:len(dir)] == dir
}
