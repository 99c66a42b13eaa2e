package main

import (
	"context"
	"fmt"

	"docksmith/lib/cli"
	"docksmith/lib/hostile"
)

func hostileCommand() *cli.Command {
	var o hostile.Options
	var asJSON bool
	return &cli.Command{
		Name:       "hostile",
		Short:      "Attack a program that unpacks layers or loads images: by default, our own.",
		FailStatus: unknown,
		Long: `
CMD is a command line for sh. It gets an archive on standard input; {} in it
stands for a directory, there and empty, and canaries lie around that; {state}
for another one, to keep things in. A status that is not 0 is a refusal, and as
good as doing no harm. Attacks on what no CMD does are left out.

    ds-verify hostile
    ds-verify hostile --target 'tar -xf - -C {}'
`,
		Flags: func(f *cli.Flags) {
			f.StringVar(&o.Target, "target", "", "attack `CMD`, which unpacks a layer to {}; once for each layer")
			f.BoolVar(&o.Whole, "whole", false, "give --target an OCI archive with all layers instead")
			f.StringVar(&o.Load, "load", "", "attack `CMD`, which loads an OCI archive and may keep it in {}")
			f.StringVar(&o.Bundle, "bundle", "", "attack `CMD`, which makes an OCI bundle of an OCI archive in {}")
			f.StringVar(&o.Fetch, "fetch", "", "attack `CMD`, which fetches {url} and may keep it in {}")
			f.StringVar(&o.Build, "build", "", "attack `CMD`, which builds the directory {} and writes an OCI archive")
			f.BoolVar(&asJSON, "json", false, "write JSON lines, closed by {\"type\":\"end\"}")
		},
		Run: func(ctx context.Context, io *cli.IO, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("no operands are taken")
			}
			if o.Target+o.Load+o.Bundle+o.Fetch+o.Build == "" {
				attackOurs(&o)
			}
			o.Told = func(r hostile.Result) { tellAttack(io, asJSON, r) }
			score, err := hostile.Run(ctx, o)
			if err != nil {
				return err
			}
			return tellScore(io, asJSON, score)
		},
	}
}

// attackOurs attacks our own programs.
func attackOurs(o *hostile.Options) {
	store := sibling("ds-store")
	const root = "export DOCKSMITH_ROOT={state}/root; "
	o.Target = fmt.Sprintf("%s apply --max-bytes %d --max-entries %d {}", sibling("ds-layer"), hostile.MaxBytes, hostile.MaxEntries)
	o.Load = "DOCKSMITH_ROOT={} " + store + " import"
	o.Bundle = root + store + " import -t x >/dev/null && " + store + " unpack x {}"
	o.Fetch = root + sibling("ds-cache") + " fetch {url}"
	o.Build = root + sibling("ds-build") + " -q -f {}/Dockerfile -t x {} >/dev/null && " + store + " export x"
}

// sibling is a program of ours, quoted for sh.
func sibling(name string) string { return cli.ShellWord(cli.Program(name)) }

func tellAttack(io *cli.IO, asJSON bool, r hostile.Result) {
	if asJSON {
		_ = io.JSON(struct {
			Type string `json:"type"`
			hostile.Result
		}{"attack", r}) // the output's error is kept and reported at its end
		return
	}
	line := fmt.Sprintf("%-8s  T%-2d  %s", r.Verdict, r.Row, r.Name)
	if r.Why != "" {
		line += ": " + cli.Printable(r.Why)
	}
	fmt.Fprintln(io.Stdout, line)
}

func tellScore(io *cli.IO, asJSON bool, score hostile.Score) error {
	var err error
	if asJSON {
		err = io.JSON(struct {
			Type string `json:"type"`
			hostile.Score
		}{"score", score})
		if err == nil {
			err = io.End()
		}
	} else {
		_, err = fmt.Fprintf(io.Stdout, "score: %d of %d held\n", score.Held, score.All)
	}
	if err == nil && score.Held < score.All {
		err = cli.ExitStatus(1)
	}
	return err
}
