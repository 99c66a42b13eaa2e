package plan

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"docksmith/lib/dockerfile"
)

// Check makes the plan of a Dockerfile with what the checks find in it: all of
// it, whatever its check directive says, for who reads the plan may be told
// otherwise.
func Check(f *dockerfile.File, o dockerfile.CheckOptions) *Plan {
	p := New(f)
	p.Warnings = dockerfile.Check(f, o)
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
			all = append(all, w)
		}
	}
	for _, f := range dockerfile.Check(p.Dockerfile(), o) {
		if ofBuild(f.Rule) {
			all = append(all, f)
		}
	}
	dockerfile.SortFindings(all)
	return all
}

// Dockerfile is the plan as the Dockerfile package knows it. It shares memory
// with the plan.
func (p *Plan) Dockerfile() *dockerfile.File {
	f := &dockerfile.File{Name: p.File, Syntax: p.Syntax, Check: p.Check, Escape: '\\', Stages: p.Stages}
	if p.Escape != "" {
		f.Escape = p.Escape[0]
	}
	for i := range p.Args {
		f.Args = append(f.Args, p.Args[i].instruction())
	}
	return f
}

// checkWarnings makes sure that warnings can be printed, and the rules read.
func (p *Plan) checkWarnings() error {
	for i, w := range p.Warnings {
		err := located(w.Line, w.Line, nil)
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
