package dockerfile

import (
	"slices"
	"strings"
)

// stageState is what a stage hands on to those that begin with it.
type stageState struct {
	complete bool // every name that the base image sets is known
	shell    bool // SHELL was used
	workdir  bool // WORKDIR was used
}

// walk visits the stages from each base image down: every stage right after
// the one that it begins with, or after another that begins with that.
func (c *checker) walk() {
	n := len(c.f.Stages)
	first, next := make([]int, n+1), make([]int, n) // children, as lists; those of an image at n
	for i := range first {
		first[i] = -1
	}
	for i := n - 1; i >= 0; i-- {
		parent := c.parents[i]
		if parent < 0 {
			parent = n
		}
		next[i], first[parent] = first[parent], i
	}
	c.scope = &scope{}
	states, marks := make([]stageState, n), make([]int, n)
	bases := c.bases()
	var path []int
	for i, visited := first[n], 0; i >= 0; {
		visited++
		c.scope.final = visited == n
		marks[i] = c.scope.mark()
		if p := c.parents[i]; p >= 0 {
			states[i] = states[p]
		} else {
			states[i] = bases(c.images[i])
		}
		c.stage(c.f.Stages[i], &states[i])
		if path = append(path, i); first[i] >= 0 {
			i = first[i]
			continue
		}
		for i = -1; i < 0 && len(path) > 0; {
			leave := path[len(path)-1]
			path = path[:len(path)-1]
			c.scope.back(marks[leave])
			i = next[leave]
		}
	}
}

// bases brings what an image sets into scope and gives the state of a stage
// that begins with it.
func (c *checker) bases() func(image string) stageState {
	type known struct {
		base Base
		ok   bool
	}
	seen := map[string]known{"": {}, "scratch": {Base{Env: []string{"PATH="}}, true}}
	return func(image string) stageState {
		b, asked := seen[image]
		if !asked && c.o.Base != nil {
			b.base, b.ok = c.o.Base(image)
			seen[image] = b
		}
		for _, kv := range b.base.Env {
			name, value, _ := strings.Cut(kv, "=")
			known := len(value) <= skimmed && value != ""
			c.scope.put(c.scope.place(name), variable{value: value, known: known, set: true, env: true})
		}
		for _, source := range b.base.OnBuild {
			if in, err := ParseTrigger(image, source); err == nil && (in.Op == Env || in.Op == Arg) {
				for _, name := range argNames(in) {
					c.scope.put(c.scope.place(name), variable{set: true, env: in.Op == Env})
				}
			}
		}
		return stageState{complete: b.ok, shell: len(b.base.Shell) > 0}
	}
}

// stage checks the steps of a stage in its scope.
func (c *checker) stage(s *Stage, state *stageState) {
	var command, entrypoint, healthcheck int // lines: only the last of each counts
	for _, in := range s.Steps {
		c.told.clear()
		c.writtenStep(in)
		switch in.Op {
		case Cmd:
			c.command(in, state, &command)
		case Entrypoint:
			c.command(in, state, &entrypoint)
		case Healthcheck:
			c.command(in, state, &healthcheck)
		case Shell:
			state.shell = true
		case Maintainer:
			if c.tells(MaintainerDeprecated, in.Line) {
				c.tell(MaintainerDeprecated, in.Line, "MAINTAINER is deprecated: write LABEL org.opencontainers.image.authors="+jsonString(short(in.Args[0])))
			}
		case Arg:
			c.arg(in, state)
		case Env:
			c.env(in, state)
		case Workdir:
			c.workdir(in, state)
		case Expose:
			c.expose(in, state)
		default:
			c.words(in, state)
		}
	}
}

// command checks an instruction of which only the last one of a stage counts.
func (c *checker) command(in *Instruction, state *stageState, last *int) {
	if *last > 0 {
		c.find(MultipleInstructionsDisallowed, *last, "a later", in.Op.String(), "of this stage replaces this one: remove it")
	}
	*last = in.Line
	if in.Op != Healthcheck && in.Form == FormShell && in.Args[0] != "" && !state.shell {
		c.find(JSONArgsRecommended, in.Line, in.Op.String(), "in shell form keeps signals from the program:",
			"write a JSON array such as", in.Op.String(), `["program","argument"], or set a SHELL`)
	}
}

