package plan

import (
	"fmt"
	"io"
	"strconv"
	"unicode/utf8"

	"docksmith/lib/dockerfile"
)

// Encode writes p as one compact line of JSON. The same plan always gives the
// same bytes: those of encoding/json without its escapes for HTML, which takes
// several times as long. A plan that [Decode] would find too large is an error.
func Encode(w io.Writer, p *Plan) error {
	return encode(w, p, MaxSize)
}

func encode(w io.Writer, p *Plan, most int64) error {
	e := &encoder{w: w, most: most, buf: make([]byte, 0, 64<<10)}
	e.plan(p)
	e.raw("\n")
	e.flush()
	if e.err != nil {
		return fmt.Errorf("write plan: %w", e.err)
	}
	return nil
}

// encoder writes values. After the first error, which stays in err, it writes
// nothing more.
type encoder struct {
	w       io.Writer
	most    int64 // bytes that may be written
	written int64
	buf     []byte
	err     error
}

func (e *encoder) raw(s string) {
	if len(s) > cap(e.buf)-len(e.buf) {
		e.long(s)
		return
	}
	e.buf = append(e.buf, s...)
}

func (e *encoder) long(s string) {
	for s != "" {
		if len(e.buf) == cap(e.buf) {
			e.flush()
		}
		n := min(len(s), cap(e.buf)-len(e.buf))
		e.buf = append(e.buf, s[:n]...)
		s = s[n:]
	}
}

func (e *encoder) flush() {
	e.write(e.buf)
	e.buf = e.buf[:0]
}

func (e *encoder) write(text []byte) {
	if e.written += int64(len(text)); e.written > e.most && e.err == nil {
		e.err = errTooLarge(e.most)
	}
	if e.err == nil {
		_, e.err = e.w.Write(text)
	}
}

func (e *encoder) plan(p *Plan) {
	e.text(`{"schema":"`, p.Schema)
	e.option(`,"file":"`, p.File)
	e.option(`,"syntax":"`, p.Syntax)
	e.option(`,"check":"`, p.Check)
	e.text(`,"escape":"`, p.Escape)
	list(e, `,"args":[`, p.Args, e.arg)
	list(e, `,"warnings":[`, p.Warnings, e.warning)
	e.raw(`,"stages":[`)
	for i, s := range p.Stages {
		e.comma(i)
		e.stage(s)
	}
	e.raw(`]`)
	e.truth(`,"end":`, p.End)
	e.raw(`}`)
}

func (e *encoder) arg(a *Arg) {
	e.text(`{"name":"`, a.Name)
	if a.Default != nil {
		e.text(`,"default":"`, *a.Default)
	}
	e.number(`,"line":`, a.Line)
	e.raw(`}`)
}

func (e *encoder) warning(w *Warning) {
	e.text(`{"rule":"`, w.Rule)
	e.number(`,"line":`, w.Line)
	e.text(`,"text":"`, w.Text)
	e.raw(`}`)
}

func (e *encoder) stage(s *Stage) {
	e.number(`{"index":`, s.Index)
	e.option(`,"name":"`, s.Name)
	e.text(`,"from":"`, s.From)
	e.option(`,"platform":"`, s.Platform)
	e.lines(s.Line, s.EndLine)
	e.option(`,"text":"`, s.Text)
	e.raw(`,"steps":[`)
	if len(s.Steps) <= 4*partSize {
		e.steps(s.Steps)
	} else {
		e.many(s.Steps)
	}
	e.raw(`]}`)
}

func (e *encoder) steps(steps []*Step) {
	for i, s := range steps {
		e.comma(i)
		e.raw(opMembers[s.Op])
		e.lines(s.Line, s.EndLine)
		e.step(s)
	}
}

// step writes what comes after the name and the lines, which triggers do not have.
func (e *encoder) step(s *dockerfile.Instruction) {
	e.option(`,"text":"`, s.Text)
	list(e, `,"flags":[`, s.Flags(), e.flag)
	e.raw(formMembers[s.Form])
	e.words(`,"args":["`, s.Args)
	list(e, `,"heredocs":[`, s.Heredocs(), e.heredoc)
	if t := s.Trigger(); t != nil {
		e.raw(`,"step":`)
		e.raw(opMembers[t.Op])
		e.step(t)
	}
	e.raw(`}`)
}

func (e *encoder) flag(f *Flag) {
	e.text(`{"name":"`, f.Name)
	e.text(`,"value":"`, f.Value)
	e.raw(`}`)
}

