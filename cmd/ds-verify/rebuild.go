package main

import (
	"context"

	"docksmith/lib/cli"
	"docksmith/lib/store"
	"docksmith/lib/verify"
)

func rebuildCommand() *cli.Command {
	var o verify.RebuildOptions
	var verbose bool
	var out output
	return &cli.Command{
		Name: "rebuild", Args: "IMAGE...",
		Short:      "Prove that images can be built again: without a cache, from what their build recorded.",
		FailStatus: unknown,
		Flags: func(f *cli.Flags) {
			f.StringVar(&o.Context, "context", "", "take the files from `DIR`, not from where they were")
			f.Complete("context", "dir")
			f.StringArrayVar(&o.Secrets, "secret", nil, "give the build a secret, which no log has: `id=NAME[,src=FILE|,env=VARIABLE]`; may be repeated")
			f.StringArrayVar(&o.Agents, "ssh", nil, "give the build an ssh agent: default, or `ID[=SOCKET]`; may be repeated")
			f.BoolVarP(&verbose, "verbose", "v", false, "show the build on stderr")
			out.flags(f)
		},
		Run: func(ctx context.Context, io *cli.IO, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("name at least one image")
			}
			o.Builder, o.Found = cli.Program("ds-build"), out.finder(io)
			if verbose {
				o.Log = io.Stderr
			}
			return withStore(io, func(s *store.Store) error {
				if err := enterNamespace(s, func(m string) { io.Warnf("%s", m) }); err != nil {
					return err
				}
				var jobs []job
				for _, ref := range args {
					jobs = append(jobs, func() (verify.Summary, error) { return verify.Rebuild(ctx, s, ref, o) })
				}
				return out.verdicts(io, "rebuild", jobs)
			})
		},
	}
}
