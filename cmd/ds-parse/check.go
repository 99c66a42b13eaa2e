package main

import (
	"os"
	"slices"
	"strings"

	"docksmith/lib/buildctx"
	"docksmith/lib/cli"
	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// rulesArg is the build argument that replaces a check directive, in BuildKit
// as well.
const rulesArg = "BUILDKIT_DOCKERFILE_CHECK"

// validate looks at the flags alone.
func (o *options) validate(s *cli.IO) error {
	if !slices.Contains([]string{dockerfile.FormatText, dockerfile.FormatJSON, dockerfile.FormatSARIF}, o.format) {
		return cli.Usagef("--format=%s: want text, json or sarif", o.format)
	}
	for _, name := range []string{"format", "context"} {
		if s.Flags.Changed(name) && !o.check {
			return cli.Usagef("--%s goes with --check", name)
		}
	}
	switch {
	case o.emit != emitPlan && o.emit != emitMake:
		return cli.Usagef("--emit=%s: want plan or make", o.emit)
	case o.emit == emitMake && o.check:
		return cli.Usagef("--emit=make does not go with --check")
	}
	rules, err := dockerfile.ParseRules(o.rules)
	if err == nil {
		err = rules.Validate()
	}
	if err != nil {
		return cli.Usagef("--check-rules: %v", err)
	}
	for _, word := range o.buildArgs {
		if name, _, _ := strings.Cut(word, "="); name == "" {
			return cli.Usagef("--build-arg %s: want NAME=VALUE", word)
		}
	}
	return nil
}

// plan is the plan with what the checks find, and with the rules that count.
func (o *options) plan(s *cli.IO, f *dockerfile.File) (*plan.Plan, error) {
	args := map[string]string{}
	for _, word := range o.buildArgs {
		name, value, ok := strings.Cut(word, "=")
		if !ok {
			if value, ok = os.LookupEnv(name); !ok {
				continue
			}
		}
		args[name] = value
	}
	if given, ok := args[rulesArg]; ok {
		if _, err := dockerfile.ParseRules(given); err != nil {
			return nil, cli.Usagef("--build-arg %s: %v", rulesArg, err)
		}
		f.Check = given
	}
	if s.Flags.Changed("check-rules") {
		f.Check = o.rules
	}
	check := dockerfile.CheckOptions{Args: args}
	if o.context != "" {
		files, err := openContext(o.context, f.Name)
		if err != nil {
			return nil, err
		}
		defer files.Close()
		check.Excluded = files.Excluded
	}
	return plan.Check(f, check), nil
}

func openContext(dir, file string) (*buildctx.Context, error) {
	if strings.HasPrefix(file, "<") {
		file = ""
	}
	rules, err := buildctx.ReadIgnore(dir, file)
	if err != nil {
		return nil, err
	}
	return buildctx.Open(dir, buildctx.Options{Ignore: rules})
}

// report writes the findings; some are a failure.
func (o *options) report(s *cli.IO, p *plan.Plan) error {
	rules, err := dockerfile.ParseRules(p.Check)
	if err != nil {
		return err
	}
	r := dockerfile.Report{File: p.File, Version: cli.Version(), Findings: rules.Select(p.Warnings)}
	if err := r.Write(s.Stdout, o.format); err != nil {
		return err
	}
	if len(r.Findings) > 0 {
		return cli.ExitStatus(1)
	}
	return nil
}
