package dockerfile

import (
	"slices"
	"strings"
	"unicode"
)

// Finding is what a check says about a line. Its text is one line.
type Finding struct {
	Rule string
	Line int
	Text string
}

// CheckOptions is what the checks know beside the file. The zero value knows
// nothing more, and then some checks stay silent rather than guess.
type CheckOptions struct {
	// Args are the values of build arguments. Those that describe platforms,
	// such as TARGETARCH, have no value unless they are here.
	Args map[string]string
	// Base gives the configuration of an image that a stage begins with, if
	// it is known. It is asked at most once for each name.
	Base func(image string) (Base, bool)
	// Excluded tells which rule of the ignore file hides a source of COPY or
	// ADD, and everything below it, if one does.
	Excluded func(source string) (rule string, ok bool)
}

// Base is what a base image says about itself.
type Base struct {
	Env, Shell, OnBuild []string
}

// Check applies every check, experimental ones included, to all stages; see
// [Rules.Select]. Findings come in the order of the file, at most the first
// hundred of each check and then one that says how many more there are. It takes
// time and memory in proportion to the file, whatever is in it.
//
// The conditions are those of BuildKit, except that a name with a provision
// for its absence, as in ${x:-word}, is not taken for undefined, and that an
// unknown base image may define anything.
func Check(f *File, o CheckOptions) []Finding {
	c := &checker{f: f, o: o, x: Expander{f.Escape}, found: map[string]*findings{}, hidden: map[string]hiding{}}
	c.casing()
	c.globals = c.header(o.Args, nil)
	c.stages()
	c.walk()
	for _, in := range f.Args {
		c.writtenStep(in)
	}
	return c.all()
}

// checker is one run over a file.
type checker struct {
	f     *File
	o     CheckOptions
	x     Expander
	found map[string]*findings

	globals  *scope   // of FROM lines: for this build
	defaults *scope   // the same without build arguments; nil until somebody asks
	parents  []int    // the stage that each stage begins with, or -1
	images   []string // the image that it begins with; empty if unknown

	scope     *scope
	fromWords []string  // those of the current FROM
	told      nameTable // undefined names of the current instruction
	suggested int
	pairs     []pair            // those of the current ENV
	hidden    map[string]hiding // what CheckOptions.Excluded said
}

type hiding struct {
	rule string
	ok   bool
}

// casing compares the instructions' letters with those of the most.
func (c *checker) casing() {
	lower, upper, mixed := 0, 0, 0
	c.names(func(op Op, name string, _ int) {
		switch {
		case name == op.String():
			upper++
		case !strings.ContainsFunc(name, unicode.IsLower):
			upper++
		case !strings.ContainsFunc(name, unicode.IsUpper):
			lower++
		default:
			mixed++
		}
	})
	if mixed+min(lower, upper) == 0 {
		return
	}
	wanted, wrong := "upper", unicode.IsLower
	if lower > upper {
		wanted, wrong = "lower", unicode.IsUpper
	}
	c.names(func(_ Op, name string, line int) {
		if strings.ContainsFunc(name, wrong) && c.tells(ConsistentInstructionCasing, line) {
			c.tell(ConsistentInstructionCasing, line, "instruction", quoted(name), "is not in", wanted, "case, as most are here")
		}
	})
}

// names yields the instructions' names as written. A plan that others made may
// not tell them.
func (c *checker) names(yield func(op Op, name string, line int)) {
	for _, s := range c.f.Stages {
		if name := firstField(s.Text); name != "" {
			yield(From, name, s.Line)
		}
		for _, in := range s.Steps {
			if name := firstField(in.Text); name != "" {
				yield(in.Op, name, in.Line)
			}
		}
	}
}

// written checks how an instruction is written in the file. what are the names
// that a comment above may describe.
func (c *checker) written(op Op, what []string, line int, n *notes) {
	if n == nil {
		return
	}
	if n.blank > 0 {
		c.find(NoEmptyContinuation, n.blank, "blank line inside", op.String()+":", "it will become an error; remove it, or make it a comment")
	}
	if n.oldForm {
		c.find(LegacyKeyValueFormat, line, "write", op.String(), "KEY=VALUE instead of", op.String(), "KEY VALUE")
	}
	first, _, _ := strings.Cut(n.comment, " ")
	if n.comment != "" && len(what) > 0 && !slices.Contains(what, first) && c.tells(InvalidDefinitionDescription, line) {
		c.tell(InvalidDefinitionDescription, line, "the comment above describes", op.String(), quoted(what[0]),
			"and does not begin with that name; put a blank line between them if it is about something else")
	}
}

func (c *checker) writtenStep(in *Instruction) {
	n := in.extra().notes
	if n == nil {
		return
	}
	var what []string
	if in.Op == Arg {
		what = argNames(in)
	}
	c.written(in.Op, what, in.Line, n)
}

func argNames(in *Instruction) []string {
	names := make([]string, len(in.Args))
	for i, word := range in.Args {
		names[i], _, _ = strings.Cut(word, "=")
	}
	return names
}
