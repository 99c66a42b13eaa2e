package dockerfile

import (
	"strings"
	"unicode"
)

// ops are all instructions, notTriggers those that ONBUILD cannot hold.
var (
	ops = []string{Add, Arg, Cmd, Copy, Entrypoint, Env, Expose, From, Healthcheck, Label,
		Maintainer, Onbuild, Run, Shell, Stopsignal, User, Volume, Workdir}
	notTriggers = []string{From, Maintainer, Onbuild}
)

// arguments reads what follows the flags into Form and Args. Whether these
// make sense is for Validate.
func (in *Instruction) arguments(rest string, escape byte) (err error) {
	switch in.Op {
	case Add, Copy, Volume:
		if in.Args, in.array, err = jsonArray(rest); err == nil && !in.array {
			in.Args = fields(rest)
		}
	case Expose, From:
		in.Args = fields(rest)
	case Cmd, Entrypoint, Run, Shell:
		in.Form, in.Args, err = command(rest)
		in.array = in.Form == FormExec
	case Healthcheck:
		err = in.healthcheck(rest)
	case Env, Label:
		in.Args, in.notes.oldForm, err = keyValues(in.Op, rest, escape)
	case Arg:
		in.Args = quotedWords(rest, escape)
	default: // Maintainer, Stopsignal, User, Workdir
		if rest != "" {
			in.Args = []string{rest}
		}
	}
	return err
}

// command reads a command in either form.
func command(rest string) (form string, args []string, err error) {
	args, array, err := jsonArray(rest)
	switch {
	case err != nil:
		return "", nil, err
	case array:
		return FormExec, args, nil
	}
	return FormShell, []string{rest}, nil
}

func (in *Instruction) healthcheck(rest string) (err error) {
	n := strings.IndexFunc(rest, unicode.IsSpace)
	if n < 0 {
		n = len(rest)
	}
	kind, rest := rest[:n], strings.TrimLeftFunc(rest[n:], unicode.IsSpace)
	if kind == "" {
		return nil
	}
	in.Args = []string{strings.ToUpper(kind)}
	if rest == "" {
		return nil
	}
	form, args, err := command(rest)
	if in.Args[0] == "CMD" {
		in.Form = form
	}
	in.Args = append(in.Args, args...)
	return err
}
