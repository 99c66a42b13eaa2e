package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

func infoCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name:  "info",
		Short: "Try what containers are made with, and say what lacks.",
		Long: `Each line is a trial, made for the caller as ds-exec run would, and its outcome:
yes, or the kernel's refusal and below it what to do. Exit status: 0 whatever
the outcome, 1 when nothing could be tried.

    ds-exec info
    ds-exec info --json | jq -r .isolation`,
		Flags: func(f *cli.Flags) { f.BoolVar(&asJSON, "json", false, "print one JSON object") },
		Run: func(_ context.Context, io *cli.IO, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("unexpected operand %q", args[0])
			}
			s, err := survey(io, enterNamespace(io))
			if err != nil {
				return err
			}
			if asJSON {
				return io.JSON(s)
			}
			return printSurvey(io, s)
		},
	}
}

func printSurvey(io *cli.IO, s *sandbox.Survey) error {
	where := s.Container
	if where == "" {
		where = "no container"
	}
	fmt.Fprintf(io.Stdout, "isolation    %s\nkernel       Linux %s %s\nrunning in   %s\n\n", s.Isolation, s.Kernel, s.Architecture, where)
	w := tabwriter.NewWriter(io.Stdout, 0, 8, 2, ' ', 0)
	for _, t := range s.Trials {
		verdict, note := "yes", t.Note
		if !t.OK {
			verdict, note = "no", t.Error
			if t.Errno != "" {
				note = t.Errno + ": " + note
			}
		}
		if note != "" {
			note = "\t" + note
		}
		fmt.Fprintf(w, "%s\t%s\t%s%s\n", t.Area, t.Name, verdict, note)
		if t.Remedy != "" {
			fmt.Fprintf(w, "\t\t\t%s\n", t.Remedy)
		}
	}
	return w.Flush()
}
