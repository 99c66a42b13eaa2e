package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
)

// shortID is how much of an id people see.
const shortID = 12

func psCommand() *cli.Command {
	var all, quiet, names, whole, asJSON bool
	return &cli.Command{
		Name: "ps", Args: "",
		Short: "List the containers that run.",
		Long: `A container that was killed from outside, with nobody left to record how it ended, is Dead.

    ds-exec ps -a`,
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&all, "all", "a", false, "list those that have ended, too")
			f.BoolVarP(&quiet, "quiet", "q", false, "print ids only")
			f.BoolVar(&names, "names", false, "print names only, and ids of those that have none")
			f.BoolVar(&whole, "no-trunc", false, "print ids and commands in full")
			f.BoolVar(&asJSON, "json", false, "print the records as lines of JSON")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("no operand is taken")
			}
			t, err := table(stdio)
			if err != nil {
				return err
			}
			list, err := t.List()
			if err != nil {
				return err
			}
			if !all {
				list = slices.DeleteFunc(list, func(s container.State) bool { return s.Status == container.Stopped })
			}
			slices.Reverse(list) // the newest first
			switch {
			case asJSON:
				return cli.JSONLines(stdio, list)
			case quiet, names:
				return printNames(stdio, list, names, whole)
			}
			return printTable(stdio, list, whole, time.Now())
		},
	}
}

// printNames prints what others take for an operand, one a line.
func printNames(stdio *cli.IO, list []container.State, names, whole bool) error {
	for _, s := range list {
		name := cut(s.ID, shortID, whole)
		if names {
			name = cmp.Or(s.Name, name)
		}
		if _, err := fmt.Fprintln(stdio.Stdout, name); err != nil {
			return err
		}
	}
	return nil
}

func printTable(stdio *cli.IO, list []container.State, whole bool, now time.Time) error {
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 3, ' ', 0)
	fmt.Fprintln(w, "CONTAINER ID\tIMAGE\tCOMMAND\tCREATED\tSTATUS\tISOLATION\tPORTS\tNAMES")
	for _, s := range list {
		command := strconv.Quote(strings.Join(s.Command, " "))
		if r := []rune(command); !whole && len(r) > 20 {
			command = string(r[:18]) + "…\""
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s ago\t%s\t%s\t\t%s\n", cut(s.ID, shortID, whole), cut(s.Image, 40, whole), command,
			ago(now.Sub(s.Created)), describe(s, now), isolation(s), s.Name)
	}
	return w.Flush()
}

func cut(s string, n int, whole bool) string {
	if whole || len(s) <= n {
		return s
	}
	return s[:n]
}

// describe is a status in Docker's words.
func describe(s container.State, now time.Time) string {
	switch {
	case s.Status == container.Running:
		return "Up " + ago(now.Sub(s.Started))
	case s.Status != container.Stopped:
		return "Created"
	case s.Exit.Unknown:
		return "Dead"
	}
	d := fmt.Sprintf("Exited (%d) %s ago", s.Exit.Status, ago(now.Sub(s.Finished)))
	if s.Exit.OOM {
		d += ", out of memory"
	}
	return d
}

// isolation is the level, and what was turned off of it.
func isolation(s container.State) string {
	if len(s.Without) == 0 {
		return s.Isolation
	}
	return s.Isolation + " without " + strings.Join(s.Without, ", ")
}

// ago is a span of time as Docker says it.
func ago(d time.Duration) string {
	hours := int(d.Hours() + 0.5)
	switch {
	case d < time.Second:
		return "Less than a second"
	case d < 2*time.Second:
		return "1 second"
	case d < time.Minute:
		return fmt.Sprintf("%d seconds", int(d.Seconds()))
	case d < 2*time.Minute:
		return "About a minute"
	case d < time.Hour:
		return fmt.Sprintf("%d minutes", int(d.Minutes()))
	case hours < 2:
		return "About an hour"
	case hours < 48:
		return fmt.Sprintf("%d hours", hours)
	case hours < 24*7*2:
		return fmt.Sprintf("%d days", hours/24)
	case hours < 24*30*2:
		return fmt.Sprintf("%d weeks", hours/24/7)
	case hours < 24*365*2:
		return fmt.Sprintf("%d months", hours/24/30)
	}
	return fmt.Sprintf("%d years", int(d.Hours())/24/365)
}
