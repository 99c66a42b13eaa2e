package main

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strings"
)

const notice = "# Completion of %s for %s. Written by scripts/gen-completions: change the program instead.\n"

// names are the command lines that print the names of what there is of a kind, one a
// line.
var names = map[string]string{
	"image":     `ds-store ls --null 2>/dev/null | tr '\0' '\n'`,
	"container": "ds-exec ps --all --names 2>/dev/null",
	"volume":    "ds-exec volume ls --quiet 2>/dev/null",
}

// flagWords are the flags of a command as a shell's word list.
func flagWords(c command) string {
	var words []string
	for _, f := range c.Flags {
		if f.Letter != "" {
			words = append(words, "-"+f.Letter)
		}
		words = append(words, "--"+f.Name)
	}
	return strings.Join(words, " ")
}

func bash(c command) []byte {
	var b bytes.Buffer
	name := "_" + strings.ReplaceAll(c.Name, "-", "_")
	fmt.Fprintf(&b, notice, c.Name, "bash")
	fmt.Fprintf(&b, "%s() {\n", name)
	b.WriteString("\tlocal cur=$2 prev=$3 cmd='' word\n\tCOMPREPLY=()\n")
	b.WriteString("\tif [[ $cur == '=' ]]; then cur=''; fi\n")
	b.WriteString("\tif [[ $prev == '=' ]]; then prev=${COMP_WORDS[COMP_CWORD - 2]}; fi\n")
	if len(c.Commands) > 0 {
		b.WriteString("\tfor word in \"${COMP_WORDS[@]:1:COMP_CWORD-1}\"; do\n\t\tcase $cmd:$word in\n")
		fmt.Fprintf(&b, "\t\t:%s) cmd=$word ;;\n", strings.Join(commandNames(c), " | :"))
		for _, sub := range c.Commands {
			for _, more := range sub.Commands {
				fmt.Fprintf(&b, "\t\t%s:%s) cmd+=' %s' ;;\n", sub.Name, more.Name, more.Name)
			}
		}
		b.WriteString("\t\tesac\n\tdone\n")
	}
	b.WriteString("\tcase $cmd:$prev in\n")
	bashValues(&b, "", c)
	for _, sub := range c.all() {
		bashValues(&b, strings.ReplaceAll(sub.Name, " ", `\ `), sub)
	}
	b.WriteString("\tesac\n\tcase $cmd in\n")
	for _, sub := range c.all() {
		bashWords(&b, strings.ReplaceAll(sub.Name, " ", `\ `), sub)
	}
	bashWords(&b, "*", c)
	fmt.Fprintf(&b, "\tesac\n}\ncomplete -F %s %s\n", name, c.Name)
	return b.Bytes()
}

// all are the commands of a program, and theirs, which are called "volume rm".
func (c command) all() (list []command) {
	for _, sub := range c.Commands {
		list = append(list, sub)
		for _, more := range sub.Commands {
			more.Name = sub.Name + " " + more.Name
			list = append(list, more)
		}
	}
	return list
}

func commandNames(c command) []string {
	var names []string
	for _, sub := range c.Commands {
		names = append(names, sub.Name)
	}
	return names
}

// bashValues writes the arms that complete the values of flags.
func bashValues(b *bytes.Buffer, cmd string, c command) {
	for _, f := range c.Flags {
		if f.Arg == "" {
			continue
		}
		pattern := cmd + ":--" + f.Name
		if f.Letter != "" {
			pattern += " | " + cmd + ":-" + f.Letter
		}
		fmt.Fprintf(b, "\t%s) %sreturn ;;\n", pattern, bashReply(f.kind()))
	}
}

func bashReply(kind string) string {
	const reply = `mapfile -t COMPREPLY < <(compgen %s -- "$cur") && `
	switch kind {
	case "":
		return ""
	case "file":
		return fmt.Sprintf(reply, "-f")
	case "dir":
		return fmt.Sprintf(reply, "-d")
	case "stage":
		return ""
	}
	if list, ok := names[kind]; ok {
		return fmt.Sprintf(reply, `-W "$(`+list+`)"`)
	}
	return fmt.Sprintf(reply, "-W '"+strings.ReplaceAll(kind, ",", " ")+"'")
}

