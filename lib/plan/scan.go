package plan

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxDepth   = 10000    // of values inside each other, as in encoding/json
	maxLiteral = 1000     // bytes of a number
	bufSize    = 64 << 10 // what is read at a time
	slabSize   = 32 << 10 // what small strings are put into
)

// scanner reads JSON as it comes, once, and keeps no more of it than the
// strings that it is asked for. After the first error, which stays in err,
// there is nothing but zero values and the end of every list.
type scanner struct {
	r     io.Reader
	most  int64 // bytes that may come
	buf   []byte
	pos   int
	read  int64 // bytes before buf
	err   error
	ended bool // the input has
	depth int

	path    []string // the members that lead here
	scratch []byte   // a string that is not in buf as a whole
	strings strings.Builder
	known   map[string]string
}

func newScanner(r io.Reader, most int64, known []string) *scanner {
	s := &scanner{r: r, most: most, buf: make([]byte, 0, bufSize), known: map[string]string{}}
	for _, word := range known {
		s.known[word] = word
	}
	return s
}

func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = err
	}
	s.buf, s.pos = s.buf[:0], 0
}

func (s *scanner) atEnd() bool { return s.pos == len(s.buf) }

// expected fails where the next character is not what must be there.
func (s *scanner) expected(what string) {
	if s.pos == len(s.buf) {
		s.fail(ErrCut)
		return
	}
	r, _ := utf8.DecodeRune(s.buf[s.pos:])
	s.fail(fmt.Errorf("byte %d is %q where %s should be", s.read+int64(s.pos), r, what))
}

// fill reads on; false at the end.
func (s *scanner) fill() bool {
	if s.err != nil || s.ended {
		return false
	}
	s.read += int64(len(s.buf))
	s.buf, s.pos = s.buf[:0], 0
	for range 100 {
		n, err := s.r.Read(s.buf[:cap(s.buf)])
		s.buf = s.buf[:n]
		switch {
		case s.read+int64(n) > s.most:
			s.fail(errTooLarge(s.most))
			return false
		case err != nil && err != io.EOF:
			s.fail(err)
			return false
		}
		s.ended = err == io.EOF
		if n > 0 || s.ended {
			return n > 0
		}
	}
	s.fail(io.ErrNoProgress)
	return false
}

// peek is the next character that is no blank, 0 at the end.
func (s *scanner) peek() byte {
	for {
		for ; s.pos < len(s.buf); s.pos++ {
			switch c := s.buf[s.pos]; c {
			case ' ', '\t', '\r', '\n':
			default:
				return c
			}
		}
		if !s.fill() {
			return 0
		}
	}
}

// skip passes over c if that is next.
func (s *scanner) skip(c byte) bool {
	if s.pos == len(s.buf) || s.buf[s.pos] != c { // nearly always there are no blanks
		if s.peek() != c || s.pos == len(s.buf) {
			return false
		}
	}
	s.pos++
	return true
}

func (s *scanner) must(c byte, what string) bool {
	if !s.skip(c) {
		s.expected(what)
		return false
	}
	return true
}

// literal reads a value that is neither a string nor in brackets. It is good
// until the next one.
func (s *scanner) literal() []byte {
	s.scratch = s.scratch[:0]
	s.peek()
	for {
		if s.pos == len(s.buf) && !s.fill() {
			s.fail(ErrCut) // around it there is an object, which does not end
			return nil
		}
		c := s.buf[s.pos]
		if (c < '0' || c > '9') && (c < 'a' || c > 'z') && c != '-' && c != '+' && c != '.' && c != 'E' || len(s.scratch) > maxLiteral {
			break
		}
		s.scratch = append(s.scratch, c)
		s.pos++
	}
	switch word := s.scratch; {
	case len(word) == 0:
		s.expected("a value")
	case string(word) == "null", string(word) == "true", string(word) == "false", isNumber(word):
		return word
	default:
		s.fail(fmt.Errorf("%.40q is no value", word))
	}
	return nil
}

func isNumber(word []byte) bool {
	c := word[len(word)-1]
	return c >= '0' && c <= '9' && json.Valid(word)
}

// null reads a null, which stands for a member that is absent.
func (s *scanner) null() bool { return s.peek() == 'n' && s.literal() != nil }

// mistyped fails where a value is of another kind than its member.
func (s *scanner) mistyped() {
	var kind string
	switch s.peek() {
	case '"':
		kind = "string"
	case '{':
		kind = "object"
	case '[':
		kind = "array"
	default:
		switch word := s.literal(); {
		case word == nil:
			return
		case string(word) == "true", string(word) == "false":
			kind = "bool"
		case string(word) == "null":
			kind = "null"
		default:
			kind = "number " + string(word[:min(len(word), 40)])
		}
	}
	s.fail(fmt.Errorf("member %q holds a %s", s.member(), kind))
}

// member is where the scanner is, for messages.
func (s *scanner) member(more ...string) string {
	const most = 8 // triggers of triggers, which are no plan, may be deeper
	path := s.path[:min(len(s.path), most)]
	return strings.Join(slices.Concat(path, more), ".")
}

// pass reads a value that nobody wants.
func (s *scanner) pass() {
	switch s.peek() {
	case '{':
		o := s.object(nil)
		o.more()
	case '[':
		a := s.array()
		for a.more() {
			s.pass()
		}
	case '"':
		s.pos++
		s.quoted()
	default:
		s.literal()
	}
}

// text reads a string that stays.
func (s *scanner) text() string {
	if s.peek() != '"' && s.null() {
		return ""
	}
	return s.item()
}

// item is text where null stands for nothing.
func (s *scanner) item() string {
	if s.peek() != '"' {
		s.mistyped()
		return ""
	}
	s.pos++
	return s.keep(s.quoted())
}

// name is text for a word that is likely known already.
func (s *scanner) name() string {
	if s.peek() != '"' {
		return s.text()
	}
	s.pos++
	return s.intern(s.quoted())
}

func (s *scanner) number() int {
	if n, ok := s.digits(); ok {
		return n
	}
	c := s.peek()
	if c != '-' && (c < '0' || c > '9') {
		if !s.null() {
			s.mistyped()
		}
		return 0
	}
	word := s.literal()
	n, err := strconv.Atoi(string(word))
	if err != nil && word != nil {
		s.fail(fmt.Errorf("member %q holds a number %.40s", s.member(), word))
	}
	return n
}

// digits reads a number as nearly all are. It reads nothing if it is another.
func (s *scanner) digits() (n int, ok bool) {
	const most = 18 // fit
	i := s.pos
	for ; i < len(s.buf) && i < s.pos+most && s.buf[i] >= '0' && s.buf[i] <= '9'; i++ {
		n = 10*n + int(s.buf[i]-'0')
	}
	if i == s.pos || i == len(s.buf) || s.buf[s.pos] == '0' || s.buf[i] != ',' && s.buf[i] != '}' {
		return 0, false
	}
	s.pos = i
	return n, true
}

func (s *scanner) truth() bool {
	if c := s.peek(); c != 't' && c != 'f' {
		if !s.null() {
			s.mistyped()
		}
		return false
	}
	return string(s.literal()) == "true"
}