// words checks the words of the other instructions.
func (c *checker) words(in *Instruction, state *stageState) {
	mode := lexMode{quotes: true}
	switch in.Op {
	case Label:
		for _, word := range in.Args {
			c.skim(in, state, word, mode)
		}
	case Stopsignal, User, Volume:
		for _, word := range in.Args {
			c.skim(in, state, word, mode)
		}
	case Run:
		for _, f := range in.Flags() {
			if f.Name == "mount" {
				c.skim(in, state, f.Value, lexMode{})
			}
		}
	case Add, Copy:
		c.copy(in, state)
	}
}

func (c *checker) copy(in *Instruction, state *stageState) {
	for _, f := range in.Flags() {
		if f.Name == "chown" || f.Name == "chmod" || f.Name == "exclude" {
			c.skim(in, state, f.Value, lexMode{quotes: true})
		}
	}
	_, elsewhere := in.Flag("from")
	for i, word := range in.Args {
		value, known := c.skim(in, state, word, lexMode{quotes: true})
		if c.o.Excluded == nil || elsewhere || !known || i == len(in.Args)-1 {
			continue
		}
		if _, document := HeredocWord(word); document || strings.Contains(value, "://") || strings.HasPrefix(value, "git@") {
			continue
		}
		if rule, ok := c.excluded(value); ok {
			c.find(CopyIgnoredFile, in.Line, in.Op.String()+":", quoted(value), "is excluded by", rule)
		}
	}
	for _, d := range in.Heredocs() {
		if d.Expand {
			c.text(in, state, d.Text)
		}
	}
}

// excluded asks which rule hides a source, once for each of the first names.
func (c *checker) excluded(source string) (rule string, ok bool) {
	const most = 1000
	if answer, known := c.hidden[source]; known {
		return answer.rule, answer.ok
	}
	rule, ok = c.o.Excluded(source)
	if len(c.hidden) < most {
		c.hidden[source] = hiding{rule, ok}
	}
	return rule, ok
}

// skim reads a word, reports the names in it that are not defined, and gives
// its value if that is known.
func (c *checker) skim(in *Instruction, state *stageState, word string, mode lexMode) (value string, known bool) {
	if literal(word) {
		return word, true
	}
	return c.read(c.x, in, state, word, mode)
}

// text is skim for a here-document.
func (c *checker) text(in *Instruction, state *stageState, text string) {
	if strings.Contains(text, "$") {
		c.read(Expander{}, in, state, text, lexMode{})
	}
}

func (c *checker) read(x Expander, in *Instruction, state *stageState, word string, mode lexMode) (value string, known bool) {
	known = true
	value, undefined, whole := x.skim(word, func(name string) (string, bool) {
		v := c.scope.get(name)
		switch {
		case v.set && v.known:
			return v.value, true
		case v.set || !v.declared && !state.complete:
			known = false
			return "?", v.set
		case !state.complete && !v.env: // the base may set it
			known = false
		}
		return "", false
	}, mode)
	if state.complete {
		c.undefined(in, undefined)
	}
	return value, known && whole
}

func (c *checker) undefined(in *Instruction, names []string) {
	for _, name := range names {
		if c.told.find(name) >= 0 || c.scope.get(name).declared {
			continue
		}
		c.told.add(name)
		if !c.tells(UndefinedVar, in.Line) {
			continue
		}
		hint := ""
		if c.globals.get(name).declared {
			hint = ": declare it in this stage, ARG " + short(name)
		} else {
			hint = c.nearest(name, c.scope)
		}
		c.tell(UndefinedVar, in.Line, "$"+short(name)+" is not defined here"+hint)
	}
}

