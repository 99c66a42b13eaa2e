package dockerfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// HeredocWord tells whether an argument of COPY or ADD introduces a
// here-document, and which delimiter it names.
func HeredocWord(word string) (name string, ok bool) {
	doc, ok, err := parseHeredoc(word)
	return doc.Name, ok && err == nil
}

// parseHeredoc reads a word like 3<<-'EOF'.
func parseHeredoc(word string) (doc Heredoc, ok bool, err error) {
	n := 0
	for n < len(word) && word[n] >= '0' && word[n] <= '9' {
		n++
	}
	digits, name := word[:n], word[n:]
	if name, ok = strings.CutPrefix(name, "<<"); !ok {
		return doc, false, nil
	}
	name, doc.StripTabs = strings.CutPrefix(name, "-")
	name = strings.TrimLeftFunc(name, blank)
	if name == "" || strings.Contains(name, "<") {
		return doc, false, nil
	}
	if digits != "" {
		if doc.FD, err = strconv.Atoi(digits); err != nil {
			return doc, false, fmt.Errorf("here-document: %s is no file descriptor", quoted(digits))
		}
	}
	doc.Name, doc.Expand, ok, err = delimiter(name)
	return doc, ok, err
}

// delimiter takes the quotes off a here-document's name. More than one word is
// no name.
func delimiter(word string) (name string, bare, ok bool, err error) {
	if !strings.ContainsAny(word, "'\"\\$ \t\v\f\r\u0085\u00a0") {
		return word, true, true, nil
	}
	mode := lexMode{quotes: true, keepUnset: true, split: true}
	names, err := words(word, mode)
	if err != nil || len(names) != 1 {
		return "", false, false, err
	}
	mode.rawQuotes = true
	raw, err := words(word, mode)
	if err != nil || len(raw) != 1 {
		return "", false, false, err
	}
	return names[0], quotes(names[0]) == quotes(raw[0]), true, nil // as many: none has gone
}

// words splits as a shell does that knows no variables.
func words(text string, mode lexMode) ([]string, error) {
	l := newLexer(text, '\\', nil, mode)
	_, split, err := l.until(0, false, false)
	return split, err
}

func quotes(s string) int { return strings.Count(s, `"`) + strings.Count(s, "'") }

// heredocs reads the here-documents that the words of an ADD, COPY or RUN (or
// of an ONBUILD of them) introduce. They follow the logical line in order.
func (p *parser) heredocs(in *Instruction, text string) error {
	if t := in.Trigger(); t != nil {
		in = t
	}
	switch {
	case in.Op != Add && in.Op != Copy && in.Op != Run, p.array, !strings.Contains(text, "<<"):
		return nil
	}
	docs, err := introduced(p.docs[:0], text)
	if err != nil {
		return err
	}
	for i := range docs {
		doc := &docs[i]
		if doc.Text, err = p.src.document(*doc); err != nil {
			return err
		}
		if p.src.foul {
			if err := checkText(doc.Text); err != nil {
				return fmt.Errorf("here-document %s: %w", quoted(doc.Name), err)
			}
		}
	}
	switch {
	case len(docs) == 0:
	case len(docs) < lastSlab:
		p.extra(in).Heredocs, p.docs = p.documents.copy(docs), docs
	default:
		p.extra(in).Heredocs, p.docs = docs, nil
	}
	return nil
}

// introduced finds the words that introduce here-documents, as a shell splits
// the line. A line that no shell could split has none.
func introduced(docs []Heredoc, text string) ([]Heredoc, error) {
	if plainWords(text) {
		return introducedPlainly(docs, text)
	}
	mode := lexMode{quotes: true, rawQuotes: true, rawEscapes: true, keepUnset: true, split: true}
	split, err := words(text, mode)
	if err != nil {
		return nil, nil
	}
	for _, word := range split {
		doc, ok, err := parseHeredoc(word)
		if err != nil {
			return nil, err
		}
		if ok {
			docs = append(double(docs), doc)
		}
	}
	return docs, nil
}

// plainWords tells whether a shell splits a text at its blanks alone.
func plainWords(text string) bool {
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"', c == '\'', c == '\\', c == '$', c >= utf8.RuneSelf:
			return false
		}
	}
	return true
}

// introducedPlainly is introduced for such a text. The blanks behind "<<" belong
// to its word.
func introducedPlainly(docs []Heredoc, text string) ([]Heredoc, error) {
	from, found := 0, false // the current word, and whether "<<" is in it
	for i := 0; i <= len(text); i++ {
		switch {
		case i == len(text) || unicode.IsSpace(rune(text[i])):
			if found {
				doc, ok, err := parseHeredoc(text[from:i])
				if err != nil {
					return nil, err
				}
				if ok {
					docs = append(double(docs), doc)
				}
			}
			from, found = i+1, false
		case strings.HasPrefix(text[i:], "<<"):
			found = true
			for i++; i+1 < len(text) && strings.IndexByte(" \t\r", text[i+1]) >= 0; {
				i++
			}
		}
	}
	return docs, nil
}

// document reads the lines up to the one that is the delimiter.
func (s *source) document(doc Heredoc) (string, error) {
	from := s.pos
	var stripped strings.Builder
	for {
		end := s.pos
		line, ok := s.physical()
		if !ok {
			return "", errors.New("here-document without its end " + quoted(doc.Name))
		}
		if doc.StripTabs {
			line = strings.TrimLeft(line, "\t")
		}
		if trimNewline(line) == doc.Name {
			if doc.StripTabs {
				return stripped.String(), nil
			}
			return s.data[from:end], nil
		}
		if doc.StripTabs {
			stripped.WriteString(line)
		}
	}
}
