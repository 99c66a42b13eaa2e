package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"docksmith/lib/suggest"
)

// Command declares a program or one of its subcommands. Help, completions and
// the check of the man page all come from this one declaration.
type Command struct {
	// Name is the program's name, or the subcommand's word.
	Name string
	// Args is the synopsis of the operands, such as "[FILE]". The synopsis
	// of the flags is "[OPTION]..." unless Args begins with "[-" or "-".
	Args string
	// Short is one sentence that says what the command does.
	Short string
	// Long follows the options in the help: operands, exit status and a
	// transcript that can be pasted. Optional.
	Long string
	// Flags declares the flags. Optional.
	Flags func(*Flags)
	// Other are flags of similar programs, by name without dashes, and what to do
	// instead: whoever gives one is told. Optional.
	Other map[string]string
	// StopAtOperand ends option parsing at the first operand, for commands
	// that are followed by another command with options of its own.
	StopAtOperand bool
	// FailStatus is the exit status of the command's own failures and of
	// wrong usage, where these must not be mistaken for the status of what
	// it runs. Zero means 1 and 2.
	FailStatus int
	// Run does the work. It gets the operands. Nil where Commands has entries.
	Run func(ctx context.Context, io *IO, args []string) error
	// Commands are the subcommands, in the order in which help lists them.
	Commands []*Command
}

// Flags is the set of flags of one command. A back-quoted word in a usage text
// names the flag's argument in the help.
type Flags struct {
	*pflag.FlagSet
	complete map[string]string
	oneDash  []string
}

// OneDash lets the named flags be given with one dash, too, as compilers have
// theirs: -MF FILE.
func (f *Flags) OneDash(names ...string) { f.oneDash = names }

// parse is Parse for such flags.
func (f *Flags) parse(args []string) error {
	given := slices.Clone(args)
	for i, arg := range given {
		if arg == "--" {
			break
		}
		name, _, _ := strings.Cut(strings.TrimPrefix(arg, "-"), "=")
		if strings.HasPrefix(arg, "-") && slices.Contains(f.oneDash, name) {
			given[i] = "-" + arg
		}
	}
	return f.Parse(given)
}

// Complete says what a shell completes after the named flag: "file", "dir",
// "image", "stage", or a comma-separated list of words.
func (f *Flags) Complete(name, kind string) {
	if f.Lookup(name) == nil {
		panic("cli: completion for undeclared flag " + name)
	}
	f.complete[name] = kind
}

// StringArrayVar declares a flag that may be repeated.
func (f *Flags) StringArrayVar(p *[]string, name string, value []string, usage string) {
	f.StringArrayVarP(p, name, "", value, usage)
}

// StringArrayVarP is StringArrayVar with a letter. It takes the place of pflag's
// own, which makes a writer of CSV for each flag at every start.
func (f *Flags) StringArrayVarP(p *[]string, name, letter string, value []string, usage string) {
	*p = value
	f.VarP(&words{list: p}, name, letter, usage)
}

// words is the value of a flag that may be repeated. The first one given takes
// the place of the default.
type words struct {
	list  *[]string
	given bool
}

func (w *words) Set(s string) error {
	if !w.given {
		*w.list, w.given = nil, true
	}
	*w.list = append(*w.list, s)
	return nil
}

func (w *words) String() string { return strings.Join(*w.list, " ") }

func (w *words) Type() string { return "string" }

// invocation is a command found on the command line, ready to run.
type invocation struct {
	command *Command
	path    string // "ds-store import"
	flags   *Flags
}

func newFlags(path string, c *Command) *Flags {
	set := pflag.NewFlagSet(path, pflag.ContinueOnError)
	set.SetOutput(io.Discard)
	set.Usage = func() {}
	set.SortFlags = false
	set.SetInterspersed(!c.StopAtOperand && c.Run != nil)
	f := &Flags{FlagSet: set, complete: map[string]string{}}
	if c.Flags != nil {
		c.Flags(f)
	}
	set.BoolP("help", "h", false, "show this help")
	set.Bool("version", false, "show the version")
	set.Bool("dump-cli", false, "describe the commands and flags as JSON")
	_ = set.MarkHidden("dump-cli") // declared on the line above
	return f
}

