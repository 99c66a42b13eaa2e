package main

import (
	"fmt"
	"os"
	"text/tabwriter"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"
)

// ociState is a container as the specification has it, and as runc adds to it.
type ociState struct {
	Version     string            `json:"ociVersion"`
	ID          string            `json:"id"`
	Status      container.Status  `json:"status"`
	PID         int               `json:"pid"`
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`
	Created     time.Time         `json:"created"`
}

func stateOf(s container.State) ociState {
	return ociState{s.OCIVersion, s.ID, s.Status, s.PID, s.Bundle, s.Annotations, s.Created}
}

func (r *runtime) stateCommand() *cli.Command {
	return r.verb(&cli.Command{
		Name: "state", Args: "CONTAINER",
		Short: "Print a container's state as JSON.",
	}, 1, func(io *cli.IO, args []string) error {
		_, s, err := r.find(args[0])
		if err != nil {
			return err
		}
		return io.JSON(stateOf(s))
	})
}

func (r *runtime) listCommand() *cli.Command {
	var format string
	var quiet bool
	return r.verb(&cli.Command{
		Name:  "list",
		Short: "List the containers.",
		Flags: func(f *cli.Flags) {
			f.StringVarP(&format, "format", "f", "table", "`table` or json")
			f.BoolVarP(&quiet, "quiet", "q", false, "print ids alone")
			f.Complete("format", "table,json")
		},
	}, 0, func(io *cli.IO, _ []string) error { return r.list(io, format, quiet) })
}

func (r *runtime) list(io *cli.IO, format string, quiet bool) error {
	t, err := r.table()
	if err != nil {
		return err
	}
	all, err := t.List()
	if err != nil && !os.IsNotExist(err) {
		return err
	}
	states := make([]ociState, 0, len(all))
	for _, s := range all {
		states = append(states, stateOf(s))
	}
	switch {
	case quiet:
		for _, s := range states {
			fmt.Fprintln(io.Stdout, s.ID)
		}
		return nil
	case format == "json":
		return io.JSON(states)
	case format != "table":
		return cli.Usagef("--format %s: table and json are possible", format)
	}
	w := tabwriter.NewWriter(io.Stdout, 12, 1, 3, ' ', 0)
	fmt.Fprintln(w, "ID\tPID\tSTATUS\tBUNDLE\tCREATED")
	for _, s := range states {
		fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\n", s.ID, s.PID, s.Status, s.Bundle, s.Created.Format(time.RFC3339))
	}
	return w.Flush()
}

func (r *runtime) featuresCommand() *cli.Command {
	return r.verb(&cli.Command{
		Name:  "features",
		Short: "Print what the runtime can do, as JSON.",
	}, 0, func(io *cli.IO, _ []string) error { return io.JSON(sandbox.Features()) })
}
