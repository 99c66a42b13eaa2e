package plan

import (
	"errors"
	"fmt"
	"strings"

	"docksmith/lib/dockerfile"
)

// check makes sure that a builder can rely on the plan, and fills in what is
// left out where it has a default.
func (p *Plan) check() error {
	if p.Escape == "" {
		p.Escape = `\`
	}
	if p.Escape != `\` && p.Escape != "`" {
		return fmt.Errorf("escape %.80q is neither \\ nor `", p.Escape)
	}
	if len(p.Stages) == 0 {
		return errors.New("there are no stages")
	}
	for i := range p.Args {
		a := &p.Args[i]
		if err := located(a.Line, a.Line, a.instruction().Validate(p.Escape[0])); err != nil {
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
	s := p.Stages[i]
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
		err = fmt.Errorf("name %.80q is not in lower case", s.Name)
	case err == nil:
		err = dockerfile.Expander{Escape: p.Escape[0]}.Check(s.Platform)
	}
	s.EndLine = lastLine(s.Line, s.EndLine)
	if err := located(s.Line, s.EndLine, err); err != nil {
		return err
	}
	for j, step := range s.Steps {
		if err := p.checkStep(step); err != nil {
			return fmt.Errorf("steps[%d]: %w", j, err)
		}
	}
	return nil
}

func (p *Plan) checkStep(s *Step) error {
	s.EndLine = lastLine(s.Line, s.EndLine)
	trigger := s.Trigger()
	if trigger != nil {
		trigger.Line, trigger.EndLine = s.Line, s.EndLine
	}
	var err error
	switch {
	case trigger != nil && trigger.Trigger() != nil:
		err = errors.New("ONBUILD cannot be a trigger of ONBUILD")
	case s.Op == dockerfile.From:
		err = errors.New("FROM is no step: it begins a stage")
	default:
		err = s.Validate(p.Escape[0])
	}
	return located(s.Line, s.EndLine, err)
}

func lastLine(line, end int) int {
	if end == 0 {
		return line
	}
	return end
}

// located checks the lines of a part of the plan and adds them to its error.
func located(line, end int, err error) error {
	switch {
	case line < 1:
		return fmt.Errorf("line %d is no line", line)
	case end < line:
		return fmt.Errorf("line %d ends on line %d", line, end)
	case err != nil:
		return fmt.Errorf("line %d: %w", line, err)
	}
	return nil
}
