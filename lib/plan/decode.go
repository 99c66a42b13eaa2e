package plan

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"docksmith/lib/dockerfile"
)

// MaxSize bounds what [Encode] writes and [Decode] reads. The longest plan for
// its Dockerfile is that of "CMD" alone on every line: some seventeen times its
// size.
const MaxSize = 20 * dockerfile.MaxSize

// ErrCut says that the writer of a plan did not get to its end.
var ErrCut = errors.New("the plan is cut: it does not end with \"end\":true")

func errTooLarge(most int64) error { return fmt.Errorf("more than %d bytes", most) }

// Decode reads one plan and the end of the input behind it. Members that it
// does not know are ignored, another major version of the schema is refused,
// and so is a plan that lacks its end or is not what [New] could have made.
func Decode(r io.Reader) (*Plan, error) {
	p, err := decode(r, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	return p, nil
}

func decode(r io.Reader, most int64) (*Plan, error) {
	d := newDecoder(r, most)
	switch c := d.peek(); {
	case d.err != nil:
		return nil, d.err
	case d.atEnd():
		return nil, errors.New("the input is empty")
	case c != '{':
		return nil, errors.New("the input is not JSON: a plan comes from ds-parse")
	}
	p := d.plan()
	if d.err == nil {
		d.err = checkSchema(p.Schema)
	}
	if d.err == nil && !p.End {
		d.err = ErrCut
	}
	d.peek()
	switch {
	case d.err != nil:
		return nil, d.err
	case !d.atEnd():
		return nil, errors.New("data after the end of the plan")
	}
	return p, p.check()
}

// decoder reads the parts of a plan. Steps and words, which may be millions, get
// their memory in larger parts.
type decoder struct {
	*scanner
	steps []Step
	words []string
	args  []string // those of the current step
}

func newDecoder(r io.Reader, most int64) *decoder {
	return &decoder{scanner: newScanner(r, most, dockerfile.Words())}
}

// The members of each object.
var (
	planMembers    = members{`"schema":`, `"file":`, `"syntax":`, `"check":`, `"escape":`, `"args":`, `"warnings":`, `"stages":`, `"end":`}
	argMembers     = members{`"name":`, `"default":`, `"line":`}
	warningMembers = members{`"rule":`, `"line":`, `"text":`}
	stageMembers   = members{`"index":`, `"name":`, `"from":`, `"platform":`, `"line":`, `"endLine":`, `"text":`, `"steps":`}
	stepMembers    = members{`"op":`, `"line":`, `"endLine":`, `"text":`, `"flags":`, `"form":`, `"args":`, `"heredocs":`, `"step":`}
	flagMembers    = members{`"name":`, `"value":`}
	heredocMembers = members{`"name":`, `"fd":`, `"expand":`, `"stripTabs":`, `"text":`}
)

func (d *decoder) plan() *Plan {
	p := &Plan{}
	o := d.object(planMembers)
	for o.more() {
		switch o.name {
		case "schema":
			p.Schema = d.text()
			if err := checkSchema(p.Schema); p.Schema != "" && err != nil {
				d.fail(err) // its members may be others
			}
		case "file":
			p.File = d.text()
		case "syntax":
			p.Syntax = d.text()
		case "check":
			p.Check = d.text()
		case "escape":
			p.Escape = d.text()
		case "args":
			a := d.array()
			for a.more() {
				p.Args = append(double(p.Args), d.arg())
			}
		case "warnings":
			a := d.array()
			for a.more() {
				p.Warnings = append(p.Warnings, d.warning())
			}
		case "stages":
			a := d.array()
			for a.more() {
				p.Stages = append(double(p.Stages), d.stage())
			}
		case "end":
			p.End = d.truth()
		}
	}
	return p
}

func (d *decoder) arg() (a Arg) {
	o := d.object(argMembers)
	for o.more() {
		switch o.name {
		case "name":
			a.Name = d.text()
		case "default":
			if !d.null() {
				word := d.item()
				a.Default = &word
			}
		case "line":
			a.Line = d.number()
		}
	}
	return a
}

func (d *decoder) warning() (w Warning) {
	o := d.object(warningMembers)
	for o.more() {
		switch o.name {
		case "rule":
			w.Rule = d.name()
		case "line":
			w.Line = d.number()
		case "text":
			w.Text = d.text()
		}
	}
	return w
}

func (d *decoder) stage() *Stage {
	s := &Stage{}
	o := d.object(stageMembers)
	for o.more() {
		switch o.name {
		case "index":
			s.Index = d.number()
		case "name":
			s.Name = d.text()
		case "from":
			s.From = d.text()
		case "platform":
			s.Platform = d.text()
		case "line":
			s.Line = d.number()
		case "endLine":
			s.EndLine = d.number()
		case "text":
			s.Text = d.text()
		case "steps":
			a := d.array()
			for a.more() {
				s.Steps = append(double(s.Steps), d.step())
			}
		}
	}
	return s
}

func (d *decoder) step() *Step {
	s := d.newStep()
	o := d.object(stepMembers)
	for o.more() {
		switch o.name {
		case "op":
			s.Op = parsed(d, dockerfile.ParseOp)
		case "line":
			s.Line = d.number()
		case "endLine":
			s.EndLine = d.number()
		case "text":
			s.Text = d.text()
		case "flags":
			var flags []Flag
			a := d.array()
			for a.more() {
				flags = append(double(flags), d.flag())
			}
			if flags != nil {
				d.extra(s).Flags = flags
			}
		case "form":
			s.Form = parsed(d, dockerfile.ParseForm)
		case "args":
			d.args = d.args[:0]
			a := d.array()
			for a.more() {
				d.args = append(double(d.args), d.item())
			}
			s.Args = d.take()
		case "heredocs":
			var docs []Heredoc
			a := d.array()
			for a.more() {
				docs = append(double(docs), d.heredoc())
			}
			if docs != nil {
				d.extra(s).Heredocs = docs
			}
		case "step":
			if !d.null() {
				d.extra(s).Trigger = d.step()
			}
		}
	}
	return s
}

// parsed reads a name that stands for a value; a null stands for none.
func parsed[T any](d *decoder, parse func([]byte) (T, error)) (value T) {
	if d.peek() != '"' {
		d.text()
		return value
	}
	d.pos++
	name := d.quoted()
	if d.err == nil {
		var err error
		if value, err = parse(name); err != nil {
			d.fail(fmt.Errorf("member %q: %w", d.member(), err))
		}
	}
	return value
}

// extra makes room for what few steps have.
func (d *decoder) extra(s *Step) *Extra {
	if s.Extra == nil {
		s.Extra = &Extra{}
	}
	return s.Extra
}

func (d *decoder) flag() (f Flag) {
	o := d.object(flagMembers)
	for o.more() {
		switch o.name {
		case "name":
			f.Name = d.name()
		case "value":
			f.Value = d.text()
		}
	}
	return f
}

func (d *decoder) heredoc() (h Heredoc) {
	o := d.object(heredocMembers)
	for o.more() {
		switch o.name {
		case "name":
			h.Name = d.text()
		case "fd":
			h.FD = d.number()
		case "expand":
			h.Expand = d.truth()
		case "stripTabs":
			h.StripTabs = d.truth()
		case "text":
			h.Text = d.text()
		}
	}
	return h
}

func (d *decoder) newStep() *Step {
	if len(d.steps) == cap(d.steps) {
		d.steps = make([]Step, 0, min(max(2*cap(d.steps), 16), 256))
	}
	d.steps = d.steps[:len(d.steps)+1]
	return &d.steps[len(d.steps)-1]
}

// take gives away the words that were read, in memory of their own.
func (d *decoder) take() []string {
	const many = 256
	switch n := len(d.args); {
	case n == 0:
		return nil
	case n >= many:
		words := slices.Clip(d.args)
		d.args = nil
		return words
	case n > cap(d.words)-len(d.words):
		d.words = make([]string, 0, many)
	}
	from := len(d.words)
	d.words = append(d.words, d.args...)
	return d.words[from:len(d.words):len(d.words)]
}

// double makes room for one value more, for twice as many where there is none:
// append would copy a long slice five times over until it has its length.
func double[T any](s []T) []T {
	if len(s) == cap(s) {
		return slices.Grow(s, max(len(s), 1))
	}
	return s
}

// checkSchema accepts our major version with any minor one.
func checkSchema(schema string) error {
	name, version, _ := strings.Cut(Schema, "/")
	gotName, gotVersion, _ := strings.Cut(schema, "/")
	major, _, _ := strings.Cut(gotVersion, ".")
	switch {
	case schema == "":
		return fmt.Errorf("the document has no schema: a plan begins with {\"schema\":%q", Schema)
	case gotName != name:
		return fmt.Errorf("the document is a %.80q, not a %q", schema, Schema)
	case major != version:
		return fmt.Errorf("the plan has version %.80q, this program knows %q", schema, Schema)
	}
	return nil
}
