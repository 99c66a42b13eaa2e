package main

import (
	"fmt"
	"slices"
	"time"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// forecast is what --dry-run prints, on standard output: each step with the
// cache's verdict, and under it why it would be executed.
type forecast struct {
	silence
	steps []build.Event // as they come, from several stages at once
}

func (f *forecast) event(e build.Event) {
	if e.Type == build.EventDone {
		f.steps = append(f.steps, e)
	}
	f.silence.event(e)
}

func (f *forecast) built(r *build.Result, _ []oci.Ref, _ time.Duration) {
	slices.SortStableFunc(f.steps, func(a, b build.Event) int { return a.Step - b.Step })
	for _, e := range f.steps {
		fmt.Fprintln(f.s.Stdout, stepHead(e)+verdict(e))
		if e.Reason != "" {
			fmt.Fprintf(f.s.Stdout, " ---> %s\n", cli.Printable(e.Reason))
		}
	}
	fmt.Fprintf(f.s.Stdout, "Would execute %d of %d steps that make layers\n", r.Misses, r.Misses+r.Hits)
}
