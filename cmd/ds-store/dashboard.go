package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/dashboard"
	"docksmith/lib/store"
)

func dashboardCommand() *cli.Command {
	var once, html bool
	var interval time.Duration
	var color string
	return &cli.Command{
		Name: "dashboard", Args: "",
		Short: "Show images, layers, cache, disk, containers and builds on one screen.",
		Long: `On a terminal the screen is live: q ends it, c, b and i show containers, builds or images
alone, and a all again; arrows and the space bar scroll. Elsewhere, or with --once, all of it is
printed once, in full length.

    ds-store dashboard --once | less
    ds-store dashboard --html >page.html`,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&once, "once", false, "print it once, though it is a terminal")
			f.BoolVar(&html, "html", false, "print one page of HTML that needs nothing else")
			f.DurationVar(&interval, "interval", 2*time.Second, "look again after `TIME`")
			f.StringVar(&color, "color", "auto", "colour: `WHEN` is auto, always or never")
			f.Complete("color", "auto,always,never")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 0, ""); err != nil {
				return err
			}
			if interval < minInterval {
				return cli.Usagef("--interval: at least %v", minInterval)
			}
			if html && (once || stdio.Flags.Changed("interval") || stdio.Flags.Changed("color")) {
				return cli.Usagef("--html: no other option goes with it")
			}
			if html && stdio.Stdout.IsTerminal() {
				return cli.WithHint(cli.Usagef("a page of HTML is not sent to a terminal"), "redirect it: docksmith dashboard --html >page.html")
			}
			r, err := newReader(ctx, stdio)
			if err != nil {
				return err
			}
			if html {
				return writePage(ctx, stdio, r)
			}
			if !once && stdio.Stdout.IsTerminal() && os.Getenv("TERM") != "dumb" {
				return liveDashboard(ctx, stdio, r, interval, stdio.ColorOutput(color))
			}
			return printDashboard(ctx, stdio, r, color)
		},
	}
}

// minInterval keeps the screen from being a load of its own.
const minInterval = 100 * time.Millisecond

// newReader gives the reader of the state directory, which has read once. Where
// not all of the disk could be looked at, because it belongs to mapped users, the program begins
// again as their owner; if that cannot be, the dashboard says what it lacks.
func newReader(ctx context.Context, stdio *cli.IO) (*dashboard.Reader, error) {
	root, err := stdio.Root()
	if err != nil {
		return nil, err
	}
	r := dashboard.NewReader(root)
	m, err := r.Read(ctx, time.Now())
	if err == nil && m.Partial {
		_ = withStore(stdio, func(s *store.Store) error { return enterUserNamespace(s, nil) })
	}
	return r, err
}

// readTwice looks twice if containers run: what they take of the processor is
// known from the second look.
func readTwice(ctx context.Context, r *dashboard.Reader) (*dashboard.Model, error) {
	m, err := r.Read(ctx, time.Now())
	if err != nil || !m.Runs() {
		return m, err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(250 * time.Millisecond):
	}
	return r.Read(ctx, time.Now())
}

func printDashboard(ctx context.Context, stdio *cli.IO, r *dashboard.Reader, color string) error {
	m, err := readTwice(ctx, r)
	if err != nil {
		return err
	}
	for _, line := range m.Text(dashboard.TextOptions{Color: stdio.ColorOutput(color)}) {
		if _, err := fmt.Fprintln(stdio.Stdout, line); err != nil {
			return err
		}
	}
	return nil
}

func writePage(ctx context.Context, stdio *cli.IO, r *dashboard.Reader) error {
	m, err := readTwice(ctx, r)
	if err != nil {
		return err
	}
	return m.WritePage(stdio.Stdout)
}
