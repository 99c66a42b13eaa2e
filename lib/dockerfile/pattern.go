package dockerfile

import (
	"fmt"
	"regexp"
	"strings"
	"sync"
	"unicode/utf8"
)

// lazy is an expression that is compiled at its first use: every program that
// reads a Dockerfile or a plan links all of them, and most files need none.
func lazy(expr string) func() *regexp.Regexp {
	return sync.OnceValue(func() *regexp.Regexp { return regexp.MustCompile(expr) })
}

// maxPattern bounds what a pattern costs to compile.
const maxPattern = 4 << 10

// pattern is a shell pattern with "*" and "?", as the source of regular
// expressions: Go's run in linear time whatever the pattern.
type pattern struct {
	shortest, longest string
}

// pattern reads the operand of # % and /. Escaped, "*", "?" and the escape
// character are themselves, and so are "}" and "/", which need the escape to
// get here at all; everything else has no business being escaped.
func (l *lexer) pattern(src string) (*pattern, error) {
	if len(src) > maxPattern {
		return nil, fmt.Errorf("a pattern of more than %d bytes", maxPattern)
	}
	var short, long strings.Builder
	both := func(s string) {
		short.WriteString(s)
		long.WriteString(s)
	}
	for src != "" {
		r, n := utf8.DecodeRuneInString(src)
		char := src[:n]
		src = src[n:]
		switch {
		case r == '*':
			short.WriteString(".*?")
			long.WriteString(".*")
		case r == '?':
			both(".")
		case char == string(l.escape):
			next := src[:min(len(src), 1)]
			if next == "" || !strings.Contains("*?}/"+string(l.escape), next) {
				r, _ := utf8.DecodeRuneInString(src)
				return nil, fmt.Errorf("invalid escape %q in a pattern", char+strings.TrimSuffix(string(r), string(utf8.RuneError)))
			}
			both(regexp.QuoteMeta(next))
			src = src[1:]
		case r == utf8.RuneError && n == 1:
			return nil, fmt.Errorf("a pattern that is not valid UTF-8")
		default:
			both(regexp.QuoteMeta(char))
		}
	}
	return &pattern{short.String(), long.String()}, nil
}

// The expressions are made of quoted literals, ".", ".*" and ".*?" alone, so
// they always compile.
func compile(expr string) *regexp.Regexp { return regexp.MustCompile("(?s)" + expr) }

func (p *pattern) trimPrefix(value string, longest bool) string {
	expr := p.shortest
	if longest {
		expr = p.longest
	}
	if at := compile("^" + expr).FindStringIndex(value); at != nil {
		return value[at[1]:]
	}
	return value
}

func (p *pattern) trimSuffix(value string, longest bool) string {
	rest := "^(.*)" // as much as possible stays: the shortest suffix goes
	if longest {
		rest = "^(.*?)"
	}
	if at := compile(rest + p.longest + "$").FindStringSubmatchIndex(value); at != nil {
		return value[:at[3]]
	}
	return value
}

// replace puts word in the place of the first or of all matches. An empty
// match counts as BuildKit counts it: before every character and at the end.
func (p *pattern) replace(value, word string, all bool, spend func(int) error) (string, error) {
	expr := compile(p.longest)
	var out strings.Builder
	after := false // the last match ended here
	for at := 0; at <= len(value); {
		m := expr.FindStringIndex(value[at:])
		if m == nil {
			out.WriteString(value[at:])
			break
		}
		from, to := at+m[0], at+m[1]
		out.WriteString(value[at:from])
		if from < to || !after || from > at {
			if err := spend(len(word)); err != nil {
				return "", err
			}
			out.WriteString(word)
		}
		if !all {
			out.WriteString(value[to:])
			break
		}
		at, after = to, true
		if from == to {
			_, n := utf8.DecodeRuneInString(value[to:])
			out.WriteString(value[to : to+n])
			at, after = to+max(n, 1), false
		}
	}
	return out.String(), nil
}
