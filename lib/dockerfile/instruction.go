package dockerfile

import "strings"

// File is a whole Dockerfile.
type File struct {
	// Name is what the caller called the input.
	Name string
	// Syntax and Check are the values of the parser directives of that name,
	// empty without one.
	Syntax, Check string
	// Escape is '\\' or '`'.
	Escape byte
	// Args are the ARG instructions before the first FROM.
	Args []*Instruction
	// Stages has at least one entry.
	Stages []*Stage
}

// Stage is a FROM line with the instructions below it.
type Stage struct {
	// Index is the place of the stage in the file, from 0.
	Index int
	// Name is what follows AS, in lower case; empty without.
	Name string
	// From and Platform are unexpanded words.
	From, Platform string
	// Line is where FROM begins, EndLine where it ends.
	Line, EndLine int
	// Text is the FROM instruction as written, on one line.
	Text string
	// Steps are the instructions of the stage.
	Steps []*Instruction

	notes *notes
}

// Instruction is one instruction of a stage. What Args holds depends on Op:
//
//	ADD COPY                  sources, then the destination: unexpanded words
//	ARG                       NAME or NAME=VALUE words, quotes kept
//	ENV LABEL                 KEY=VALUE words, quotes kept; the old form "KEY value" is one such word
//	CMD ENTRYPOINT RUN        Form shell: one string, maybe empty; Form exec: the array
//	SHELL                     Form exec: the array
//	HEALTHCHECK               "NONE", or "CMD" and the command as in CMD (with Form)
//	EXPOSE VOLUME             unexpanded words
//	MAINTAINER STOPSIGNAL USER WORKDIR   one unexpanded word, blanks included
//	ONBUILD                   nothing; Trigger is the instruction
type Instruction struct {
	Op Op
	// Form is FormShell, FormExec or, where there is no such choice, 0.
	Form Form
	// Line and EndLine are the first and last line in the file, continuation
	// lines and here-documents included.
	Line, EndLine int
	// Text is the instruction as written with continuation lines joined,
	// without its here-documents.
	Text string
	Args []string
	// Extra is nil where there is nothing in it.
	Extra *Extra
}

// Extra is what most instructions have nothing of. It is apart because a file
// may have millions of instructions.
type Extra struct {
	// Flags are in the order of the text. A flag that may not repeat is there
	// once at most.
	Flags []Flag
	// Heredocs are in the order of the words that introduce them.
	Heredocs []Heredoc
	// Trigger is the instruction of an ONBUILD.
	Trigger *Instruction

	notes *notes // nil where there is nothing to tell
}

// extra is what the instruction has of these things, empty without.
func (in *Instruction) extra() *Extra {
	if in.Extra == nil {
		return &noExtra
	}
	return in.Extra
}

var noExtra Extra

// Flags are Extra.Flags, if there are any.
func (in *Instruction) Flags() []Flag { return in.extra().Flags }

// Heredocs are Extra.Heredocs, if there are any.
func (in *Instruction) Heredocs() []Heredoc { return in.extra().Heredocs }

// Trigger is Extra.Trigger, nil of another instruction than ONBUILD.
func (in *Instruction) Trigger() *Instruction { return in.extra().Trigger }

// Flag is one --name=value. A boolean flag has the value "true" or "false".
type Flag struct {
	Name, Value string
}

// Heredoc is a here-document.
type Heredoc struct {
	// Name is the delimiter without its quotes: also the name of the file
	// that COPY and ADD make of the document.
	Name string
	// FD is the number before "<<", 0 without one.
	FD int
	// Expand is false where any part of the delimiter was quoted.
	Expand bool
	// StripTabs is true for "<<-": Text has no leading tabs then.
	StripTabs bool
	// Text is the document, with its line ends.
	Text string
}

// Flag returns the value of the first flag of that name.
func (in *Instruction) Flag(name string) (value string, ok bool) {
	for _, f := range in.Flags() {
		if f.Name == name {
			return f.Value, true
		}
	}
	return "", false
}

// FlagAll returns the values of a flag that may repeat, in order.
func (in *Instruction) FlagAll(name string) []string {
	var all []string
	for _, f := range in.Flags() {
		if f.Name == name {
			all = append(all, f.Value)
		}
	}
	return all
}

// IsSet tells whether a boolean flag is on.
func (in *Instruction) IsSet(name string) bool {
	v, _ := in.Flag(name)
	return v == "true"
}

// Script is what the shell of a RUN in shell form gets to read. Where the
// command is nothing but a here-document, that is the document itself and
// alone is true: a document that begins with "#!" is meant to be executed as a
// file then. Otherwise the documents follow the command, for the shell to
// attach.
func (in *Instruction) Script() (script string, alone bool) {
	if len(in.Args) == 0 {
		return "", false
	}
	if _, ok := HeredocWord(in.Args[0]); ok && len(in.Heredocs()) > 0 {
		return in.Heredocs()[0].Text, true
	}
	var b strings.Builder
	b.WriteString(in.Args[0])
	for _, d := range in.Heredocs() {
		b.WriteString("\n" + d.Text + d.Name)
	}
	return b.String(), false
}

// Source is the instruction with its here-documents, as a Dockerfile can hold
// it again: for an ONBUILD trigger, what the image configuration stores.
func (in *Instruction) Source() string {
	docs := in.Heredocs()
	if t := in.Trigger(); t != nil {
		docs = t.Heredocs()
	}
	if len(docs) == 0 {
		return in.Text
	}
	var b strings.Builder
	b.WriteString(in.Text)
	for _, d := range docs {
		b.WriteByte('\n')
		b.WriteString(d.Text)
		b.WriteString(d.Name)
	}
	return b.String()
}
