package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"strings"
	"text/tabwriter"

	"docksmith/lib/buildlog"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

func logsCommand() *cli.Command {
	var asJSON, follow bool
	return &cli.Command{
		Name: "logs", Args: "[BUILD[:STEP]]",
		Short: "List recent builds, or print what the commands of one printed.",
		Long: `BUILD is "latest", the beginning of an id, or an image by name or digest: the last build
that gave it. STEP is the number of a step; what a step from the cache printed is that of
the build that ran it. Without BUILD the builds are listed, the last first.

    ds-store logs latest:3
    ds-store logs -f latest`,
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&follow, "follow", "f", false, "wait for more until the build, or the step, is over")
			f.BoolVar(&asJSON, "json", false, "print the list, or the records of BUILD, as lines of JSON")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 1, ""); err != nil {
				return err
			}
			root, err := stdio.Root()
			if err != nil {
				return err
			}
			logs := buildlog.New(root)
			switch {
			case follow && (asJSON || len(args) == 0):
				return cli.Usagef("-f: want BUILD or BUILD:STEP, without --json")
			case follow:
				return followLogs(ctx, stdio, logs, args[0])
			case len(args) == 0:
				return listBuilds(stdio, logs, asJSON)
			case asJSON:
				return copyRecord(stdio, logs, args[0])
			}
			return printLogs(stdio, logs, args[0])
		},
	}
}

// findBuild finds what BUILD or BUILD:STEP names; the step is 0 without one.
// A name is a build, if there is such a build, even if it ends in a number.
func findBuild(logs *buildlog.Dir, name string) (*buildlog.Build, int, error) {
	b, err := logs.Find(name, tagsOf(name)...)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		return b, 0, err
	}
	if build, step := buildlog.SplitStep(name); step > 0 {
		b, err = logs.Find(build, tagsOf(build)...)
		return b, step, hintBuilds(err)
	}
	return nil, 0, hintBuilds(err)
}

func hintBuilds(err error) error { return cli.WithHint(err, "ds-store logs lists the builds") }

// tagsOf is the name of an image in the form that records have.
func tagsOf(name string) []string {
	r, err := oci.ParseRef(name)
	if err != nil || r.Digest != "" {
		return nil
	}
	return []string{r.String()}
}

// listedBuild is one line of logs --json.
type listedBuild struct {
	ID      string   `json:"id"`
	State   string   `json:"state"`
	Began   string   `json:"began"`
	Seconds float64  `json:"seconds,omitempty"`
	File    string   `json:"file,omitempty"`
	Context string   `json:"context,omitempty"`
	Tags    []string `json:"tags,omitempty"`
	Digest  string   `json:"digest,omitempty"`
	Steps   int      `json:"steps"`
}

func listBuilds(stdio *cli.IO, logs *buildlog.Dir, asJSON bool) error {
	list, err := logs.List()
	if err != nil {
		return err
	}
	if asJSON {
		for _, b := range list {
			l := listedBuild{b.ID, b.State, timestamp(b.Began), b.Seconds, b.File, b.Context, b.Tags, b.Digest, len(b.Steps)}
			if err := stdio.JSON(l); err != nil {
				return err
			}
		}
		return stdio.End()
	}
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "BUILD\tBEGAN\tSTATE\tTIME\tIMAGE\tFILE")
	for _, b := range list {
		took := "-"
		if b.Seconds > 0 {
			took = fmt.Sprintf("%.2fs", b.Seconds)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", b.ID, timestamp(b.Began), b.State, took, orDash(imageOf(b)), orDash(b.File))
	}
	return w.Flush()
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return cli.Printable(s)
}

func imageOf(b *buildlog.Build) string {
	if len(b.Tags) > 0 {
		return strings.Join(b.Tags, ",")
	}
	_, digits, _ := strings.Cut(b.Digest, ":")
	return digits[:min(12, len(digits))]
}

func copyRecord(stdio *cli.IO, logs *buildlog.Dir, name string) error {
	b, step, err := findBuild(logs, name)
	if err != nil {
		return err
	}
	if step > 0 {
		return cli.Usagef("--json: the output of a step is no JSON: want BUILD")
	}
	r, err := b.Record()
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(stdio.Stdout, r)
	return err
}

func printLogs(stdio *cli.IO, logs *buildlog.Dir, name string) error {
	b, step, err := findBuild(logs, name)
	if err != nil {
		return err
	}
	if step > 0 {
		return printOutput(stdio, b, step)
	}
	fmt.Fprintf(stdio.Stdout, "Build %s of %s, %s: %s\n", b.ID, orDash(b.File), timestamp(b.Began), b.State)
	last := 0
	for _, s := range b.Steps {
		fmt.Fprintln(stdio.Stdout, cli.Printable(stepLine(s)))
		if s.Log == "" || s.Number == last {
			continue
		}
		last = s.Number
		if err := printOutput(stdio, b, s.Number); err != nil {
			stdio.Warnf("%v", err) // of an earlier build, and gone
		}
	}
	if b.Failure != "" {
		fmt.Fprintf(stdio.Stdout, "Failed: %s\n", cli.Printable(b.Failure))
	}
	return nil
}

// stepLine is the line of a build's progress.
func stepLine(s buildlog.Step) string {
	line := fmt.Sprintf("Step %d/%d : %s", s.Number, s.Total, strings.Join(strings.Fields(s.Text), " "))
	if s.Cache != "" {
		line += " [CACHE " + strings.ToUpper(s.Cache) + "]"
	}
	switch {
	case s.Failed:
		line += " failed"
	case !s.Done:
		line += " not done"
	case s.Cache != "":
		line += fmt.Sprintf(" %.2fs", s.Seconds)
	}
	return line
}

func printOutput(stdio *cli.IO, b *buildlog.Build, step int) error {
	r, err := b.Output(step)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(stdio.Stdout, r)
	return err
}
