package plan

import (
	"strings"

	"docksmith/lib/dockerfile"
)

func newArg(word string, line int) Arg {
	name, value, has := strings.Cut(word, "=")
	if !has {
		return Arg{Name: name, Line: line}
	}
	given := value // memory only where it is
	return Arg{Name: name, Default: &given, Line: line}
}

// instruction is the ARG of this name alone.
func (a *Arg) instruction() *dockerfile.Instruction {
	word := a.Name
	if a.Default != nil {
		word += "=" + *a.Default
	}
	return &dockerfile.Instruction{Op: dockerfile.Arg, Line: a.Line, EndLine: a.Line, Args: []string{word}}
}
