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
	if n := strings.IndexFunc(s, blank); n >= 0 {
		return s[:n]
	}
	return s
}

// splitCommand takes an instruction apart: its name, the words in front that
// begin with "--" (quotes and escapes resolved), the rest.
func splitCommand(text string, escape byte) (name string, flags []string, rest string) {
	name = firstField(text)
	rest = text[len(name):]
	for {
		rest = strings.TrimLeftFunc(rest, unicode.IsSpace)
		if !strings.HasPrefix(rest, "--") {
			break
		}
		var word string
		word, rest = flagWord(rest, escape)
		if word == "--" {
			break
		}
		flags = append(flags, word)
	}
	return name, flags, strings.TrimSpace(rest)
}

// flagWord reads one word up to an unquoted blank. Unlike in a shell, the
// escape character works inside single quotes too.
func flagWord(s string, escape byte) (word, rest string) {
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

// fields splits at blanks and knows no quotes.
func fields(s string) []string { return strings.FieldsFunc(s, blank) }

// quotedWords splits at blanks outside of quotes; quotes and escapes stay.
func quotedWords(s string, escape byte) []string {
	var words []string
	from := -1 // where the current word starts
	var quote rune
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case from < 0 && unicode.IsSpace(r):
			i += n
			continue
		case from < 0:
			from = i
		}
		switch {
		case quote == 0 && unicode.IsSpace(r):
			words = append(words, s[from:i])
			from = -1
		case r == rune(escape) && quote != '\'':
			if i+n == len(s) {
				return appendWord(words, s[from:i]) // a lone escape character at the end is dropped
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
		words = append(words, s[from:])
	}
	return words
}

func appendWord(words []string, word string) []string {
	if word == "" {
		return words
	}
	return append(words, word)
}

// keyValues reads the arguments of ENV and LABEL: KEY=VALUE words, or in the
// old form a key and everything behind it as its value.
func keyValues(op, rest string, escape byte) (args []string, oldForm bool, err error) {
	words := quotedWords(rest, escape)
	if len(words) == 0 {
		return nil, false, nil
	}
	if !strings.Contains(words[0], "=") {
		key := firstField(rest)
		value := strings.TrimLeftFunc(rest[len(key):], blank)
		if value == "" {
			return nil, false, fmt.Errorf("%s %s has no value: write %s %s=VALUE", op, quoted(key), op, key)
		}
		return []string{key + "=" + value}, true, nil
	}
	return words, false, nil
}

var errNotStrings = errors.New("a JSON array must hold strings only")

// jsonArray reads the exec form. ok is false where rest is no JSON array, which
// makes it the other form; an array of other things is an error.
func jsonArray(rest string) (words []string, ok bool, err error) {
	if !strings.HasPrefix(rest, "[") || !json.Valid([]byte(rest)) {
		return nil, false, nil
	}
	var items []*string // null would pass as an empty string
	if err := json.Unmarshal([]byte(rest), &items); err != nil {
		return nil, false, errNotStrings
	}
	words = make([]string, len(items))
	for i, s := range items {
		if s == nil {
			return nil, false, errNotStrings
		}
		words[i] = *s
	}
	return words, true, nil
}

func jsonString(s string) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	_ = e.Encode(s) // a string always encodes
	return strings.TrimSuffix(b.String(), "\n")
}
