package plan

import (
	"bytes"
	"fmt"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// quoted reads a string up to its closing quote and over it. It is good until
// the next one.
func (s *scanner) quoted() []byte {
	out := s.scratch[:0]
	for {
		from := s.pos
		for s.pos < len(s.buf) && s.buf[s.pos] >= ' ' && s.buf[s.pos] != '"' && s.buf[s.pos] != '\\' {
			s.pos++
		}
		part := s.buf[from:s.pos]
		switch {
		case s.pos == len(s.buf):
			out = append(out, part...)
			if !s.fill() {
				s.fail(ErrCut)
				return nil
			}
		case s.buf[s.pos] == '"':
			s.pos++
			if len(out) == 0 {
				return part
			}
			s.scratch = append(out, part...)
			return s.scratch
		case s.buf[s.pos] == '\\':
			s.pos++
			out = s.escape(append(out, part...))
		default:
			s.expected("no control character")
			return nil
		}
	}
}

// escape reads what follows a backslash and adds its meaning to out. A half of
// a surrogate pair means U+FFFD, as in encoding/json.
func (s *scanner) escape(out []byte) []byte {
	c := s.next()
	if i := strings.IndexByte(`"\/bfnrt`, c); i >= 0 && s.err == nil {
		return append(out, "\"\\/\b\f\n\r\t"[i])
	}
	if c != 'u' {
		s.fail(fmt.Errorf("byte %d is %q where an escape should be", s.read+int64(s.pos)-1, rune(c)))
		return out
	}
	r := s.hex()
	for utf16.IsSurrogate(r) {
		if s.pos == len(s.buf) {
			s.fill()
		}
		if s.pos == len(s.buf) || s.buf[s.pos] != '\\' {
			return utf8.AppendRune(out, r)
		}
		s.pos++
		if s.pos == len(s.buf) {
			s.fill()
		}
		if s.pos == len(s.buf) || s.buf[s.pos] != 'u' {
			return s.escape(utf8.AppendRune(out, r))
		}
		s.pos++
		second := s.hex()
		if pair := utf16.DecodeRune(r, second); pair != utf8.RuneError {
			return utf8.AppendRune(out, pair)
		}
		out, r = utf8.AppendRune(out, r), second
	}
	return utf8.AppendRune(out, r)
}

// next is the next byte of a string, 0 at the end.
func (s *scanner) next() byte {
	if s.pos == len(s.buf) && !s.fill() {
		s.fail(ErrCut)
		return 0
	}
	s.pos++
	return s.buf[s.pos-1]
}

// hex reads the four digits of an escape.
func (s *scanner) hex() (r rune) {
	for range 4 {
		c := s.next()
		n := strings.IndexByte("0123456789abcdef", c|0x20)
		if n < 0 || c < '0' {
			s.fail(fmt.Errorf("byte %d is %q where a hexadecimal digit should be", s.read+int64(s.pos)-1, rune(c)))
			return 0
		}
		r = r<<4 | rune(n)
	}
	return r
}

// keep makes a string of what quoted has read. Small ones share memory.
func (s *scanner) keep(text []byte) string {
	switch {
	case len(text) == 0:
		return ""
	case !utf8.Valid(text):
		s.fail(fmt.Errorf("the string before byte %d is not valid UTF-8", s.read+int64(s.pos)))
	case bytes.IndexByte(text, 0) >= 0:
		s.fail(fmt.Errorf("the string before byte %d has a NUL", s.read+int64(s.pos)))
	case len(text) > slabSize/8:
		return string(text)
	}
	if s.strings.Len()+len(text) > s.strings.Cap() {
		s.strings = strings.Builder{}
		s.strings.Grow(slabSize)
	}
	from := s.strings.Len()
	s.strings.Write(text)
	return s.strings.String()[from:]
}

func (s *scanner) intern(word []byte) string {
	if known, ok := s.known[string(word)]; ok {
		return known
	}
	return s.keep(word)
}
