package dockerfile

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// blank tells the characters that separate words.
func blank(r rune) bool {
	switch r {
	case ' ', '\t', '\v', '\f', '\r':
		return true
	}
	return false
}

// firstField is s up to its first blank.
func firstField(s string) string {
	for i := 0; i < len(s); i++ {
		if blank(rune(s[i])) {
			return s[:i]
		}
	}
	return s
}

// splitCommand takes an instruction apart: its name, the words in front that
// begin with "--" (quotes and escapes resolved), added to words, and the rest.
// There is no white space around the text.
func splitCommand(words []string, text string, escape byte) (name string, flags []string, rest string) {
	name = firstField(text)
	rest = text[len(name):]
	flags = words
	for {
		rest = trimLeft(rest)
		if !strings.HasPrefix(rest, "--") {
			break
		}
		var word string
		word, rest = flagWord(rest, escape)
		if word == "--" {
			break
		}
		flags = append(double(flags), word)
	}
	return name, flags, trimLeft(rest)
}

// flagWord reads one word up to an unquoted blank. Unlike in a shell, the
// escape character works inside single quotes too.
func flagWord(s string, escape byte) (word, rest string) {
	for i := 0; ; i++ { // with nothing to resolve it takes no memory
		if i == len(s) || blank(rune(s[i])) || s[i] == '\n' {
			return s[:i], s[i:]
		}
		if s[i] == escape || s[i] == '\'' || s[i] == '"' {
			break
		}
	}
	var out strings.Builder
	var quote byte
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == escape:
			if i+1 < len(s) {
				i++
				out.WriteByte(s[i])
			}
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			out.WriteByte(c)
		case c == '\'' || c == '"':
			quote = c
		case blank(rune(c)) || c == '\n':
			return out.String(), s[i:]
		default:
			out.WriteByte(c)
		}
	}
	return out.String(), ""
}

// appendFields splits at blanks and knows no quotes.
func appendFields(words []string, s string) []string {
	from := -1 // where the current word starts
	for i := 0; i < len(s); i++ {
		switch isBlank := blank(rune(s[i])); {
		case isBlank && from >= 0:
			words = append(foresee(words, i, len(s)), s[from:i])
			from = -1
		case !isBlank && from < 0:
			from = i
		}
	}
	if from >= 0 {
		words = append(double(words), s[from:])
	}
	return words
}

// appendQuotedWords splits at blanks outside of quotes; quotes and escapes stay.
func appendQuotedWords(words []string, s string, escape byte) []string {
	from := -1 // where the current word starts
	var quote rune
	for i := 0; i < len(s); {
		r, n := rune(s[i]), 1
		if r >= utf8.RuneSelf {
			r, n = utf8.DecodeRuneInString(s[i:])
		}
		switch {
		case from < 0 && unicode.IsSpace(r):
			i += n
			continue
		case from < 0:
			from = i
		}
		switch {
		case quote == 0 && unicode.IsSpace(r):
			words = append(foresee(words, i, len(s)), s[from:i])
			from = -1
		case r == rune(escape) && quote != '\'':
			if i+n == len(s) { // a lone escape character at the end is dropped
				if from < i {
					words = append(double(words), s[from:i])
				}
				return words
			}
			_, more := utf8.DecodeRuneInString(s[i+n:])
			n += more
		case r == quote:
			quote = 0
		case quote == 0 && (r == '\'' || r == '"'):
			quote = r
		}
		i += n
	}
	if from >= 0 {
		words = append(double(words), s[from:])
	}
	return words
}

// keyValues looks at the words of an ENV or LABEL: KEY=VALUE, or in the old
// form a key and everything behind it as its value, which makes one word.
func (p *parser) keyValues(op Op, rest string) (oldForm bool, err error) {
	if len(p.words) == 0 || strings.IndexByte(p.words[0], '=') >= 0 {
		return false, nil
	}
	key := firstField(rest)
	value := strings.TrimLeftFunc(rest[len(key):], blank)
	if value == "" {
		return false, fmt.Errorf("%s %s has no value: write %s %s=VALUE", op, quoted(key), op, short(key))
	}
	p.words = append(p.words[:0], key+"="+value)
	return true, nil
}

var errNotStrings = errors.New("a JSON array must hold strings only")

// jsonArray reads the exec form into the words. If rest is no JSON array, which
// makes it the other form, it leaves them alone; an array of other things is an
// error.
func (p *parser) jsonArray(rest string) (err error) {
	if !strings.HasPrefix(rest, "[") {
		return nil
	}
	if p.array = p.plainArray(rest); p.array {
		return nil
	}
	text := []byte(rest)
	if !json.Valid(text) {
		return nil
	}
	var items []*string // null would pass as an empty string
	if err := json.Unmarshal(text, &items); err != nil {
		return errNotStrings
	}
	for _, s := range items {
		if s == nil {
			return errNotStrings
		}
		p.words = append(double(p.words), *s)
	}
	p.array = true
	return nil
}

// plainArray reads a JSON array of plain strings, which nearly all are, at a
// fraction of the cost.
func (p *parser) plainArray(s string) bool {
	before := len(p.words)
	s = trimJSON(s[1:])
	if s == "]" {
		return true
	}
	for more := true; more; {
		word, rest, ok := plainString(s)
		if !ok {
			break
		}
		p.words = append(double(p.words), word)
		if s = trimJSON(rest); s == "]" {
			return true
		}
		if s, more = strings.CutPrefix(s, ","); more {
			s = trimJSON(s)
		}
	}
	p.words = p.words[:before]
	return false
}

// plainString reads a string of JSON with no other escapes than those of one
// letter.
func plainString(s string) (word, rest string, ok bool) {
	if s, ok = strings.CutPrefix(s, `"`); !ok {
		return "", "", false
	}
	var out joined
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			out.add(s[:i])
			return out.String(), s[i+1:], true
		case c < ' ':
			return "", "", false
		case c == '\\':
			n := -1
			if i+1 < len(s) {
				n = strings.IndexByte(jsonEscapes, s[i+1])
			}
			if n < 0 {
				return "", "", false
			}
			out.add(s[:i])
			out.add(jsonEscaped[n : n+1])
			s, i = s[i+2:], -1
		}
	}
	return "", "", false
}

// What stands for what behind a backslash in JSON, but for \u.
const (
	jsonEscapes = `"\/bfnrt`
	jsonEscaped = "\"\\/\b\f\n\r\t"
)

// trimJSON takes the blanks off that JSON knows.
func trimJSON(s string) string { return strings.TrimLeft(s, " \t\r\n") }

func jsonString(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
