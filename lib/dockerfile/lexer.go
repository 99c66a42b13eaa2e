package dockerfile

import (
	"errors"
	"strings"
	"unicode"
	"unicode/utf8"
)

// lexMode says what a lexer leaves as it is.
type lexMode struct {
	quotes     bool // quotes quote; else they are ordinary characters
	rawQuotes  bool // quotes quote, and stay
	rawEscapes bool // escape characters stay
	keepUnset  bool // substitutions of names that are not set stay
	split      bool // collect words
	skim       bool // patterns are not applied
}

// lexer reads a word once from left to right. It works on bytes: whatever is
// not special, invalid UTF-8 included, comes out as it went in.
type lexer struct {
	src    string
	pos    int
	escape byte
	env    Lookup
	mode   lexMode

	depth int  // of ${}
	idle  int  // inside so many words that do not count
	left  int  // bytes that variables may still add
	vague bool // a pattern was not applied

	used, undefined nameTable
}

func newLexer(src string, escape byte, env Lookup, mode lexMode) lexer {
	if escape == 0 {
		escape = '\\'
	}
	return lexer{src: src, escape: escape, env: env, mode: mode, left: maxSubstituted}
}

// peek is the next byte, 0 at the end (and for a NUL, which is not special).
func (l *lexer) peek() byte {
	if l.pos < len(l.src) {
		return l.src[l.pos]
	}
	return 0
}

func (l *lexer) next() rune {
	r, n := utf8.DecodeRuneInString(l.src[l.pos:])
	l.pos += n
	return r
}

// take returns the bytes of the next character.
func (l *lexer) take() string {
	from := l.pos
	l.next()
	return l.src[from:l.pos]
}

// until reads to the unquoted stop character and over it, or with 0 to the
// end. raw keeps escape characters; pattern besides keeps quoted ones apart
// from escapes by doubling them, since patterns are read a second time.
func (l *lexer) until(stop byte, raw, pattern bool) (string, []string, error) {
	outer := l.mode.rawEscapes
	if stop != 0 {
		l.mode.rawEscapes = raw
		defer func() { l.mode.rawEscapes = outer }()
	}
	var out splitter
	out.split = l.mode.split && stop == 0
	for l.pos < len(l.src) {
		if c := l.peek(); stop != 0 && c == stop {
			l.pos++
			return out.text.String(), nil, nil
		}
		if err := l.one(&out, pattern); err != nil {
			return "", nil, err
		}
	}
	switch stop {
	case 0:
		return out.text.String(), out.end(), nil
	case '}':
		return "", nil, errNoBrace
	}
	return "", nil, errors.New("missing '/' in a substitution")
}

// one reads the next element: a character, a quoted string, a substitution.
func (l *lexer) one(out *splitter, pattern bool) error {
	switch c := l.peek(); {
	case c == '$':
		s, err := l.dollar()
		out.add(s)
		return err
	case c == '\'' && l.mode.quotes:
		s, err := l.singleQuoted(pattern)
		out.addQuoted(s)
		return err
	case c == '"' && l.mode.quotes:
		s, err := l.doubleQuoted(pattern)
		out.addQuoted(s)
		return err
	case c == '<' && out.split:
		out.addQuoted(l.redirection())
	case c == l.escape:
		l.pos++
		if l.mode.rawEscapes {
			out.addQuoted(string(c))
		}
		if l.pos < len(l.src) {
			out.addQuoted(l.take())
		}
	default:
		out.add(l.plain())
	}
	return nil
}

// plain reads a run of characters that mean themselves whatever the mode.
func (l *lexer) plain() string {
	from := l.pos
	l.pos++
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; c {
		case '$', '\'', '"', '<', '}', '/', l.escape:
			return l.src[from:l.pos]
		}
		l.pos++
	}
	return l.src[from:]
}

// redirection reads "<", or "<<" with the blanks behind it, which belong to
// the word of a here-document.
func (l *lexer) redirection() string {
	from := l.pos
	l.pos++
	if l.peek() != '<' {
		return "<"
	}
	l.pos++
	for l.peek() == ' ' || l.peek() == '\t' || l.peek() == '\r' {
		l.pos++
	}
	return l.src[from:l.pos]
}

