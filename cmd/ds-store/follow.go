package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"docksmith/lib/buildlog"
	"docksmith/lib/cli"
)

// followLogs prints what printLogs does, as it comes. Steps that are under way
// at the same time are printed one after the other.
func followLogs(ctx context.Context, stdio *cli.IO, logs *buildlog.Dir, name string) error {
	b, step, err := findBuild(logs, name)
	if err != nil {
		return err
	}
	out := immediate{stdio.Stdout}
	if step > 0 {
		return b.Follow(ctx, step, out)
	}
	fmt.Fprintf(out, "Build %s of %s, %s\n", b.ID, orDash(b.File), timestamp(b.Began))
	last := 0
	for n := 0; ; n++ {
		s, err := b.Next(ctx, n)
		if err != nil {
			return err
		}
		if s == nil {
			return followEnd(logs, b.ID, out)
		}
		text := fmt.Sprintf("Step %d/%d : %s", s.Number, s.Total, strings.Join(strings.Fields(s.Text), " "))
		fmt.Fprintln(out, cli.Printable(text))
		if s.Number == last {
			continue // a further trigger: its output was that of the step
		}
		last = s.Number
		if err := b.Follow(ctx, s.Number, out); errors.Is(err, context.Canceled) {
			return err
		} else if err != nil && !errors.Is(err, buildlog.ErrNoCommand) {
			stdio.Warnf("%v", err) // of an earlier build, and gone
		}
	}
}

// followEnd tells how the build ended.
func followEnd(logs *buildlog.Dir, id string, out immediate) error {
	b, err := logs.Find(id)
	if err != nil {
		return err
	}
	if b.Failure != "" {
		_, err = fmt.Fprintf(out, "Failed: %s\n", cli.Printable(b.Failure))
		return err
	}
	_, err = fmt.Fprintf(out, "Build %s: %s\n", b.ID, b.State)
	return err
}

// immediate is standard output without its buffer: whoever follows waits.
type immediate struct{ out *cli.Output }

func (i immediate) Write(p []byte) (int, error) {
	n, err := i.out.Write(p)
	if err == nil {
		err = i.out.Flush()
	}
	return n, err
}
