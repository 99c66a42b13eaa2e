package plan

import (
	"strings"

	"docksmith/lib/dockerfile"
)

// New makes the plan of a Dockerfile.
func New(f *dockerfile.File) *Plan {
	p := &Plan{
		Schema: Schema,
		File:   f.Name,
		Syntax: f.Syntax,
		Check:  f.Check,
		Escape: string(f.Escape),
		Stages: make([]Stage, 0, len(f.Stages)),
		End:    true,
	}
	for _, in := range f.Args {
		for _, word := range in.Args {
			p.Args = append(p.Args, newArg(word, in.Line))
		}
	}
	for _, s := range f.Stages {
		stage := Stage{
			Index:    s.Index,
			Name:     s.Name,
			From:     s.From,
			Platform: s.Platform,
			Line:     s.Line,
			EndLine:  endLine(s.Line, s.EndLine),
			Text:     s.Text,
			Steps:    make([]Step, 0, len(s.Steps)),
		}
		for _, in := range s.Steps {
			stage.Steps = append(stage.Steps, NewStep(in))
		}
		p.Stages = append(p.Stages, stage)
	}
	return p
}

func newArg(word string, line int) Arg {
	name, value, has := strings.Cut(word, "=")
	a := Arg{Name: name, Line: line}
	if has {
		a.Default = &value
	}
	return a
}

func endLine(line, end int) int {
	if end == line {
		return 0
	}
	return end
}

// NewStep makes a step of an instruction, such as a trigger of a base image
// that [dockerfile.ParseTrigger] has read.
func NewStep(in *dockerfile.Instruction) Step {
	s := Step{
		Op:      in.Op,
		Line:    in.Line,
		EndLine: endLine(in.Line, in.EndLine),
		Text:    in.Text,
		Form:    in.Form,
		Args:    in.Args,
	}
	for _, f := range in.Flags {
		s.Flags = append(s.Flags, Flag(f))
	}
	for _, d := range in.Heredocs {
		s.Heredocs = append(s.Heredocs, Heredoc(d))
	}
	if in.Trigger != nil {
		trigger := NewStep(in.Trigger)
		trigger.Line, trigger.EndLine = 0, 0 // those of the ONBUILD
		s.Step = &trigger
	}
	return s
}

// Instruction is the step as the Dockerfile package knows it: for
// [dockerfile.Instruction.Source] and Validate.
func (s *Step) Instruction() *dockerfile.Instruction {
	in := &dockerfile.Instruction{
		Op:      s.Op,
		Line:    s.Line,
		EndLine: s.Last(),
		Text:    s.Text,
		Form:    s.Form,
		Args:    s.Args,
	}
	for _, f := range s.Flags {
		in.Flags = append(in.Flags, dockerfile.Flag(f))
	}
	for _, d := range s.Heredocs {
		in.Heredocs = append(in.Heredocs, dockerfile.Heredoc(d))
	}
	if s.Step != nil {
		in.Trigger = s.Step.Instruction()
	}
	return in
}