func (l *lexer) singleQuoted(pattern bool) (string, error) {
	end := strings.IndexByte(l.src[l.pos+1:], '\'')
	if end < 0 {
		return "", errors.New("missing closing single quote")
	}
	text := l.src[l.pos+1 : l.pos+1+end]
	l.pos += end + 2
	if pattern {
		text = strings.ReplaceAll(text, string(l.escape), string(l.escape)+string(l.escape))
	}
	if l.mode.rawQuotes {
		return "'" + text + "'", nil
	}
	return text, nil
}

func (l *lexer) doubleQuoted(pattern bool) (string, error) {
	var out joined
	quote := func() {
		l.pos++
		if l.mode.rawQuotes {
			out.add(`"`)
		}
	}
	quote()
	for l.pos < len(l.src) {
		switch c := l.peek(); c {
		case '"':
			quote()
			return out.String(), nil
		case '$':
			s, err := l.dollar()
			if err != nil {
				return "", err
			}
			out.add(s)
		case l.escape:
			l.pos++
			l.escapeInQuotes(&out, pattern)
		default:
			out.add(l.plain())
		}
	}
	return "", errors.New("missing closing double quote")
}

// escapeInQuotes is the escape character inside double quotes: it escapes a
// quote, a dollar and itself, and stays before everything else.
func (l *lexer) escapeInQuotes(out *joined, pattern bool) {
	if l.pos == len(l.src) {
		return
	}
	switch c := l.peek(); c {
	case '"', '$', l.escape:
		if l.mode.rawEscapes {
			out.add(string(rune(l.escape)))
		}
		l.pos++
		out.add(string(rune(c)))
	default:
		if l.mode.rawEscapes && (!l.mode.rawQuotes || pattern) {
			out.add(string(rune(l.escape)))
		}
		out.add(string(rune(l.escape)))
	}
}

// name reads a variable's name: digits, one special parameter, or letters,
// digits and underscores; "" if there is none.
func (l *lexer) name() string {
	from := l.pos
	for l.pos < len(l.src) && letter(l.src[l.pos]) {
		l.pos++
	}
	for l.pos < len(l.src) {
		r, n := utf8.DecodeRuneInString(l.src[l.pos:])
		first := l.pos == from
		switch {
		case first && unicode.IsDigit(r):
			for l.pos < len(l.src) && unicode.IsDigit(r) {
				l.pos += n
				r, n = utf8.DecodeRuneInString(l.src[l.pos:])
			}
			return l.src[from:l.pos]
		case first && strings.ContainsRune("@*#?-$!", r):
			l.pos += n
			return l.src[from:l.pos]
		case r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r):
			return l.src[from:l.pos]
		}
		l.pos += n
	}
	return l.src[from:]
}

// letter tells those that names are made of, nearly always.
func letter(c byte) bool { return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }

// splitter collects the text and, if wanted, its words.
type splitter struct {
	text  joined
	split bool
	word  joined
	words []string
}

// joined is text of several pieces, which takes memory only if they are.
type joined struct {
	one  string
	many strings.Builder
}

func (j *joined) add(s string) {
	switch {
	case j.one == "":
		j.one = s
	case s != "":
		if j.many.Len() == 0 {
			j.many.WriteString(j.one)
		}
		j.many.WriteString(s)
	}
}

func (j *joined) String() string {
	if j.many.Len() > 0 {
		return j.many.String()
	}
	return j.one
}

// add takes text whose blanks separate words.
func (s *splitter) add(text string) {
	s.text.add(text)
	for s.split && text != "" {
		n := strings.IndexFunc(text, unicode.IsSpace)
		if n < 0 {
			s.word.add(text)
			return
		}
		s.word.add(text[:n])
		s.flush()
		text = strings.TrimLeftFunc(text[n:], unicode.IsSpace)
	}
}

// addQuoted takes text whose blanks do not.
func (s *splitter) addQuoted(text string) {
	s.text.add(text)
	if s.split {
		s.word.add(text)
	}
}

func (s *splitter) flush() {
	if word := s.word.String(); word != "" {
		s.words = append(double(s.words), word)
		s.word = joined{}
	}
}

func (s *splitter) end() []string {
	s.flush()
	return s.words
}