// bashWords writes the arm that completes flags, subcommands and operands.
func bashWords(b *bytes.Buffer, arm string, c command) {
	fmt.Fprintf(b, "\t%s)\n\t\tif [[ $cur == -* ]]; then\n\t\t\tmapfile -t COMPREPLY < <(compgen -W '%s' -- \"$cur\")\n", arm, flagWords(c))
	var makes []string
	if len(c.Commands) > 0 {
		makes = append(makes, "compgen -W '"+strings.Join(commandNames(c), " ")+`' -- "$cur"`)
	}
	for _, k := range c.operands() {
		switch k {
		case "file":
			makes = append(makes, `compgen -f -- "$cur"`)
		case "dir":
			makes = append(makes, `compgen -d -- "$cur"`)
		default:
			makes = append(makes, `compgen -W "$(`+names[k]+`)" -- "$cur"`)
		}
	}
	if len(makes) > 0 {
		fmt.Fprintf(b, "\t\telse\n\t\t\tmapfile -t COMPREPLY < <(%s)\n", strings.Join(makes, "; "))
	}
	b.WriteString("\t\tfi\n\t\t;;\n")
}

func zsh(c command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "#compdef %s\n", c.Name)
	fmt.Fprintf(&b, notice, c.Name, "zsh")
	for _, kind := range slices.Sorted(maps.Keys(names)) {
		fmt.Fprintf(&b, "_docksmith_%ss() { local -a names; names=(${(f)\"$(%s)\"}); compadd -a names }\n", kind, names[kind])
	}
	if len(c.Commands) == 0 {
		b.WriteString("_arguments -s -S" + zshSpecs(c, "*") + "\n")
		return b.Bytes()
	}
	b.WriteString("local curcontext=$curcontext state line\n")
	zshCommands(&b, c, "rest")
	return b.Bytes()
}

// zshCommands completes the name of a command, and what it takes. rest is the state
// behind its name.
func zshCommands(b *bytes.Buffer, c command, rest string) {
	b.WriteString("_arguments -C -s -S" + zshSpecs(command{Flags: c.Flags}, "") +
		" \\\n\t'1: :->command' \\\n\t'*:: :->" + rest + "' && return\n")
	b.WriteString("case $state in\ncommand)\n\tlocal -a commands=(\n")
	for _, sub := range c.Commands {
		fmt.Fprintf(b, "\t\t%s\n", quote(sub.Name+":"+sub.Short))
	}
	fmt.Fprintf(b, "\t)\n\t_describe command commands\n\t;;\n%s)\n\tcase $words[1] in\n", rest)
	for _, sub := range c.Commands {
		if len(sub.Commands) > 0 {
			fmt.Fprintf(b, "\t%s)\n", sub.Name)
			zshCommands(b, sub, sub.Name)
			b.WriteString("\t;;\n")
			continue
		}
		fmt.Fprintf(b, "\t%s) _arguments -s -S%s ;;\n", sub.Name, zshSpecs(sub, "*"))
	}
	b.WriteString("\tesac\n\t;;\nesac\n")
}

var zshText = strings.NewReplacer("[", `\[`, "]", `\]`, ":", `\:`)

// zshSpecs are the arguments of _arguments for a command; many is "*" when the
// operands are to be completed too.
func zshSpecs(c command, many string) string {
	var b strings.Builder
	add := func(s string) { b.WriteString(" \\\n\t\t" + quote(s)) }
	for _, f := range c.Flags {
		tail := "[" + zshText.Replace(f.Usage) + "]"
		long := "--" + f.Name
		if f.Arg != "" {
			tail += ":" + zshText.Replace(f.Arg) + ":" + zshAction(f.kind())
			long += "="
		}
		add("*" + long + tail)
		if f.Letter != "" {
			if f.Arg != "" {
				tail = "+" + tail
			}
			add("*-" + f.Letter + tail)
		}
	}
	if many != "" {
		actions := []string{}
		for _, k := range c.operands() {
			actions = append(actions, zshAction(k))
		}
		switch len(actions) {
		case 0:
		case 1:
			add("*: :" + actions[0])
		default:
			add(`*: :{ ` + strings.Join(actions, "; ") + ` }`)
		}
	}
	return b.String()
}

