package main

import (
	"fmt"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
)

// rulesArg is the build argument that replaces a check directive, in BuildKit
// as well.
const rulesArg = "BUILDKIT_DOCKERFILE_CHECK"

// checkRules are the rules given on the command line, nil without.
func (o *options) checkRules(s *cli.IO, args map[string]string) (*dockerfile.Rules, error) {
	text, from := o.rules, "--check-rules"
	if !s.Flags.Changed("check-rules") {
		given, ok := args[rulesArg]
		if !ok {
			return nil, nil
		}
		text, from = given, "--build-arg "+rulesArg
	}
	rules, err := dockerfile.ParseRules(text)
	if err == nil && from == "--check-rules" {
		err = rules.Validate()
	}
	if err != nil {
		return nil, cli.Usagef("%s: %v", from, err)
	}
	return &rules, nil
}

// check shows what is questionable in the Dockerfile, before anything is
// built. With --check that is all, and done is true.
func (b *builder) check() (done bool, err error) {
	rules := b.settings.rules
	if rules == nil {
		r, err := dockerfile.ParseRules(b.in.plan.Check)
		if err != nil {
			return false, err
		}
		rules = &r
	}
	found := rules.Select(b.in.plan.Findings(b.checkOptions()))
	file := b.in.plan.File
	if file == "" {
		file = "Dockerfile"
	}
	report := dockerfile.Report{File: file, Findings: found}
	if b.o.check {
		err := report.Write(b.s.Stdout, dockerfile.FormatText)
		if err == nil && len(found) > 0 {
			err = cli.ExitStatus(1)
		}
		return true, err
	}
	_, silent := b.journal.show.(*silence)
	for _, f := range found {
		b.journal.event(build.Event{Type: build.EventWarning, File: file, Line: f.Line, Text: f.Text, Rule: f.Rule})
		if silent && rules.Error {
			fmt.Fprintln(b.s.Stderr, report.Line(f))
		}
	}
	if rules.Error && len(found) > 0 {
		err := fmt.Errorf("%s: the checks found something, and error=true asks to fail then", file)
		return true, cli.WithHint(err, "--check-rules skip=%s leaves one check out, --check-rules error=false only warns", found[0].Rule)
	}
	return false, nil
}

// checkOptions is what this build knows beside the plan.
func (b *builder) checkOptions() dockerfile.CheckOptions {
	args := map[string]string{}
	addPlatform(args, "BUILD", oci.HostPlatform())
	target := b.settings.platform
	if target.OS == "" {
		target = oci.HostPlatform()
	}
	addPlatform(args, "TARGET", target)
	for name, value := range b.settings.args {
		args[name] = value
	}
	o := dockerfile.CheckOptions{Args: args, Excluded: b.in.context.Excluded}
	if len(b.settings.contexts) == 0 { // a name may mean another image then
		o.Base = b.base
	}
	return o
}

func addPlatform(args map[string]string, prefix string, p oci.Platform) {
	args[prefix+"PLATFORM"] = oci.PlatformString(p)
	args[prefix+"OS"], args[prefix+"OSVERSION"] = p.OS, p.OSVersion
	args[prefix+"ARCH"], args[prefix+"VARIANT"] = p.Architecture, p.Variant
}

// base is what a base image in the store sets. Whatever is wrong with it is
// told when it is used.
func (b *builder) base(image string) (dockerfile.Base, bool) {
	var platform *oci.Platform
	if b.settings.platform.OS != "" {
		platform = &b.settings.platform
	}
	img, err := b.store.Image(image, platform)
	if err != nil {
		return dockerfile.Base{}, false
	}
	c := img.Image.Config
	return dockerfile.Base{Env: c.Env, Shell: c.Shell, OnBuild: c.OnBuild}, true
}
