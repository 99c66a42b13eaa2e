// Command ds-parse turns a Dockerfile into a build plan.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime/debug"

	"docksmith/lib/cli"
	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

const long = `
FILE may be "-" for standard input, or a directory: then the first of
Docksmithfile, Dockerfile and Containerfile in it. A file named Docksmithfile
is read as with --strict. The plan is one line of JSON, described in
docksmith-plan(5). The first error ends the work; it names the file and line.
With --check there is no plan, but what is questionable in the file: a line, or
a record, for each finding.

Exit status: 0 planned, or nothing found; 1 not a valid Dockerfile, or something
found; 2 wrong usage.

    ds-parse Dockerfile | ds-build -t app .
    ds-parse --check .
    ds-parse -t build . | jq -r '.stages[].from'
`

type options struct {
	strict, check          bool
	target, name, emit     string
	format, context, rules string
	buildArgs              []string
}

func main() {
	var o options
	cli.Main(&cli.Command{
		Name:  "ds-parse",
		Args:  "[FILE]",
		Short: "Read a Dockerfile from FILE or standard input, write its build plan to standard output.",
		Long:  long,
		Flags: func(f *cli.Flags) {
			f.StringVarP(&o.target, "target", "t", "", "plan up to `STAGE`, a name or a number, and leave out the rest")
			f.BoolVar(&o.strict, "strict", false, "read the dialect of a Docksmithfile: CMD must be a JSON array")
			f.StringVar(&o.name, "name", "", "call the input `NAME` in messages and in the plan")
			f.StringVar(&o.emit, "emit", emitPlan, "write a `plan`, or a makefile whose targets are the steps: make")
			f.BoolVar(&o.check, "check", false, "write what the checks find instead of a plan")
			f.StringVar(&o.format, "format", dockerfile.FormatText, "write findings as `text`, json or sarif")
			f.StringVar(&o.rules, "check-rules", "", "use `RULES` instead of the file's check directive, as skip=NAME,NAME or skip=all")
			f.StringArrayVar(&o.buildArgs, "build-arg", nil, "check with this build argument, `NAME=VALUE`; a lone NAME takes the environment's value")
			f.StringVar(&o.context, "context", "", "check COPY and ADD against the ignore file of `DIR`")
			f.Complete("emit", "plan,make")
			f.Complete("format", "text,json,sarif")
			f.Complete("context", "dir")
			f.Complete("target", "stage")
			f.Complete("name", "file")
		},
		Run: func(_ context.Context, s *cli.IO, args []string) error { return parse(s, args, o) },
	})
}

func parse(s *cli.IO, args []string, o options) error {
	// A run is short, what it takes is in proportion to an input that has a limit,
	// and nearly all of it is needed to the end: to look for the rest costs a third
	// of the time.
	debug.SetGCPercent(-1)
	if err := o.validate(s); err != nil {
		return err
	}
	name, r, err := open(s, args)
	if err != nil {
		return err
	}
	defer r.Close()
	if o.name != "" {
		name = o.name
	}
	f, err := dockerfile.Parse(r, dockerfile.Options{
		Name:   name,
		Strict: o.strict || dockerfile.IsStrict(name),
	})
	if e, ok := errors.AsType[*dockerfile.Error](err); ok {
		return &cli.Located{File: e.File, Line: e.Line, Err: e.Err}
	} else if err != nil {
		return err
	}
	if s.Flags.Changed("target") {
		p := plan.New(f)
		if err := p.Until(o.target); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		f.Stages = p.Stages
	}
	p, err := o.plan(s, f)
	if err != nil {
		return err
	}
	if o.check {
		return o.report(s, p)
	}
	if o.emit == emitMake {
		return o.emitMakefile(s, p, name, args)
	}
	return plan.Encode(s.Stdout, p)
}

// open opens the operand; the name is what messages call it.
func open(s *cli.IO, args []string) (string, io.ReadCloser, error) {
	if len(args) == 1 && args[0] != "-" {
		if info, err := os.Stat(args[0]); err == nil && info.IsDir() {
			return openDefault(args[0])
		}
	}
	name, r, err := s.Input(args)
	if err != nil && len(args) == 0 {
		if name, f, derr := openDefault("."); derr == nil {
			f.Close()
			err = cli.WithHint(err, "%s %s reads the file here", s.Name, name)
		}
	}
	if name == "-" {
		name = "<stdin>"
	}
	return name, r, err
}

// openDefault opens the file that stands for a directory.
func openDefault(dir string) (string, io.ReadCloser, error) {
	for _, base := range dockerfile.FileNames {
		name := filepath.Join(dir, base)
		f, err := os.Open(name)
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return name, f, err
		}
	}
	return dir, nil, dockerfile.NoFile(dir)
}
