package main

import (
	"context"
	"fmt"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
	"docksmith/lib/verify"
)

func secretsCommand() *cli.Command {
	var files, vars []string
	var all bool
	var platform oci.PlatformFlag
	var out output
	return &cli.Command{
		Name: "no-secrets", Args: "[IMAGE]...",
		Short:      "Prove that canaries, secrets that were planted, are in no byte of images or of the store.",
		FailStatus: unknown,
		Flags: func(f *cli.Flags) {
			f.StringArrayVar(&files, "canary-file", nil, "look for the content of `FILE`, and for each of its lines; repeatable")
			f.Complete("canary-file", "file")
			f.StringArrayVar(&vars, "canary-env", nil, "look for the value of the variable `NAME`; repeatable")
			f.BoolVar(&all, "store", false, "look through the whole state directory: cache, logs, mounts and all")
			f.Var(&platform, "platform", "look at the image for `OS/ARCH` where there are several")
			out.flags(f)
		},
		Run: func(ctx context.Context, io *cli.IO, args []string) error {
			if len(args) == 0 && !all {
				return cli.Usagef("name an image or a path, or give --store")
			}
			canaries, err := readCanaries(files, vars)
			if err != nil {
				return err
			}
			return searchAll(ctx, io, args, all, platform.Platform, verify.NewSearch(canaries, out.finder(io)), &out)
		},
	}
}

func readCanaries(files, vars []string) ([]verify.Canary, error) {
	var list []verify.Canary
	add := func(name string, value []byte) error {
		c, err := verify.CanaryOf(name, value)
		list = append(list, c...)
		return err
	}
	for _, name := range files {
		value, err := os.ReadFile(name)
		if err == nil {
			err = add(name, value)
		}
		if err != nil {
			return nil, err
		}
	}
	for _, name := range vars {
		value, ok := os.LookupEnv(name)
		if !ok {
			return nil, fmt.Errorf("canary %s: the variable is not set", name)
		}
		if err := add(name, []byte(value)); err != nil {
			return nil, err
		}
	}
	if len(list) == 0 {
		return nil, cli.Usagef("give --canary-file or --canary-env")
	}
	return list, nil
}

// searchAll searches images, paths and, last, the state directory.
func searchAll(ctx context.Context, io *cli.IO, args []string, all bool, p *oci.Platform, search *verify.Search, out *output) error {
	var jobs []job
	var named []string
	for _, ref := range args {
		if path, ok := imagePath(ref); ok {
			jobs = append(jobs, func() (verify.Summary, error) { return search.Tree(ctx, path) })
		} else {
			named = append(named, ref)
		}
	}
	if len(named) == 0 && !all {
		return out.verdicts(io, "search", jobs)
	}
	return withStore(io, func(s *store.Store) error {
		if all {
			if err := enterToRead(s); err != nil {
				return err
			}
		}
		for _, ref := range named {
			jobs = append(jobs, func() (verify.Summary, error) { return search.Image(ctx, s, ref, p) })
		}
		if all {
			jobs = append(jobs, func() (verify.Summary, error) { return search.Tree(ctx, s.Root()) })
		}
		return out.verdicts(io, "search", jobs)
	})
}
