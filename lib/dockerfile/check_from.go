package dockerfile

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"docksmith/lib/suggest"
)

// platformArgs are the arguments that FROM lines see without declaring them.
var platformArgs = []string{
	"BUILDPLATFORM", "BUILDOS", "BUILDOSVERSION", "BUILDARCH", "BUILDVARIANT",
	"TARGETPLATFORM", "TARGETOS", "TARGETOSVERSION", "TARGETARCH", "TARGETVARIANT", "TARGETSTAGE",
}

// samplePlatform are values with which a good image name is good.
var samplePlatform = map[string]string{
	"BUILDPLATFORM": "linux/arm64", "BUILDOS": "linux", "BUILDOSVERSION": "1", "BUILDARCH": "arm64", "BUILDVARIANT": "v8",
	"TARGETPLATFORM": "linux/arm64", "TARGETOS": "linux", "TARGETOSVERSION": "1", "TARGETARCH": "arm64", "TARGETVARIANT": "v8",
	"TARGETSTAGE": "default",
}

// header evaluates the arguments before the first FROM.
func (c *checker) header(args, platform map[string]string) *scope {
	vars := &scope{final: true}
	for _, name := range platformArgs {
		value, known := args[name]
		if !known {
			value, known = platform[name]
		}
		vars.put(vars.place(name), variable{value: value, known: known, set: true})
	}
	for _, in := range c.f.Args {
		for _, word := range in.Args {
			name, text, has := strings.Cut(word, "=")
			v, place := variable{known: true}, vars.place(name)
			if given, ok := args[name]; ok {
				v.value, v.set = given, true
			} else if has {
				v.value, _, v.known = c.fromWord(text, vars)
				v.set = true
			} else if vars.vars[place].declared {
				continue
			}
			vars.put(place, v)
		}
	}
	return vars
}

// fromWord is the value of a word that sees vars alone.
func (c *checker) fromWord(word string, vars *scope) (value string, undefined []string, known bool) {
	if literal(word) {
		return word, nil, true
	}
	known = true
	value, undefined, whole := c.x.skim(word, func(name string) (string, bool) {
		v := vars.get(name)
		known = known && (v.known || !v.set)
		return v.value, v.set
	}, lexMode{quotes: true})
	// A name that is declared without a value is not undefined.
	undefined = slices.DeleteFunc(undefined, func(name string) bool { return vars.get(name).declared })
	return value, undefined, known && whole
}

// stages checks the FROM lines and finds out what each stage begins with.
func (c *checker) stages() {
	last := &lastStages{}
	c.parents, c.images = make([]int, len(c.f.Stages)), make([]string, len(c.f.Stages))
	for i, s := range c.f.Stages {
		c.stageName(s, last)
		c.platform(s)
		c.parents[i] = -1
		value, undefined, known := c.fromWord(s.From, c.globals)
		c.undefinedInFrom(s, undefined)
		if known {
			if c.parents[i] = last.find(strings.ToLower(value)); c.parents[i] < 0 {
				c.images[i] = value
			}
		}
		if strings.Contains(s.From, "$") {
			if !known || len(c.o.Args) > 0 { // else it is the same without build arguments
				value, known = c.byDefault(s.From)
			}
			if known && last.find(strings.ToLower(value)) < 0 && !isImageName(value) {
				c.find(InvalidDefaultArgInFrom, s.Line, "without build arguments FROM", quoted(s.From), "is",
					quoted(value)+", which names no image: give the ARG a default that does")
			}
		}
		if s.Name != "" {
			last.put(s.Name, i)
		}
	}
}

// byDefault is the value of a word of FROM without any build argument.
func (c *checker) byDefault(word string) (value string, known bool) {
	if c.defaults == nil {
		c.defaults = c.header(nil, samplePlatform)
	}
	value, _, known = c.fromWord(word, c.defaults)
	return value, known
}

// lastStages are the last stages so far by their names.
type lastStages struct {
	names  nameTable
	stages []int // by place in names
}

// find is -1 if no stage has the name.
func (l *lastStages) find(name string) int {
	if place := l.names.find(name); place >= 0 {
		return l.stages[place]
	}
	return -1
}

func (l *lastStages) put(name string, stage int) {
	place := l.names.add(name)
	if place == len(l.stages) {
		l.stages = append(double(l.stages), 0)
	}
	l.stages[place] = stage
}