func (e *encoder) heredoc(d *Heredoc) {
	e.text(`{"name":"`, d.Name)
	if d.FD != 0 {
		e.number(`,"fd":`, d.FD)
	}
	e.truth(`,"expand":`, d.Expand)
	e.truth(`,"stripTabs":`, d.StripTabs)
	e.text(`,"text":"`, d.Text)
	e.raw(`}`)
}

// list writes a member that is left out where it would be empty.
func list[T any](e *encoder, key string, values []T, value func(*T)) {
	if len(values) == 0 {
		return
	}
	e.raw(key)
	for i := range values {
		e.comma(i)
		value(&values[i])
	}
	e.raw(`]`)
}

// words is list for strings; the key brings the first quote too.
func (e *encoder) words(key string, words []string) {
	if len(words) == 0 {
		return
	}
	for _, word := range words {
		e.text(key, word)
		key = `,"`
	}
	e.raw(`]`)
}

func (e *encoder) comma(i int) {
	if i > 0 {
		e.raw(",")
	}
}

func (e *encoder) lines(line, end int) {
	e.number(`,"line":`, line)
	if end != line {
		e.number(`,"endLine":`, end)
	}
}

func (e *encoder) option(key, value string) {
	if value != "" {
		e.text(key, value)
	}
}

func (e *encoder) truth(key string, value bool) {
	e.raw(key)
	e.raw(strconv.FormatBool(value))
}

func (e *encoder) number(key string, value int) {
	const longest = 20
	e.raw(key)
	if cap(e.buf)-len(e.buf) < longest {
		e.flush()
	}
	e.buf = strconv.AppendInt(e.buf, int64(value), 10)
}

// text writes a key, which brings its quotes, its colon and what opens the
// string, and the string.
func (e *encoder) text(key, value string) {
	plain := 0 // what has no escape in front; most have none at all
	for plain < len(value) && isPlain[value[plain]] {
		plain++
	}
	if plain == len(value) && len(key)+len(value)+1 <= cap(e.buf)-len(e.buf) {
		e.buf = append(append(append(e.buf, key...), value...), '"')
		return
	}
	e.raw(key)
	from := 0
	for i := plain; i < len(value); {
		if isPlain[value[i]] {
			i++
			continue
		}
		escape, n := escaped(value[i:])
		if escape != "" {
			e.raw(value[from:i])
			e.raw(escape)
			from = i + n
		}
		i += n
	}
	e.raw(value[from:])
	e.raw(`"`)
}

// escaped gives the escape for the first character of s, empty if it needs
// none, and the length of the character.
func escaped(s string) (escape string, n int) {
	r, n := utf8.DecodeRuneInString(s)
	switch {
	case r == utf8.RuneError && n == 1:
		return `\ufffd`, n
	case r == '\n':
		return `\n`, n
	case r == '\t':
		return `\t`, n
	case r == '\r':
		return `\r`, n
	case r == '\b':
		return `\b`, n
	case r == '\f':
		return `\f`, n
	case r == '\u2028':
		return `\u2028`, n
	case r == '\u2029':
		return `\u2029`, n
	case r >= utf8.RuneSelf:
		return "", n
	case r < ' ':
		return controls[6*r : 6*r+6], n
	case r == '"':
		return `\"`, n
	case r == '\\':
		return `\\`, n
	}
	return "", n
}

// opMembers and formMembers are members with one of few values, as they are
// written: most of what there is.
var opMembers, formMembers = func() (ops, forms [256]string) {
	for i := range dockerfile.Workdir + 1 {
		ops[i] = `{"op":"` + dockerfile.Op(i).String() + `"`
	}
	for i := range forms {
		if form := dockerfile.Form(i).String(); form != "" {
			forms[i] = `,"form":"` + form + `"`
		}
	}
	return ops, forms
}()

// isPlain tells the bytes that stand for themselves, whatever is around them.
var isPlain = func() (plain [256]bool) {
	for c := ' '; c < utf8.RuneSelf; c++ {
		plain[c] = c != '"' && c != '\\'
	}
	return plain
}()

// controls are the escapes of the characters below the blank, of six bytes each.
const controls = `\u0000\u0001\u0002\u0003\u0004\u0005\u0006\u0007` +
	`\u0008\u0009\u000a\u000b\u000c\u000d\u000e\u000f` +
	`\u0010\u0011\u0012\u0013\u0014\u0015\u0016\u0017` +
	`\u0018\u0019\u001a\u001b\u001c\u001d\u001e\u001f`
