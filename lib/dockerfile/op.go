package dockerfile

import "strings"

// Op is an instruction's name, Form the form of a command. They are numbers, as
// a file may have millions of each.
type (
	Op   uint8
	Form uint8
)

// The instructions.
const (
	Add Op = iota + 1
	Arg
	Cmd
	Copy
	Entrypoint
	Env
	Expose
	From
	Healthcheck
	Label
	Maintainer
	Onbuild
	Run
	Shell
	Stopsignal
	User
	Volume
	Workdir
)

// The two forms of a command.
const (
	FormShell Form = iota + 1 // one string, for a shell to read
	FormExec                  // a JSON array of words
)

var (
	opNames = []string{"", "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL",
		"MAINTAINER", "ONBUILD", "RUN", "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR"}
	formNames = []string{"", "shell", "exec"}
)

// notTriggers are what ONBUILD cannot hold.
var notTriggers = []Op{From, Maintainer, Onbuild}

// String is the name in upper case; empty for what is no instruction.
func (o Op) String() string {
	if int(o) < len(opNames) {
		return opNames[o]
	}
	return ""
}

// String is "shell", "exec" or empty.
func (f Form) String() string {
	if int(f) < len(formNames) {
		return formNames[f]
	}
	return ""
}

// ParseOp finds an instruction by its name in upper case. What it is given does
// not stay, so that a reader of bytes need not make a string of them.
func ParseOp(name []byte) (Op, error) {
	for i, known := range opNames {
		if string(name) == known && i > 0 {
			return Op(i), nil
		}
	}
	return 0, unknownOp(string(name))
}

// ParseForm finds a form by its name in the same way; none has an empty one.
func ParseForm(name []byte) (Form, error) {
	for i, known := range formNames {
		if string(name) == known {
			return Form(i), nil
		}
	}
	return 0, badForm(string(name))
}

// opNamed finds an instruction by its name in any case, 0 for none.
func opNamed(word string) Op {
	if word == "" {
		return 0
	}
	for i, name := range opNames {
		if len(name) == len(word) && name[0] == word[0]&^0x20 && (name == word || strings.EqualFold(name, word)) {
			return Op(i)
		}
	}
	return 0
}