// find parses args down the tree of subcommands.
func find(path string, c *Command, args []string) (*invocation, error) {
	inv := &invocation{command: c, path: path, flags: newFlags(path, c)}
	if err := inv.flags.parse(args); err != nil {
		if errors.Is(err, pflag.ErrHelp) {
			return inv, nil
		}
		usage := strings.TrimSuffix(err.Error(), ".")
		var unknown *pflag.NotExistError
		if errors.As(err, &unknown) {
			if instead := c.Other[unknown.GetSpecifiedName()]; instead != "" {
				return inv, WithHint(Usagef("%s", usage), "%s", instead)
			}
			if unknown.GetSpecifiedShortnames() == "" {
				usage += suggest.DidYouMean("--"+unknown.GetSpecifiedName(), inv.flags.long())
			}
		}
		return inv, Usagef("%s", usage)
	}
	if inv.asks("help") || inv.asks("version") || inv.asks("dump-cli") || c.Run != nil {
		return inv, nil
	}
	if inv.flags.NArg() == 0 {
		return inv, Usagef("a command is missing")
	}
	word := inv.flags.Arg(0)
	for _, sub := range c.Commands {
		if sub.Name == word {
			return find(path+" "+word, sub, inv.flags.Args()[1:])
		}
	}
	var names []string
	for _, sub := range c.Commands {
		names = append(names, sub.Name)
	}
	return inv, Usagef("unknown command %q%s", word, suggest.DidYouMean(word, names))
}

// long lists the flags that are not hidden, as they are written.
func (f *Flags) long() []string {
	var names []string
	f.VisitAll(func(flag *pflag.Flag) {
		if !flag.Hidden {
			names = append(names, "--"+flag.Name)
		}
	})
	return names
}

func (inv *invocation) asks(flag string) bool {
	v, err := inv.flags.GetBool(flag)
	return err == nil && v
}

// help writes the page that --help shows.
func (inv *invocation) help(w io.Writer) error {
	c := inv.command
	var b strings.Builder
	fmt.Fprintf(&b, "usage: %s\n\n%s\n", inv.synopsis(), c.Short)
	if len(c.Commands) > 0 {
		b.WriteString("\nCommands:\n")
		width := 0
		for _, sub := range c.Commands {
			width = max(width, len(sub.Name))
		}
		for _, sub := range c.Commands {
			fmt.Fprintf(&b, "  %-*s   %s\n", width, sub.Name, sub.Short)
		}
	}
	b.WriteString("\n")
	b.WriteString(inv.flags.FlagUsages())
	if c.Long != "" {
		b.WriteString("\n" + strings.Trim(c.Long, "\n") + "\n")
	}
	_, err := io.WriteString(w, b.String())
	return err
}

func (inv *invocation) synopsis() string {
	c := inv.command
	parts := []string{inv.path}
	switch {
	case len(c.Commands) > 0:
		parts = append(parts, "COMMAND [OPTION]... [ARG]...")
	case c.Flags != nil && !strings.HasPrefix(strings.TrimPrefix(c.Args, "["), "-"):
		parts = append(parts, "[OPTION]...")
	}
	if c.Args != "" {
		parts = append(parts, c.Args)
	}
	return strings.Join(parts, " ")
}

// description is the JSON form of a command, for generators of completions and
// for the test that compares the man pages with the flags.
type description struct {
	Name     string        `json:"name"`
	Synopsis string        `json:"synopsis"`
	Args     string        `json:"args,omitempty"`
	Short    string        `json:"short"`
	Flags    []flagText    `json:"flags,omitempty"`
	Commands []description `json:"commands,omitempty"`
}

type flagText struct {
	Name     string `json:"name"`
	Letter   string `json:"letter,omitempty"`
	Arg      string `json:"arg,omitempty"`
	Usage    string `json:"usage"`
	Complete string `json:"complete,omitempty"`
}

func describe(path string, c *Command) description {
	inv := &invocation{command: c, path: path, flags: newFlags(path, c)}
	d := description{Name: c.Name, Synopsis: inv.synopsis(), Args: c.Args, Short: c.Short}
	inv.flags.VisitAll(func(f *pflag.Flag) {
		if f.Hidden {
			return
		}
		arg, usage := pflag.UnquoteUsage(f)
		d.Flags = append(d.Flags, flagText{f.Name, f.Shorthand, arg, usage, inv.flags.complete[f.Name]})
	})
	for _, sub := range c.Commands {
		d.Commands = append(d.Commands, describe(path+" "+sub.Name, sub))
	}
	return d
}
