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
	"strings"

	"docksmith/lib/dockerfile"
)

// Schema names the document and its major version.
const Schema = "docksmith.plan/1"

// Plan is a whole Dockerfile.
type Plan struct {
	// Schema is [Schema].
	Schema string `json:"schema"`
	// File is the name that messages use, maybe empty.
	File string `json:"file,omitempty"`
	// Syntax and Check are the values of the parser directives.
	Syntax string `json:"syntax,omitempty"`
	Check  string `json:"check,omitempty"`
	// Escape is `\` or "`", for the [dockerfile.Expander].
	Escape string `json:"escape"`
	// Args are the ARG names before the first FROM, visible in FROM lines.
	Args []Arg `json:"args,omitempty"`
	// Warnings are what the checks found, in the order of the file.
	Warnings []Warning `json:"warnings,omitempty"`
	// Stages are in the order of the file; Stages[i].Index is i.
	Stages []Stage `json:"stages"`
	// End is true in a whole plan.
	End bool `json:"end"`
}

// Arg is one name of an ARG before the first FROM.
type Arg struct {
	Name string `json:"name"`
	// Default is the unexpanded word after "=", nil without one.
	Default *string `json:"default,omitempty"`
	Line    int     `json:"line"`
}

// Stage is a FROM line with its steps.
type Stage struct {
	Index int `json:"index"`
	// Name is in lower case, empty without AS.
	Name string `json:"name,omitempty"`
	// From and Platform are unexpanded words.
	From     string `json:"from"`
	Platform string `json:"platform,omitempty"`
	Line     int    `json:"line"`
	// EndLine is left out (0) where it equals Line; see [Step.Last].
	EndLine int    `json:"endLine,omitempty"`
	Text    string `json:"text,omitempty"`
	Steps   []Step `json:"steps"`
}

// Step is one instruction. What Args holds depends on Op, as
// [dockerfile.Instruction] says.
type Step struct {
	Op string `json:"op"`
	// Line is at least 1. EndLine is left out (0) where it equals Line.
	Line    int    `json:"line,omitempty"`
	EndLine int    `json:"endLine,omitempty"`
	Text    string `json:"text,omitempty"`
	Flags   []Flag `json:"flags,omitempty"`
	// Form is "shell" or "exec" for RUN, CMD, ENTRYPOINT, SHELL and
	// HEALTHCHECK CMD; empty for the others.
	Form     string    `json:"form,omitempty"`
	Args     []string  `json:"args,omitempty"`
	Heredocs []Heredoc `json:"heredocs,omitempty"`
	// Step is the trigger of an ONBUILD.
	Step *Step `json:"step,omitempty"`
}

// Flag is --name=value; a boolean flag has "true" or "false".
type Flag struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Heredoc is a here-document of a RUN, COPY or ADD, in the order of the words
// that introduce them. In COPY and ADD each word for which
// [dockerfile.HeredocWord] says yes stands for the next one.
type Heredoc struct {
	Name string `json:"name"`
	FD   int    `json:"fd,omitempty"`
	// Expand is false where any part of the delimiter was quoted.
	Expand bool `json:"expand"`
	// StripTabs says that leading tabs were taken off Text already.
	StripTabs bool   `json:"stripTabs"`
	Text      string `json:"text"`
}

// Last is the last line of the step.
func (s *Step) Last() int { return max(s.Line, s.EndLine) }

// Flag returns the value of the first flag of that name.
func (s *Step) Flag(name string) (value string, ok bool) {
	for _, f := range s.Flags {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}

// FlagAll returns the values of a flag that may repeat, in order.
func (s *Step) FlagAll(name string) []string {
	var all []string
	for _, f := range s.Flags {
		if f.Name == name {
			all = append(all, f.Value)
		}
	}
	return all
}

// IsSet tells whether a boolean flag is on.
func (s *Step) IsSet(name string) bool {
	v, _ := s.Flag(name)
	return v == "true"
}

// Script is what the shell of a RUN in shell form gets to read. Where the
// command is nothing but a here-document, that is the document itself and
// alone is true: a document that begins with "#!" is meant to be executed as a
// file then. Otherwise the documents follow the command, for the shell to
// attach.
func (s *Step) Script() (script string, alone bool) {
	if len(s.Args) == 0 {
		return "", false
	}
	if _, ok := dockerfile.HeredocWord(s.Args[0]); ok && len(s.Heredocs) > 0 {
		return s.Heredocs[0].Text, true
	}
	var b strings.Builder
	b.WriteString(s.Args[0])
	for _, d := range s.Heredocs {
		b.WriteString("\n" + d.Text + d.Name)
	}
	return b.String(), false
}
