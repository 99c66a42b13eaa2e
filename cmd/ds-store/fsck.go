package main

import (
	"context"
	"fmt"

	"docksmith/lib/cli"
	"docksmith/lib/store"
)

func fsckCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name:  "fsck",
		Short: "Check every blob, image, layer and name; print what is wrong.",
		Long:  `Exit status: 0 nothing is wrong, 1 something is, 2 it could not be found out.`,
		Flags: func(f *cli.Flags) { f.BoolVar(&asJSON, "json", false, "print one line of JSON per finding") },
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 0, ""); err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				found, err := s.Fsck(ctx, store.FsckOptions{})
				if err != nil {
					return &cli.StatusError{Status: 2, Err: err}
				}
				for _, f := range found {
					if asJSON {
						err = stdio.JSON(f)
					} else {
						_, err = fmt.Fprintln(stdio.Stdout, cli.Printable(f.String()))
					}
					if err != nil {
						return err
					}
				}
				if len(found) > 0 {
					return cli.ExitStatus(1)
				}
				return nil
			})
		},
	}
}
