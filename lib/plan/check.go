package plan

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
	"unicode"

	"docksmith/lib/dockerfile"
)

// Warning is what a check found in the Dockerfile.
type Warning struct {
	Rule string `json:"rule"`
	Line int    `json:"line"`
	Text string `json:"text"`
}

// Check makes the plan of a Dockerfile with what the checks find in it: all of
// it, whatever its check directive says, for who reads the plan may be told
// otherwise.
func Check(f *dockerfile.File, o dockerfile.CheckOptions) *Plan {
	p := New(f)
	for _, w := range dockerfile.Check(f, o) {
		p.Warnings = append(p.Warnings, Warning(w))
	}
	return p
}

// Findings are the warnings of the plan, but those that depend on the build are
// looked for again with what is known about it now. All of them, as in Check.
func (p *Plan) Findings(o dockerfile.CheckOptions) []dockerfile.Finding {
	var all []dockerfile.Finding
	ofBuild := func(name string) bool {
		rule, _ := dockerfile.FindRule(name)
		return rule.OfBuild
	}
	for _, w := range p.Warnings {
		if !ofBuild(w.Rule) {
			all = append(all, dockerfile.Finding(w))
		}
	}
	for _, f := range dockerfile.Check(p.Dockerfile(), o) {
		if ofBuild(f.Rule) {
			all = append(all, f)
		}
	}
	slices.SortStableFunc(all, func(a, b dockerfile.Finding) int {
		return cmp.Or(cmp.Compare(a.Line, b.Line), cmp.Compare(a.Rule, b.Rule))
	})
	return all
}

// Dockerfile is the plan as the Dockerfile package knows it. It shares memory
// with the plan.
func (p *Plan) Dockerfile() *dockerfile.File {
	f := &dockerfile.File{Name: p.File, Syntax: p.Syntax, Check: p.Check, Escape: '\\'}
	if p.Escape != "" {
		f.Escape = p.Escape[0]
	}
	for _, a := range p.Args {
		word := a.Name
		if a.Default != nil {
			word += "=" + *a.Default
		}
		f.Args = append(f.Args, &dockerfile.Instruction{Op: dockerfile.Arg, Line: a.Line, EndLine: a.Line, Args: []string{word}})
	}
	for i := range p.Stages {
		s := &p.Stages[i]
		stage := &dockerfile.Stage{
			Index: s.Index, Name: s.Name, From: s.From, Platform: s.Platform,
			Line: s.Line, EndLine: max(s.Line, s.EndLine), Text: s.Text,
		}
		for j := range s.Steps {
			stage.Steps = append(stage.Steps, s.Steps[j].Instruction())
		}
		f.Stages = append(f.Stages, stage)
	}
	return f
}

// checkWarnings makes sure that warnings can be printed, and the rules read.
func (p *Plan) checkWarnings() error {
	for i, w := range p.Warnings {
		err := p.located(w.Line, 0, nil)
		if err == nil && (w.Rule == "" || w.Text == "" || strings.ContainsFunc(w.Rule+w.Text, unicode.IsControl)) {
			err = errors.New("rule and text are not one line each")
		}
		if err != nil {
			return fmt.Errorf("warnings[%d]: %w", i, err)
		}
	}
	if _, err := dockerfile.ParseRules(p.Check); err != nil {
		return fmt.Errorf("check: %w", err)
	}
	return nil
}
