package dockerfile

import (
	"fmt"
	"io"
	"io/fs"
	"strings"
	"unicode"
	"unicode/utf8"
)

// source gives the logical lines of a file: comments and blank lines gone,
// continuation lines joined. It passes over every byte a fixed number of times.
type source struct {
	data string
	foul bool // the data has what checkText refuses somewhere
	pos  int
	line int // lines read so far
	directives
	notes notes // about the line that logical returned last; the parser sets oldForm
}

// notes are what the checks want to know about how an instruction is written
// and its parsed form does not tell.
type notes struct {
	comment string // the comment on the line above, for ARG and FROM
	blank   int    // the first blank line between continuation lines, or 0
	oldForm bool   // ENV KEY value
}

// of are the notes that matter for an instruction.
func (n notes) of(op Op) notes {
	if op != Arg && op != From {
		n.comment = ""
	}
	return n
}

func newSource(data string) *source {
	return &source{
		data:       strings.TrimPrefix(data, "\ufeff"),
		foul:       checkText(data) != nil,
		directives: directives{escape: '\\'},
	}
}

// physical returns the next line with its line end.
func (s *source) physical() (line string, ok bool) {
	if s.pos == len(s.data) {
		return "", false
	}
	rest := s.data[s.pos:]
	if n := strings.IndexByte(rest, '\n'); n >= 0 {
		rest = rest[:n+1]
	}
	s.pos += len(rest)
	s.line++
	return rest, true
}

// logical returns the next line that holds an instruction, with the line it
// starts at; io.EOF after the last.
func (s *source) logical() (text string, start int, err error) {
	s.notes = notes{}
	for {
		line, ok := s.physical()
		if !ok {
			return "", s.line, io.EOF
		}
		line = trimLeft(trimNewline(line))
		directives := len(s.found)
		if err := s.see(line, s.line); err != nil {
			return "", s.line, err
		}
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			s.notes.comment = ""
			if len(s.found) == directives {
				s.notes.comment = strings.TrimSpace(comment)
			}
			continue
		}
		text, more := s.cut(line)
		if text == "" && !more {
			s.notes.comment = ""
			continue
		}
		start = s.line
		if more {
			text = s.continued(text)
		}
		return text, start, nil
	}
}

// continued joins the lines after one that ends in the escape character. They
// keep their indent; comments and blank lines between them vanish.
func (s *source) continued(first string) string {
	var joined strings.Builder
	joined.WriteString(first)
	for more := true; more; {
		line, ok := s.physical()
		if !ok {
			break
		}
		line = trimNewline(line)
		if bare := trimLeft(line); bare == "" || bare[0] == '#' {
			if bare == "" && s.notes.blank == 0 {
				s.notes.blank = s.line
			}
			continue
		}
		line, more = s.cut(line)
		joined.WriteString(line)
	}
	return joined.String()
}

// cut takes the continuation mark off a line: the escape character, not
// itself escaped, with nothing but blanks behind it.
func (s *source) cut(line string) (text string, more bool) {
	bare := line
	for bare != "" && (bare[len(bare)-1] == ' ' || bare[len(bare)-1] == '\t') {
		bare = bare[:len(bare)-1]
	}
	if bare == "" || bare[len(bare)-1] != s.escape {
		return line, false
	}
	bare = bare[:len(bare)-1]
	if bare != "" && bare[len(bare)-1] == s.escape {
		return line, false
	}
	return bare, true
}

func trimNewline(line string) string {
	for line != "" && (line[len(line)-1] == '\n' || line[len(line)-1] == '\r') {
		line = line[:len(line)-1]
	}
	return line
}

// trimLeft takes the white space off that nearly no text has in front.
func trimLeft(s string) string {
	if s == "" || visible(s[0]) {
		return s
	}
	return strings.TrimLeftFunc(s, unicode.IsSpace)
}

// trimSpace takes it off at both ends.
func trimSpace(s string) string {
	if s == "" || visible(s[0]) && visible(s[len(s)-1]) {
		return s
	}
	return strings.TrimSpace(s)
}

func visible(c byte) bool { return c > ' ' && c < utf8.RuneSelf }

// directives are the comments at the top of a file that mean something:
// "# name=value" for syntax, escape and check, each once at most. The first
// line that is none ends them.
type directives struct {
	escape  byte
	found   map[string]string
	done    bool
	shebang bool // "#!" on the first line: what follows does not set escape
}

// see looks at a line without its indent.
func (d *directives) see(line string, number int) error {
	if d.done {
		return nil
	}
	if number == 1 && strings.HasPrefix(line, "#!") {
		d.shebang = true
		return nil
	}
	name, value := directive(line)
	switch name {
	case "syntax", "escape", "check":
	default:
		d.done = true
		return nil
	}
	if _, twice := d.found[name]; twice {
		return fmt.Errorf("a second %s directive", name)
	}
	if err := checkText(value); err != nil {
		return fmt.Errorf("%s directive: %w", name, err)
	}
	if d.found == nil {
		d.found = map[string]string{}
	}
	d.found[name] = value
	if name == "check" {
		if _, err := ParseRules(value); err != nil {
			return fmt.Errorf("check directive: %w", err)
		}
	}
	if name != "escape" || d.shebang {
		return nil
	}
	if value != `\` && value != "`" {
		return fmt.Errorf("escape directive: %s is neither \\ nor `", quoted(value))
	}
	d.escape = value[0]
	return nil
}

// directive reads the name, in lower case, and the value of a line such as
// "# name = value"; the name is empty if the line is another.
func directive(line string) (name, value string) {
	const blanks = " \t\f\r"
	text, comment := strings.CutPrefix(line, "#")
	name, value, has := strings.Cut(trimLeft(text), "=")
	name = strings.TrimRight(name, blanks)
	if !comment || !has || value == "" || strings.ContainsFunc(name, func(r rune) bool { return r >= utf8.RuneSelf }) {
		return "", ""
	}
	bare := strings.Trim(value, blanks)
	if bare == "" { // nothing is no value, but a blank is one
		bare = value[len(value)-1:]
	}
	return strings.ToLower(name), bare
}

// readText reads all of r, and at most so many bytes. It doubles its memory where
// it has to, and the text needs no copy in the end.
func readText(r io.Reader, most int) (string, error) {
	var text strings.Builder
	if f, ok := r.(interface{ Stat() (fs.FileInfo, error) }); ok {
		if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
			text.Grow(min(int(info.Size()), most))
		}
	}
	r = io.LimitReader(r, int64(most))
	buf := make([]byte, 32<<10)
	for {
		n, err := r.Read(buf)
		if free := text.Cap() - text.Len(); n > free {
			text.Grow(max(n, text.Len()))
		}
		text.Write(buf[:n])
		if err == io.EOF {
			return text.String(), nil
		} else if err != nil {
			return "", err
		}
	}
}
