// Package plan is the document that crosses the pipe from ds-parse to
// ds-build: a Dockerfile as one line of JSON, with every word still as it was
// written, because a base image's environment is not known to the parser.
//
// A document that [Decode] accepts is as good as one that the parser made: it
// has passed the same checks, whoever edited it on the way, and it is whole,
// because it ends with a member that says so.
//
//	f, err := dockerfile.Parse(r, dockerfile.Options{Name: "Dockerfile"})
//	err = plan.Encode(w, plan.New(f))
//	p, err := plan.Decode(os.Stdin)
//
// The format is described in docksmith-plan(5).
package plan

import (
	"slices"

	"docksmith/lib/dockerfile"
)

// Schema names the document and its major version.
const Schema = "docksmith.plan/1"

// Plan is a whole Dockerfile.
type Plan struct {
	// Schema is [Schema].
	Schema string
	// File is the name that messages use, maybe empty.
	File string
	// Syntax and Check are the values of the parser directives.
	Syntax, Check string
	// Escape is `\` or "`", for the [dockerfile.Expander].
	Escape string
	// Args are the ARG names before the first FROM, visible in FROM lines.
	Args []Arg
	// Warnings are what the checks found, in the order of the file.
	Warnings []Warning
	// Stages are in the order of the file; Stages[i].Index is i.
	Stages []*Stage
	// End is true in a whole plan.
	End bool
}

// Arg is one name of an ARG before the first FROM.
type Arg struct {
	Name string
	// Default is the unexpanded word after "=", nil without one.
	Default *string
	Line    int
}

// What a plan is made of is what the parser makes.
type (
	// Stage is a FROM line with its steps.
	Stage = dockerfile.Stage
	// Step is one instruction.
	Step = dockerfile.Instruction
	// Extra is what few steps have.
	Extra = dockerfile.Extra
	// Flag is --name=value.
	Flag = dockerfile.Flag
	// Heredoc is a here-document.
	Heredoc = dockerfile.Heredoc
	// Warning is what a check found in the Dockerfile.
	Warning = dockerfile.Finding
)

// New makes the plan of a Dockerfile. It shares memory with it.
func New(f *dockerfile.File) *Plan {
	p := &Plan{
		Schema: Schema,
		File:   f.Name,
		Syntax: f.Syntax,
		Check:  f.Check,
		Escape: string(f.Escape),
		Stages: f.Stages,
		End:    true,
	}
	n := 0
	for _, in := range f.Args {
		n += len(in.Args)
	}
	p.Args = slices.Grow(p.Args, n)
	for _, in := range f.Args {
		for _, word := range in.Args {
			p.Args = append(p.Args, newArg(word, in.Line))
		}
	}
	return p
}
