package main

import (
	"errors"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/dockerfile"
	"docksmith/lib/makefile"
	"docksmith/lib/plan"
)

// What can be written.
const (
	emitPlan = "plan"
	emitMake = "make"
)

// emitMakefile writes the plan as a makefile. One that was read from a file is
// written again when that changes.
func (o *options) emitMakefile(s *cli.IO, p *plan.Plan, name string, args []string) error {
	var m makefile.Options
	if len(args) == 1 && args[0] != "-" && o.name == "" && !strings.ContainsAny(name, "\n\r") {
		m.File = name
	}
	if s.Flags.Changed("target") {
		m.Flags = append(m.Flags, "--target="+o.target)
	}
	if o.strict {
		m.Flags = append(m.Flags, "--strict")
	}
	err := makefile.Write(s.Stdout, p, m)
	if e, ok := errors.AsType[*dockerfile.Error](err); ok {
		return &cli.Located{File: e.File, Line: e.Line, Err: e.Err}
	}
	return err
}
