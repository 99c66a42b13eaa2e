package dockerfile

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"docksmith/lib/suggest"
)

var errNoArgument = errors.New("needs at least one argument")

// Validate checks everything that can be known about an instruction without
// running it: its flags and their values, the number and shape of its
// arguments, its here-documents, and that its words can be expanded. What it
// accepts, a builder may rely on. The lines are not looked at.
func (in *Instruction) Validate(escape byte) error {
	if in.Op.String() == "" {
		return unknownOp("")
	}
	if t := in.Trigger(); (in.Op == Onbuild) != (t != nil) {
		return fmt.Errorf("%s: only ONBUILD has a trigger, and must have one", in.Op)
	}
	if t := in.Trigger(); t != nil {
		if slices.Contains(notTriggers, t.Op) {
			return fmt.Errorf("%s cannot be a trigger of ONBUILD", t.Op)
		}
		return t.Validate(escape)
	}
	if err := in.checkFlags(escape); err != nil {
		return err
	}
	if err := in.checkArguments(); err != nil {
		return fmt.Errorf("%s %w", in.Op, err)
	}
	if err := in.checkForm(); err != nil {
		return err
	}
	if err := in.checkHeredocs(); err != nil {
		return err
	}
	return in.checkWords(Expander{escape})
}

func unknownOp(name string) error {
	return fmt.Errorf("unknown instruction %s%s", quoted(name), suggest.DidYouMean(strings.ToUpper(name), opNames[1:]))
}

func badForm(name string) error {
	return fmt.Errorf("form %s is neither shell nor exec", quoted(name))
}

// checkForm checks that the instruction has a form if it is a command.
func (in *Instruction) checkForm() error {
	command := false
	switch in.Op {
	case Cmd, Entrypoint, Run, Shell:
		command = true
	case Healthcheck:
		command = in.Args[0] == "CMD"
	}
	switch {
	case command && in.Form != FormShell && in.Form != FormExec:
		return fmt.Errorf("%s: %w", in.Op, badForm(in.Form.String()))
	case !command && in.Form != 0:
		return fmt.Errorf("%s has no %s form", in.Op, quoted(in.Form.String()))
	}
	return nil
}

// checkArguments gives errors that go behind the name of the instruction.
func (in *Instruction) checkArguments() error {
	n := len(in.Args)
	switch in.Op {
	case Add, Copy:
		return in.checkCopy()
	case From:
		return in.checkFrom()
	case Healthcheck:
		return in.checkHealthcheck()
	case Arg, Env, Label:
		return in.checkPairs()
	case Cmd, Entrypoint, Run:
		switch {
		case in.Form == FormShell && n != 1:
			return errors.New("in shell form needs one string")
		case in.Op == Run && n == 0:
			return errors.New("needs a command")
		}
	case Shell:
		switch {
		case in.Form != FormExec:
			return fmt.Errorf("needs a JSON array such as SHELL %s", `["/bin/bash","-c"]`)
		case n == 0:
			return errNoArgument
		}
	case Expose, Volume:
		if n == 0 {
			return errNoArgument
		}
		if slices.ContainsFunc(in.Args, func(s string) bool { return strings.TrimSpace(s) == "" }) {
			return errors.New("has an empty argument")
		}
	default: // Maintainer, Stopsignal, User, Workdir
		if n != 1 || in.Args[0] == "" {
			return errors.New("needs exactly one argument")
		}
	}
	return nil
}

func (in *Instruction) checkCopy() error {
	n := len(in.Args)
	if n < 2 {
		return errors.New("needs at least one source and a destination")
	}
	if _, ok := HeredocWord(in.Args[n-1]); ok {
		return errors.New("cannot have a here-document as its destination")
	}
	return nil
}

