package dockerfile

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// HeredocWord tells whether an argument of COPY or ADD introduces a
// here-document, and which delimiter it names.
func HeredocWord(word string) (name string, ok bool) {
	doc, ok, err := parseHeredoc(word)
	return doc.Name, ok && err == nil
}

// parseHeredoc reads a word like 3<<-'EOF'.
func parseHeredoc(word string) (doc Heredoc, ok bool, err error) {
	name := strings.TrimLeft(word, "0123456789")
	digits := word[:len(word)-len(name)]
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
	_, split, err := newLexer(text, '\\', nil, mode).until(0, false, false)
	return split, err
}

func quotes(s string) int { return strings.Count(s, `"`) + strings.Count(s, "'") }

// heredocs reads the here-documents that the words of an ADD, COPY or RUN (or
// of an ONBUILD of them) introduce. They follow the logical line in order.
func (p *parser) heredocs(in *Instruction, text string) error {
	if in.Trigger != nil {
		in = in.Trigger
	}
	switch {
	case in.Op != Add && in.Op != Copy && in.Op != Run, p.array, !strings.Contains(text, "<<"):
		return nil
	}
	docs, err := introduced(text)
	if err != nil {
		return err
	}
	for _, doc := range docs {
		if doc.Text, err = p.src.document(doc); err != nil {
			return err
		}
		if err := checkText(doc.Text); err != nil {
			return fmt.Errorf("here-document %s: %w", quoted(doc.Name), err)
		}
		in.Heredocs = append(in.Heredocs, doc)
	}
	return nil
}

// introduced finds the words that introduce here-documents, as a shell splits
// the line. A line that no shell could split has none.
func introduced(text string) ([]Heredoc, error) {
	mode := lexMode{quotes: true, rawQuotes: true, rawEscapes: true, keepUnset: true, split: true}
	split, err := words(text, mode)
	if err != nil {
		return nil, nil
	}
	var docs []Heredoc
	for _, word := range split {
		doc, ok, err := parseHeredoc(word)
		if err != nil {
			return nil, err
		}
		if ok {
			docs = append(docs, doc)
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