// arg declares the names of an ARG: the value given for this build, else the
// default, else that of the header.
func (c *checker) arg(in *Instruction, state *stageState) {
	for _, word := range in.Args {
		name, text, has := strings.Cut(word, "=")
		c.secret(in, name)
		v := variable{known: true}
		if given, ok := c.o.Args[name]; ok {
			v.value, v.set = given, true
		} else if has {
			v.value, v.known = c.skim(in, state, text, lexMode{quotes: true})
			v.set = true
		} else if global := c.globals.get(name); global.declared {
			v = global
		}
		if place := c.scope.place(name); !c.scope.vars[place].env {
			v.known = v.known && len(v.value) <= skimmed
			c.scope.put(place, v)
		}
	}
}

// pair is a name, by its place, with its new value.
type pair struct {
	place int
	v     variable
}

// env sets names; all values see what was set before.
func (c *checker) env(in *Instruction, state *stageState) {
	later := slices.ContainsFunc(in.Args, func(word string) bool { return strings.Contains(word, "$") })
	c.pairs = c.pairs[:0]
	for _, word := range in.Args {
		name, text, _ := strings.Cut(word, "=")
		name, _ = c.skim(in, state, name, lexMode{quotes: true})
		c.secret(in, name)
		value, known := c.skim(in, state, text, lexMode{quotes: true})
		v := variable{value: value, known: known && len(value) <= skimmed, set: true, env: true}
		if place := c.scope.place(name); later {
			c.pairs = append(double(c.pairs), pair{place, v})
		} else {
			c.scope.put(place, v)
		}
	}
	for _, p := range c.pairs {
		c.scope.put(p.place, p.v)
	}
}

func (c *checker) workdir(in *Instruction, state *stageState) {
	path, known := c.skim(in, state, in.Args[0], lexMode{quotes: true})
	drive := len(path) > 1 && path[1] == ':'
	if known && path != "" && path[0] != '/' && path[0] != '\\' && !drive && !state.workdir && c.tells(WorkdirRelativePath, in.Line) {
		c.tell(WorkdirRelativePath, in.Line, "WORKDIR", quoted(path), "is relative to wherever the base image is: begin with an absolute path")
	}
	state.workdir = true
}

// expose checks each port of [ADDRESS:][HOST:]PORT[/PROTOCOL].
func (c *checker) expose(in *Instruction, state *stageState) {
	for _, word := range in.Args {
		value, known := c.skim(in, state, word, lexMode{quotes: true})
		if !known {
			continue
		}
		for port := range strings.FieldsSeq(value) {
			number, protocol, _ := strings.Cut(port[strings.LastIndexByte(port, ':')+1:], "/")
			if lower := strings.ToLower(protocol); protocol != lower && c.tells(ExposeProtoCasing, in.Line) {
				c.tell(ExposeProtoCasing, in.Line, "EXPOSE", quoted(port)+": write the protocol in lower case,", short(number+"/"+lower))
			}
			if strings.Contains(port, ":") && c.tells(ExposeInvalidFormat, in.Line) {
				c.tell(ExposeInvalidFormat, in.Line, "EXPOSE", quoted(port)+": an address or a host port has no effect here, write", short(number))
			}
		}
	}
}

// secretWords are parts of names that say that a secret is inside, openWords
// those that say that it is not.
var (
	secretWords = []string{"apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"}
	openWords   = []string{"public", "file", "version"}
)

// secret looks at the parts of a name between underscores.
func (c *checker) secret(in *Instruction, name string) {
	found := false
	for part := range strings.SplitSeq(name, "_") {
		if len(part) > len("credentials") {
			continue
		}
		part = strings.ToLower(part)
		if slices.Contains(openWords, part) {
			return
		}
		found = found || slices.Contains(secretWords, part)
	}
	if found && c.tells(SecretsUsedInArgOrEnv, in.Line) {
		c.tell(SecretsUsedInArgOrEnv, in.Line, in.Op.String(), quoted(name), "stays in the image or its history: use RUN --mount=type=secret")
	}
}