func zshAction(kind string) string {
	switch kind {
	case "", "stage":
		return ""
	case "file":
		return "_files"
	case "dir":
		return "_files -/"
	}
	if names[kind] != "" {
		return "_docksmith_" + kind + "s"
	}
	return "(" + strings.ReplaceAll(kind, ",", " ") + ")"
}

func fish(c command) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, notice, c.Name, "fish")
	fmt.Fprintf(&b, "complete -c %s -f\n", c.Name)
	top := ""
	if len(c.Commands) > 0 {
		top = " -n __fish_use_subcommand"
	}
	fishFlags(&b, c, top)
	fishOperands(&b, c, c.operands(), top)
	for _, sub := range c.Commands {
		fmt.Fprintf(&b, "complete -c %s%s -a %s -d %s\n", c.Name, top, sub.Name, quoteFish(sub.Short))
	}
	for _, sub := range c.Commands {
		seen := "__fish_seen_subcommand_from " + sub.Name
		for _, more := range sub.Commands {
			within := fmt.Sprintf(" -n '%s; and not __fish_seen_subcommand_from %s'", seen, strings.Join(commandNames(sub), " "))
			fmt.Fprintf(&b, "complete -c %s%s -a %s -d %s\n", c.Name, within, more.Name, quoteFish(more.Short))
			fishCommand(&b, c.Name, fmt.Sprintf(" -n '%s; and __fish_seen_subcommand_from %s'", seen, more.Name), more)
		}
		for _, other := range c.Commands {
			if slices.Contains(commandNames(other), sub.Name) {
				seen += "; and not __fish_seen_subcommand_from " + other.Name
			}
		}
		fishCommand(&b, c.Name, " -n '"+seen+"'", sub)
	}
	return b.Bytes()
}

func fishCommand(b *bytes.Buffer, program, condition string, c command) {
	operands := c.operands()
	c.Name = program
	fishFlags(b, c, condition)
	fishOperands(b, c, operands, condition)
}

func fishFlags(b *bytes.Buffer, c command, condition string) {
	for _, f := range c.Flags {
		fmt.Fprintf(b, "complete -c %s%s", c.Name, condition)
		if f.Letter != "" {
			b.WriteString(" -s " + f.Letter)
		}
		b.WriteString(" -l " + f.Name)
		if f.Arg != "" {
			b.WriteString(fishValue(f.kind()))
		}
		fmt.Fprintf(b, " -d %s\n", quoteFish(f.Usage))
	}
}

func fishValue(kind string) string {
	switch kind {
	case "", "stage":
		return " -x"
	case "file":
		return " -r -F"
	}
	return " -x -a " + quoteFish(fishWords(kind))
}

func fishWords(kind string) string {
	switch kind {
	case "dir":
		return "(__fish_complete_directories)"
	}
	if names[kind] != "" {
		return "(" + names[kind] + ")"
	}
	return strings.ReplaceAll(kind, ",", " ")
}

func fishOperands(b *bytes.Buffer, c command, operands []string, condition string) {
	for _, k := range operands {
		if k == "file" {
			fmt.Fprintf(b, "complete -c %s%s -F\n", c.Name, condition)
			continue
		}
		fmt.Fprintf(b, "complete -c %s%s -a %s\n", c.Name, condition, quoteFish(fishWords(k)))
	}
}

// quote makes one word for zsh.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// quoteFish makes one word for fish.
func quoteFish(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`).Replace(s) + "'"
}