func (c *checker) undefinedInFrom(s *Stage, undefined []string) {
	if s.Platform != "" {
		_, more, _ := c.fromWord(s.Platform, c.globals)
		undefined = append(undefined, more...)
	}
	c.told.clear()
	for _, name := range undefined {
		if c.told.find(name) < 0 {
			c.told.add(name)
			c.find(UndefinedArgInFrom, s.Line, "no ARG before the first FROM declares $"+short(name)+c.nearest(name, c.globals))
		}
	}
}

// nearest is a suggestion of a name like the one that is not defined. Only so
// many are made, for they are dear.
func (c *checker) nearest(name string, vars *scope) string {
	const most, names = 100, 1000
	if c.suggested++; c.suggested > most || vars.size > names || len(vars.vars) > 10*names {
		return ""
	}
	candidates := make([]string, 0, vars.size)
	for i, n := range vars.names.list {
		if vars.vars[i].declared && short(n) == n {
			candidates = append(candidates, "$"+n)
		}
	}
	slices.Sort(candidates)
	return suggest.DidYouMean("$"+name, candidates)
}

func (c *checker) stageName(s *Stage, last *lastStages) {
	if s.Name == "" {
		if s.notes != nil {
			c.written(From, nil, s.Line, s.notes)
		}
		return
	}
	from, _, rest := splitCommand(nil, trimSpace(s.Text), c.f.Escape)
	words := appendFields(c.fromWords[:0], rest)
	c.fromWords = words
	if len(words) == 3 {
		as, name := words[1], words[2]
		if from == strings.ToLower(from) && as != strings.ToLower(as) || from == strings.ToUpper(from) && as != strings.ToUpper(as) {
			c.find(FromAsCasing, s.Line, quoted(as), "is not in the case of", quoted(from))
		}
		if name != s.Name && c.tells(StageNameCasing, s.Line) {
			c.tell(StageNameCasing, s.Line, "stage name", quoted(name), "is not in lower case")
		}
	}
	if (s.Name == "scratch" || s.Name == "context") && c.tells(ReservedStageName, s.Line) {
		c.tell(ReservedStageName, s.Line, "stage name", quoted(s.Name), "has a meaning of its own: choose another")
	}
	if i := last.find(s.Name); i >= 0 && c.tells(DuplicateStageName, s.Line) {
		c.tell(DuplicateStageName, s.Line, "stage name", quoted(s.Name), "is already that of line", strconv.Itoa(c.f.Stages[i].Line))
	}
	what := []string{s.Name}
	if len(words) == 3 {
		what = append(what, words[2])
	}
	c.written(From, what, s.Line, s.notes)
}

func (c *checker) platform(s *Stage) {
	switch p := s.Platform; {
	case p == "$TARGETPLATFORM" || p == "${TARGETPLATFORM}":
		c.find(RedundantTargetPlatform, s.Line, "--platform="+p, "is the default: leave it out")
	case p == "" || strings.Contains(p, "$"):
	default:
		value, _, _ := c.fromWord(p, &scope{})
		for _, word := range platformWords(value) {
			if strings.Contains(s.Name, word) {
				return
			}
		}
		c.find(FromPlatformFlagConstDisallowed, s.Line, "--platform="+short(p),
			"is constant, so the stage ignores the platform that is asked for: use a variable, or name the stage after the platform")
	}
}

// platformWords are the operating system and the architecture of a platform,
// under their usual names.
func platformWords(p string) []string {
	words := strings.SplitN(strings.ToLower(p), "/", 3)
	words = words[:min(2, len(words))]
	if len(words) == 1 {
		words = append(words, "linux") // an architecture alone means this system
	}
	for i, w := range words {
		switch w {
		case "x86_64", "x86-64":
			words[i] = "amd64"
		case "aarch64":
			words[i] = "arm64"
		case "armhf", "armel":
			words[i] = "arm"
		case "i386":
			words[i] = "386"
		}
	}
	return slices.DeleteFunc(words, func(w string) bool { return w == "" })
}

// short is foreign text of any length, cut, and without what a terminal might
// obey.
func short(s string) string {
	if len(s) > 80 {
		s = strings.ToValidUTF8(s[:80], "") + "..."
	}
	return printable(s)
}

// printable is foreign text, quoted if a terminal might obey something in it, or
// it is none.
func printable(s string) string {
	if !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl) {
		return strconv.Quote(s)
	}
	return s
}
