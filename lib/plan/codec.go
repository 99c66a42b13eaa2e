package plan

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"

	"docksmith/lib/dockerfile"
)

// MaxSize bounds what [Decode] reads. A line of a Dockerfile, and it may be as
// short as "CMD", takes at most some sixteen times its size in a plan.
const MaxSize = 16 * dockerfile.MaxSize

// ErrCut says that the writer of a plan did not get to its end.
var ErrCut = errors.New("the plan is cut: it does not end with \"end\":true")

// Encode writes p as one compact line of JSON. The same plan always gives the
// same bytes.
func Encode(w io.Writer, p *Plan) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	if err := e.Encode(p); err != nil {
		return fmt.Errorf("write plan: %w", err)
	}
	return nil
}

// Decode reads one plan and the end of the input behind it. Members that it
// does not know are ignored, another major version of the schema is refused,
// and so is a plan that lacks its end or is not what [New] could have made.
func Decode(r io.Reader) (*Plan, error) {
	p, err := read(r, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("read plan: %w", err)
	}
	return p, nil
}

func read(r io.Reader, most int64) (*Plan, error) {
	data, err := io.ReadAll(io.LimitReader(r, most+1))
	switch {
	case err != nil:
		return nil, err
	case int64(len(data)) > most:
		return nil, fmt.Errorf("more than %d bytes", most)
	}
	return decode(bytes.TrimSpace(data))
}

func decode(data []byte) (*Plan, error) {
	if len(data) == 0 {
		return nil, errors.New("the input is empty")
	}
	if data[0] != '{' {
		return nil, errors.New("the input is not JSON: a plan comes from ds-parse")
	}
	p := &Plan{}
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(p); err != nil {
		// An unfinished document, or one whose members have other types
		// because its version is another.
		if errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, ErrCut
		}
		if serr := checkSchema(p.Schema); p.Schema != "" && serr != nil {
			return nil, serr
		}
		return nil, explain(err)
	}
	if err := checkSchema(p.Schema); err != nil {
		return nil, err
	}
	if !p.End {
		return nil, ErrCut
	}
	if d.InputOffset() != int64(len(data)) {
		return nil, errors.New("data after the end of the plan")
	}
	return p, p.check()
}

// explain puts an error of the JSON decoder into our words.
func explain(err error) error {
	var kind *json.UnmarshalTypeError
	if errors.As(err, &kind) && kind.Field != "" {
		return fmt.Errorf("member %q holds a %s", kind.Field, kind.Value)
	}
	return err
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
		return fmt.Errorf("the document is a %q, not a %q", schema, Schema)
	case major != version:
		return fmt.Errorf("the plan has version %q, this program knows %q", schema, Schema)
	}
	return nil
}

// check makes sure that a builder can rely on the plan.
func (p *Plan) check() error {
	if p.Escape == "" {
		p.Escape = `\`
	}
	if p.Escape != `\` && p.Escape != "`" {
		return fmt.Errorf("escape %q is neither \\ nor `", p.Escape)
	}
	if len(p.Stages) == 0 {
		return errors.New("there are no stages")
	}
	for i, a := range p.Args {
		word := a.Name
		if a.Default != nil {
			word += "=" + *a.Default
		}
		in := dockerfile.Instruction{Op: dockerfile.Arg, Args: []string{word}}
		if err := p.located(a.Line, 0, in.Validate(p.Escape[0])); err != nil {
			return fmt.Errorf("args[%d]: %w", i, err)
		}
	}
	for i := range p.Stages {
		if err := p.checkStage(i); err != nil {
			return fmt.Errorf("stages[%d]: %w", i, err)
		}
	}
	return p.checkWarnings()
}

func (p *Plan) checkStage(i int) error {
	s := &p.Stages[i]
	if s.Index != i {
		return fmt.Errorf("index %d, expected %d", s.Index, i)
	}
	in := dockerfile.Instruction{Op: dockerfile.From, Args: []string{s.From}}
	if s.Name != "" {
		in.Args = append(in.Args, "AS", s.Name)
	}
	err := in.Validate(p.Escape[0])
	switch {
	case s.From == "":
		err = errors.New("from is empty")
	case s.Name != strings.ToLower(s.Name):
		err = fmt.Errorf("name %q is not in lower case", s.Name)
	case err == nil:
		err = dockerfile.Expander{Escape: p.Escape[0]}.Check(s.Platform)
	}
	if err := p.located(s.Line, s.EndLine, err); err != nil {
		return err
	}
	for j := range s.Steps {
		if err := p.checkStep(&s.Steps[j]); err != nil {
			return fmt.Errorf("steps[%d]: %w", j, err)
		}
	}
	return nil
}

func (p *Plan) checkStep(s *Step) error {
	if s.Step != nil && s.Step.Step != nil {
		return p.located(s.Line, s.EndLine, errors.New("ONBUILD cannot be a trigger of ONBUILD"))
	}
	if s.Op == dockerfile.From {
		return p.located(s.Line, s.EndLine, errors.New("FROM is no step: it begins a stage"))
	}
	return p.located(s.Line, s.EndLine, s.Instruction().Validate(p.Escape[0]))
}

// located checks the lines of a part of the plan and adds them to its error.
func (p *Plan) located(line, end int, err error) error {
	switch {
	case line < 1:
		return fmt.Errorf("line %d is no line", line)
	case end != 0 && end < line:
		return fmt.Errorf("line %d ends on line %d", line, end)
	case err != nil:
		return fmt.Errorf("line %d: %w", line, err)
	}
	return nil
}
