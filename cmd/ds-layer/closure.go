package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/elf"
	"docksmith/lib/layer"
)

// closureFlags are the flags of "ds-layer closure".
type closureFlags struct {
	root      string
	base      string
	optional  []string
	libraries []string
	with      []string
	links     []string
	json      bool
}

const closureLong = `
A PROGRAM is a path in the root, or a name that is looked up in the usual
directories there. Its interpreter, the libraries it loads and every symbolic
link on the way come with it; nothing is executed. All entries belong to root.

With --base the layer is a small system of its own: the directories and
accounts every program expects, and a busybox, or the shell and the core
utilities of the root ("host"). "auto" prefers the busybox.

Exit status: 0 written, 1 something is missing, 2 wrong usage.

    ds-layer closure sh ls cat | ds-store add-layer
    ds-layer closure --json python3 | jq -r .name
`

// closureCommand declares "ds-layer closure".
func closureCommand() *cli.Command {
	var o closureFlags
	return &cli.Command{
		Name:  "closure",
		Args:  "[PROGRAM...]",
		Short: "Write a layer of programs and everything that they need to start.",
		Long:  closureLong,
		Flags: func(f *cli.Flags) {
			f.StringVar(&o.root, "root", "/", "take everything from the root file system in `DIR`")
			f.StringVar(&o.base, "base", "", "make it a system of its own; `KIND` is auto, busybox or host")
			f.StringArrayVar(&o.optional, "optional", nil, "add `PROGRAM` if it is there, with all it needs")
			f.StringArrayVar(&o.libraries, "library", nil, "add `NAME`, a library that the programs load while they run")
			f.StringArrayVar(&o.with, "with", nil, "add the tree in `DIR`")
			f.StringArrayVar(&o.links, "link", nil, "add a symbolic link, written `PATH=TARGET`")
			f.BoolVar(&o.json, "json", false, "list the closure as JSON lines, write no layer")
			f.Complete("root", "dir")
			f.Complete("base", "auto,busybox,host")
			f.Complete("with", "dir")
		},
		Run: func(ctx context.Context, s *cli.IO, args []string) error { return runClosure(ctx, s, o, args) },
	}
}

func runClosure(ctx context.Context, s *cli.IO, o closureFlags, programs []string) error {
	if len(programs)+len(o.optional) == 0 && o.base == "" {
		return cli.Usagef("name at least one program")
	}
	if !o.json && s.Stdout.IsTerminal() {
		return cli.Usagef("a layer is not written to a terminal")
	}
	for _, item := range o.links {
		if name, target, ok := strings.Cut(item, "="); !ok || name == "" || target == "" {
			return cli.Usagef("--link %q: write it PATH=TARGET", item)
		}
	}
	epoch, err := cli.SourceDateEpoch()
	if err != nil {
		return err
	}
	base, err := newBase(o)
	if err != nil {
		return err
	}
	programs = append(programs, base.programs...)
	o.optional = append(o.optional, base.optional...)
	paths, err := closurePaths(o, programs)
	if err != nil {
		return err
	}
	if o.json {
		for _, p := range paths {
			if err := s.JSON(p); err != nil {
				return err
			}
		}
		return nil
	}
	set := &sourceSet{byPath: map[string]layer.Source{}}
	defer set.close()
	if err = fill(set, o, paths); err == nil {
		err = errors.Join(base.addTo(set), set.addParents())
	}
	if err != nil {
		return fmt.Errorf("make layer: %w", err)
	}
	return layer.Pack(ctx, s.Stdout, "", set.entries(), layer.PackOptions{Epoch: epoch})
}

// closurePaths finds the closure of the programs and of those optional ones
// that are there.
func closurePaths(o closureFlags, programs []string) ([]elf.Path, error) {
	options := elf.Options{Libraries: o.libraries}
	for _, name := range o.optional {
		if _, err := elf.Closure(o.root, []string{name}, options); err == nil {
			programs = append(slices.Clip(programs), name)
		}
	}
	return elf.Closure(o.root, programs, options)
}

// fill adds the closure's paths, and the trees and links that were asked for.
func fill(set *sourceSet, o closureFlags, paths []elf.Path) error {
	if err := set.addPaths(o.root, paths); err != nil {
		return err
	}
	for _, item := range o.links {
		name, target, _ := strings.Cut(item, "=")
		if err := set.addLink(name, target); err != nil {
			return err
		}
	}
	for _, dir := range o.with {
		if err := set.addTree(dir); err != nil {
			return err
		}
	}
	return nil
}
