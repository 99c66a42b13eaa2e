package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
)

// verdict is what the last build found about a step, in a listing.
type verdict struct {
	Type   string `json:"type"`
	Step   string `json:"step"`
	Number int    `json:"number,omitempty"`
	Text   string `json:"text,omitempty"`
	cache.Run
	// Before is the key of the run that Changes compare with.
	Before  string         `json:"before,omitempty"`
	Changes []cache.Change `json:"changes,omitempty"`
}

func whyCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name: "why", Args: "IMAGE|KEY [STEP]",
		Short: "Say why the steps of an image's last build hit or missed.",
		Long: `IMAGE is the name that builds were given with -t, or the Dockerfile of builds without one.
STEP is a number that the build's progress showed, or STAGE/N as "history" lists it: then every
component that differs from the step's run before is shown with its values, and every file.`,
		Flags: func(f *cli.Flags) { f.BoolVar(&asJSON, "json", false, "print one line of JSON per step") },
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return cli.Usagef("want an IMAGE or a KEY, and perhaps a STEP")
			}
			return withCache(stdio, func(c *cache.Cache) error {
				list, err := verdicts(c, args[0], args[1:])
				switch {
				case err != nil:
					return err
				case asJSON:
					return cli.JSONLines(stdio, list)
				case len(list) == 1:
					return explain(stdio.Stdout, list[0])
				default:
					return verdictsText(stdio.Stdout, list)
				}
			})
		},
	}
}

// verdicts finds the steps of an image's last build, or those of a key.
func verdicts(c *cache.Cache, name string, step []string) ([]verdict, error) {
	h, err := findHistory(c, name)
	if err != nil {
		if key, kerr := c.Expand(name); errors.Is(err, fs.ErrNotExist) && kerr == nil {
			return verdictsOf(c, key)
		}
		return nil, err
	}
	var list []verdict
	for i := range h.Steps[:h.Last] {
		if s := &h.Steps[i]; len(step) == 0 || s.Step == step[0] || strconv.Itoa(s.Number) == step[0] {
			list = append(list, verdictOf(c, s))
		}
	}
	if len(list) == 0 && len(step) > 0 {
		return nil, fmt.Errorf("%s: no step %s that uses the cache in its last build", h.Image, step[0])
	}
	return list, nil
}

// verdictsOf finds the runs that had a key, whatever their images.
func verdictsOf(c *cache.Cache, key string) ([]verdict, error) {
	var list []verdict
	for h, err := range c.Histories() {
		if err != nil {
			return nil, err
		}
		for _, s := range h.Steps {
			i := slices.IndexFunc(s.Runs, func(r cache.Run) bool { return r.Key == key })
			if i < 0 {
				continue
			}
			s.Runs = s.Runs[i:]
			list = append(list, verdictOf(c, &s))
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("key %s: no history speaks of it", key)
	}
	return list, nil
}

func verdictOf(c *cache.Cache, s *cache.StepHistory) verdict {
	v := verdict{Type: "step", Step: s.Step, Number: s.Number, Text: s.Text, Run: s.Runs[0], Changes: c.Changes(s)}
	if len(s.Runs) > 1 {
		v.Before = s.Runs[1].Key
	}
	return v
}

func verdictsText(out io.Writer, list []verdict) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tID\tOUTCOME\tINSTRUCTION")
	for _, v := range list {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\n", v.Number, cli.Printable(v.Step), outcome(v.Run), oneLine(v.Text))
		if v.Reason != "" {
			fmt.Fprintf(w, "\t\t\t%s\n", cli.Printable(v.Reason))
		}
	}
	return w.Flush()
}

// explain tells all that is known of one step.
func explain(out io.Writer, v verdict) error {
	w := &strings.Builder{}
	fmt.Fprintf(w, "step %d (%s): %s\n", v.Number, cli.Printable(v.Step), oneLine(v.Text))
	fmt.Fprint(w, outcome(v.Run))
	if v.Reason != "" {
		fmt.Fprintf(w, ": %s", cli.Printable(v.Reason))
	}
	fmt.Fprintf(w, "\nkey    %s, first seen %s\n", v.Key, timestamp(v.Time))
	if v.Before != "" {
		fmt.Fprintf(w, "before %s\n", v.Before)
	}
	for _, c := range v.Changes {
		fmt.Fprint(w, changeText(c))
	}
	_, err := io.WriteString(out, w.String())
	return err
}

func outcome(r cache.Run) string {
	if r.Hit {
		return "hit"
	}
	return "miss"
}

// changeText is one change with both values, or a line for each file.
func changeText(c cache.Change) string {
	w := &strings.Builder{}
	switch {
	case c.Files != nil:
		for _, f := range c.Files {
			fmt.Fprintf(w, "  %s: %s\n", cli.Printable(f.Path), strings.Join(f.What, ", "))
		}
	case c.What == "changed" && c.Old+c.New != "":
		fmt.Fprintf(w, "  %s: changed\n    - %s\n    + %s\n", cli.Printable(c.Component), cli.Printable(c.Old), cli.Printable(c.New))
	default:
		fmt.Fprintf(w, "  %s: %s %s\n", cli.Printable(c.Component), c.What, cli.Printable(c.Old+c.New))
	}
	return w.String()
}

func diffCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name: "diff", Args: "KEY1 KEY2",
		Short:      "Say in what two keys differ: components with their values, and files.",
		Long:       `Exit status: 0 equal, 1 they differ, 2 trouble.`,
		FailStatus: 2,
		Flags:      func(f *cli.Flags) { f.BoolVar(&asJSON, "json", false, "print one line of JSON per component") },
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("want two KEYs")
			}
			return withCache(stdio, func(c *cache.Cache) error { return diffKeys(stdio, c, args, asJSON) })
		},
	}
}

func diffKeys(stdio *cli.IO, c *cache.Cache, args []string, asJSON bool) error {
	var pair []*cache.Preimage
	err := eachKey(c, args, func(key string) error {
		p, err := c.Preimage(key)
		pair = append(pair, p)
		return err
	})
	if err != nil {
		return err
	}
	changes := cache.Diff(pair[0], pair[1])
	for _, change := range changes {
		if asJSON {
			err = stdio.JSON(changeLine{"change", change})
		} else {
			_, err = io.WriteString(stdio.Stdout, changeText(change))
		}
		if err != nil {
			return err
		}
	}
	if asJSON {
		if err := stdio.End(); err != nil {
			return err
		}
	}
	if changes != nil {
		return cli.ExitStatus(1)
	}
	return nil
}

// changeLine is one difference in a listing.
type changeLine struct {
	Type string `json:"type"`
	cache.Change
}
