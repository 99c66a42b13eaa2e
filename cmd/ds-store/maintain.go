package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"text/tabwriter"
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/cli"
	"docksmith/lib/store"
)

func gcCommand() *cli.Command {
	var all, failed, dryRun, asJSON bool
	var grace time.Duration
	return &cli.Command{
		Name:  "gc",
		Short: "Remove what no name, bundle, cache record or running program needs.",
		Long: `Images without a name, blobs, snapshots, the remains of killed programs and the
containers of commands that failed in a build are removed.
What is younger than --grace stays, so that a layer is still there for the commit that
follows; --grace=0s takes it too.`,
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&all, "all", "a", false, "also remove what only the build cache needs")
			f.BoolVar(&failed, "failed", false, "only remove what commands that failed in a build left, and print its names")
			f.BoolVarP(&dryRun, "dry-run", "n", false, "only say what would be removed")
			f.DurationVar(&grace, "grace", time.Hour, "spare what is younger than `TIME`")
			f.BoolVar(&asJSON, "json", false, "print the result as JSON")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 0, ""); err != nil {
				return err
			}
			if failed && (all || dryRun || asJSON) {
				return cli.Usagef("--failed: no other option goes with it")
			}
			return withStore(stdio, func(s *store.Store) error {
				if err := enterToRemove(s, stdio); err != nil {
					return err
				}
				if failed {
					return removeFailed(stdio, s)
				}
				o := store.GCOptions{DryRun: dryRun, Grace: grace}
				if !all {
					keep, err := cacheLayers(s)
					if err != nil {
						return err
					}
					o.Keep = keep
				}
				res, err := s.GC(ctx, o)
				if err != nil {
					return err
				}
				builds, err := buildlog.New(s.Root()).Prune(dryRun)
				if err != nil {
					return err
				}
				return printCollected(stdio, res, len(builds), asJSON)
			})
		},
	}
}

func removeFailed(stdio *cli.IO, s *store.Store) error {
	names, err := s.RemoveFailed()
	for _, name := range names {
		if _, werr := fmt.Fprintln(stdio.Stdout, name); werr != nil {
			return errors.Join(err, werr)
		}
	}
	return err
}

type collected struct {
	Images    int   `json:"images"`
	Blobs     int   `json:"blobs"`
	Snapshots int   `json:"snapshots"`
	Temps     int   `json:"temps"`
	Builds    int   `json:"builds"`
	Bytes     int64 `json:"bytes"`
}

func printCollected(stdio *cli.IO, res store.GCResult, builds int, asJSON bool) error {
	c := collected{len(res.Images), len(res.Blobs), len(res.Snapshots), len(res.Temps), builds, res.Bytes}
	if asJSON {
		return stdio.JSON(c)
	}
	_, err := fmt.Fprintf(stdio.Stdout, "%d images, %d blobs, %d snapshots, %d leftovers: %s; %d old builds' logs\n", c.Images, c.Blobs, c.Snapshots, c.Temps, humanSize(c.Bytes), c.Builds)
	return err
}

func duCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name:  "du",
		Short: "Show the disk space the store takes, by area.",
		Long:  `BYTES is what the file system has given out, with files of several names counted once.`,
		Flags: func(f *cli.Flags) { f.BoolVar(&asJSON, "json", false, "print one line of JSON per area") },
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 0, ""); err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				list, err := s.Usage()
				if errors.Is(err, fs.ErrPermission) {
					// Directories of mapped users: look again as their owner.
					if err := enterUserNamespace(s, stdio); err != nil {
						return err
					}
					stdio.Warnf("incomplete: %v", err)
				} else if err != nil {
					return err
				}
				return printUsage(stdio, list, asJSON)
			})
		},
	}
}

func printUsage(stdio *cli.IO, list []store.Usage, asJSON bool) error {
	if asJSON {
		for _, u := range list {
			if err := stdio.JSON(u); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AREA\tITEMS\tBYTES\tSIZE")
	var total store.Usage
	for _, u := range list {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\n", u.Area, u.Items, u.Bytes, humanSize(u.Bytes))
		total.Items += u.Items
		total.Bytes += u.Bytes
	}
	fmt.Fprintf(w, "total\t%d\t%d\t%s\n", total.Items, total.Bytes, humanSize(total.Bytes))
	return w.Flush()
}

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
				found, err := s.Fsck(ctx)
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
