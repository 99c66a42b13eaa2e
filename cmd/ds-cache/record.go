package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"text/tabwriter"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
	"docksmith/lib/fetch"
	"docksmith/lib/store"
)

// missing is the answer to a key without a record.
type missing struct {
	Key     string `json:"key"`
	Missing bool   `json:"missing"`
}

func getCommand() *cli.Command {
	return &cli.Command{
		Name: "get", Args: "KEY...",
		Short: "Print the record of each key: what its step gave.",
		Long: `A key without a record is answered by {"key":KEY,"missing":true}, and the exit status is 1.
Whether the store still has the layer is another question: "ds-store" answers it.`,
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return withCache(stdio, func(c *cache.Cache) error {
				miss := false
				err := eachKey(c, args, func(key string) error {
					r, ok, err := c.Lookup(key)
					if err != nil {
						return err
					}
					if ok {
						return stdio.JSON(r)
					}
					miss = true
					return stdio.JSON(missing{key, true})
				})
				if err == nil && miss {
					return cli.ExitStatus(1)
				}
				return err
			})
		},
	}
}

func rmCommand() *cli.Command {
	return &cli.Command{
		Name: "rm", Args: "KEY...",
		Short: "Forget the records of keys, so that their steps are done again.",
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return withCache(stdio, func(c *cache.Cache) error {
				err := eachKey(c, args, c.Delete)
				if errors.Is(err, fs.ErrNotExist) {
					return fmt.Errorf("remove record: %w", err)
				}
				return err
			})
		},
	}
}

// recordLine is a record in a listing.
type recordLine struct {
	Type string `json:"type"`
	*cache.Record
	Used string `json:"used"`
}

func lsCommand() *cli.Command {
	var asJSON, quiet bool
	return &cli.Command{
		Name:  "ls",
		Short: "List the records, in the order of their keys.",
		Long: `The columns are the key's first digits, the seconds that the step took, when that was,
the layer ("-" if no file was changed) and the instruction.`,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&asJSON, "json", false, "print one line of JSON per record")
			f.BoolVarP(&quiet, "quiet", "q", false, "print whole keys only")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := noOperands(args); err != nil {
				return err
			}
			return withCache(stdio, func(c *cache.Cache) error {
				switch {
				case asJSON:
					return listJSON(stdio, c)
				case quiet:
					return listKeys(stdio, c)
				}
				return listText(stdio, c)
			})
		},
	}
}

func listJSON(stdio *cli.IO, c *cache.Cache) error {
	for r, err := range c.Records() {
		if err != nil {
			return err
		}
		if err := stdio.JSON(recordLine{"record", r, timestamp(r.Used)}); err != nil {
			return err
		}
	}
	return stdio.End()
}

func listKeys(stdio *cli.IO, c *cache.Cache) error {
	for r, err := range c.Records() {
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stdio.Stdout, r.Key); err != nil {
			return err
		}
	}
	return nil
}

func listText(stdio *cli.IO, c *cache.Cache) error {
	w := tabwriter.NewWriter(stdio.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tSECONDS\tCREATED\tLAYER\tINSTRUCTION")
	for r, err := range c.Records() {
		if err != nil {
			return err
		}
		layer := "-"
		if r.Layer != nil {
			layer = short(r.Layer.Digest.String())
		}
		fmt.Fprintf(w, "%s\t%.2f\t%s\t%s\t%s\n", short(r.Key), r.Seconds, timestamp(r.Created), layer, oneLine(r.Text))
	}
	return w.Flush()
}

func pruneCommand() *cli.Command {
	var dryRun bool
	o := fetch.PruneOptions{}
	return &cli.Command{
		Name:  "prune",
		Short: "Remove the records whose layers the store no longer has, and print their keys.",
		Long: `Damaged records go too, and what neither a record nor a history refers to. Of what was
fetched that goes which was not used for long; its name is printed.`,
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&dryRun, "dry-run", "n", false, "print the keys, remove nothing")
			f.DurationVar(&o.Unused, "fetched-unused", fetch.DefaultUnused, "remove what was fetched and not used for `TIME`")
			f.Int64Var(&o.MaxBytes, "fetched-bytes", 0, "remove of it until `N` bytes are left, what was used last staying")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := noOperands(args); err != nil {
				return err
			}
			if o.DryRun = dryRun; o.Unused < 0 || o.MaxBytes < 0 {
				return cli.Usagef("--fetched-unused and --fetched-bytes are not negative")
			}
			return withCache(stdio, func(c *cache.Cache) error {
				return errors.Join(prune(stdio, c, dryRun), pruneFetched(stdio, o))
			})
		},
	}
}

// pruneFetched prints the names of what it removed as paths in the cache.
func pruneFetched(stdio *cli.IO, o fetch.PruneOptions) error {
	root, err := stdio.Root()
	if err != nil {
		return err
	}
	kept, err := fetch.Open(filepath.Join(root, "cache", "fetched"))
	if err != nil {
		return err
	}
	removed, err := kept.Prune(o)
	if err != nil {
		err = fmt.Errorf("prune what was fetched: %w", err)
	}
	for _, p := range removed {
		if _, err := fmt.Fprintln(stdio.Stdout, filepath.Join("fetched", p.Name)); err != nil {
			return err
		}
	}
	return err
}

func prune(stdio *cli.IO, c *cache.Cache, dryRun bool) (err error) {
	root, err := stdio.Root()
	if err != nil {
		return err
	}
	s, err := store.Open(filepath.Clean(root))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	removed, err := c.Prune(cache.PruneOptions{
		DryRun: dryRun,
		Keep: func(r *cache.Record) bool {
			if r.Layer == nil {
				return true
			}
			_, ok := s.Has(r.Layer.Digest)
			return ok
		},
	})
	for _, r := range removed {
		if _, err := fmt.Fprintln(stdio.Stdout, r.Key); err != nil {
			return err
		}
	}
	return err
}