func (in *Instruction) checkFrom() error {
	switch n := len(in.Args); {
	case n == 3 && strings.EqualFold(in.Args[1], "as"):
		if !isStageName(strings.ToLower(in.Args[2])) {
			return fmt.Errorf("names a stage %s: a name begins with a letter and has letters, digits and -_. only", quoted(in.Args[2]))
		}
	case n != 1:
		return errors.New("needs IMAGE or IMAGE AS NAME")
	}
	return nil
}

func isStageName(s string) bool {
	const letters = "abcdefghijklmnopqrstuvwxyz"
	return s != "" && strings.IndexByte(letters, s[0]) >= 0 && only(s, letters+"-_.")
}

func (in *Instruction) checkHealthcheck() error {
	switch n := len(in.Args); {
	case n == 0:
		return errNoArgument
	case in.Args[0] == "NONE" && n > 1:
		return errors.New("NONE takes no arguments")
	case in.Args[0] == "CMD" && n == 1:
		return errors.New("CMD needs a command")
	case in.Args[0] == "CMD" && in.Form == FormShell && n != 2:
		return errors.New("CMD in shell form needs one string")
	case in.Args[0] != "NONE" && in.Args[0] != "CMD":
		return fmt.Errorf("%s: write CMD or NONE", quoted(in.Args[0]))
	}
	return nil
}

// checkPairs checks NAME=VALUE words. Only ARG may leave the value out.
func (in *Instruction) checkPairs() error {
	if len(in.Args) == 0 {
		return errNoArgument
	}
	for _, word := range in.Args {
		name, _, has := strings.Cut(word, "=")
		switch {
		case name == "":
			return fmt.Errorf("%s: a name cannot be empty", quoted(word))
		case !has && in.Op != Arg:
			return fmt.Errorf("%s has no \"=\": write NAME=VALUE, with quotes around a value that has blanks", quoted(word))
		}
	}
	return nil
}

// checkHeredocs checks that words and documents agree. In a RUN the words are
// for the shell.
func (in *Instruction) checkHeredocs() error {
	switch in.Op {
	case Run:
		if len(in.Heredocs()) > 0 && in.Form != FormShell {
			return errors.New("RUN: a here-document needs the shell form")
		}
		return nil
	case Add, Copy:
	default:
		if len(in.Heredocs()) == 0 {
			return nil
		}
	}
	docs, without := in.Heredocs(), ""
	for _, word := range in.Args {
		if strings.IndexByte(word, '<') < 0 {
			continue
		}
		name, ok := HeredocWord(word)
		switch {
		case !ok:
		case len(docs) > 0 && docs[0].Name == name:
			docs = docs[1:]
		case len(docs) > 0:
			return in.noSource(docs[0])
		case without == "":
			without = name
		}
	}
	switch {
	case len(docs) > 0:
		return in.noSource(docs[0])
	case without != "":
		return fmt.Errorf("%s: here-document %s has no text", in.Op, quoted(without))
	}
	return nil
}

func (in *Instruction) noSource(doc Heredoc) error {
	return fmt.Errorf("%s: no source stands for the here-document %s: write <<%s as one word", in.Op, quoted(doc.Name), short(doc.Name))
}

// checkWords checks the words that a builder will expand. Both sides of a pair
// are words of their own; the name of an ARG is none, it is taken as written.
func (in *Instruction) checkWords(x Expander) error {
	switch in.Op {
	case Arg, Env, Label:
		for _, word := range in.Args {
			name, value, _ := strings.Cut(word, "=")
			if err := x.Check(name); err != nil && in.Op != Arg {
				return fmt.Errorf("%s: %w", in.Op, err)
			}
			if err := x.Check(value); err != nil {
				return fmt.Errorf("%s: %w", in.Op, err)
			}
		}
	case Add, Copy, Expose, From, Stopsignal, User, Volume, Workdir:
		for _, word := range in.Args {
			if err := x.Check(word); err != nil {
				return fmt.Errorf("%s: %w", in.Op, err)
			}
		}
	}
	return nil
}
