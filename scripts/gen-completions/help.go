package main

import (
	"fmt"
	"regexp"
	"strings"
)

var (
	commandLine = regexp.MustCompile(`^  ([a-z]+) {2,}(\S.*)$`)
	usageLine   = regexp.MustCompile(`^usage: (\S+(?: [a-z-]+)*)(?: \[OPTION\]\.\.\.)? ?(.*)$`)
	flagLine    = regexp.MustCompile(`^ +(?:-(\w), )? *--(\[no-\])?([a-z-]+)(?: (\S+))? {2,}(\S.*)$`)
)

// readPorcelain learns docksmith's commands from "docksmith help" and the
// flags of each from its help page. run runs docksmith. A command whose page is
// that of one of the programs has that program's flags.
func readPorcelain(programs []command, run func(args ...string) (string, error)) (command, error) {
	c := command{Name: "docksmith"}
	text, err := run("help")
	if err != nil {
		return c, fmt.Errorf("docksmith help: %w", err)
	}
	for line := range strings.Lines(text) {
		if m := commandLine.FindStringSubmatch(strings.TrimRight(line, "\n")); m != nil {
			c.Commands = append(c.Commands, command{Name: m[1], Short: m[2]})
		}
	}
	if len(c.Commands) == 0 {
		return c, fmt.Errorf("docksmith help lists no commands")
	}
	for i := range c.Commands {
		sub := &c.Commands[i]
		text, err := run(sub.Name, "--help")
		if err != nil {
			return c, fmt.Errorf("docksmith %s --help: %w", sub.Name, err)
		}
		sub.readHelp(text, programs)
	}
	return c, nil
}

// lookup finds the command "ds-store ls" among programs.
func lookup(programs []command, path string) *command {
	name, rest, more := strings.Cut(path, " ")
	for i := range programs {
		if programs[i].Name == name && !more {
			return &programs[i]
		}
		if programs[i].Name == name {
			return lookup(programs[i].Commands, rest)
		}
	}
	return nil
}

// readHelp reads the operands and flags of a help page.
func (c *command) readHelp(text string, programs []command) {
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\n")
		if m := usageLine.FindStringSubmatch(line); m != nil {
			if p := lookup(programs, m[1]); p != nil {
				c.Args, c.Flags, c.Commands = p.Args+porcelainTakes[c.Name], p.Flags, p.Commands
				return
			}
			c.Args = m[2]
			continue
		}
		m := flagLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c.Flags = append(c.Flags, option{Letter: m[1], Name: m[3], Arg: m[4], Usage: m[5]})
		if m[2] != "" {
			c.Flags = append(c.Flags, option{Name: "no-" + m[3], Usage: "not: " + m[5]})
		}
	}
}

// What an argument's name in a synopsis says about its values. A name that is
// not here completes to nothing.
var kinds = map[string]string{
	"FILE": "file", "ARCHIVE": "file", "LAYER": "file", "TAR": "file", "PLAN": "file", "PROGRAM": "file",
	"DIR": "dir", "CONTEXT": "dir", "BUNDLE": "dir", "LOWER": "dir", "UPPER": "dir", "TREE": "dir", "SRC": "dir",
	"CONTAINER": "container", "VOLUME": "volume",
	"IMAGE": "image", "NAME": "image", "REF": "image", "SOURCE": "image",
}

// porcelainTakes is what a command of docksmith takes beside what the program does
// whose help it shows.
var porcelainTakes = map[string]string{"inspect": " CONTAINER", "logs": " CONTAINER"}

var word = regexp.MustCompile(`[A-Z][A-Z0-9]*`)

// kind says what completes the value of a flag.
func (o option) kind() string {
	switch {
	case o.Complete != "" || o.Arg == "":
		return o.Complete
	case strings.HasPrefix(o.Arg, "NAME"), strings.Contains(o.Arg, "="):
		return "" // a flag's name is not an image's unless it says so
	}
	return kinds[word.FindString(o.Arg)]
}

// operands lists what completes the operands, each kind once.
func (c command) operands() []string {
	var list []string
	seen := map[string]bool{}
	if strings.HasSuffix(c.Name, "create") {
		return nil // what is to be made has no name yet
	}
	for _, w := range word.FindAllString(c.Args, -1) {
		if k := kinds[w]; k != "" && !seen[k] {
			seen[k] = true
			list = append(list, k)
		}
	}
	return list
}
