package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"docksmith/lib/buildctx"
	"docksmith/lib/cli"
)

// print writes the files, and the links, that an image depends on. Directories are
// left out: what counts of them is what they hold. Names are ended by NUL, for
// some have any other character in them.
func (d *depfile) print(s *cli.IO) error {
	all := d.used()
	for _, used := range d.dirs {
		for _, p := range used.uses.Links() {
			all = append(all, filepath.Join(used.dir, p))
		}
	}
	slices.Sort(all)
	for _, name := range slices.Compact(all) {
		if info, err := os.Lstat(name); err == nil && info.IsDir() {
			continue
		}
		if _, err := fmt.Fprintf(s.Stdout, "%s\x00", name); err != nil {
			return err
		}
	}
	return nil
}

// explainIgnored says by which rule of the ignore file of the current directory
// each path is hidden.
func (o *options) explainIgnored(s *cli.IO, paths []string) error {
	if len(paths) == 0 {
		return cli.Usagef("--ignored: want a PATH")
	}
	in := &inputs{dir: "."}
	file := o.file
	if file == "" {
		file = in.defaultIn(in.dir)
	}
	rules, _, err := in.ignoreRules(file)
	if err != nil {
		return err
	}
	found := false
	for _, path := range paths {
		inside, err := pathInside(path)
		if err != nil {
			return err
		}
		rule, hidden := rules.Match(inside)
		if !hidden {
			continue
		}
		found = true
		if _, err := fmt.Fprintf(s.Stdout, "%s:%d:%s\t%s\n", rules.Name(), rule.Line, rule.Pattern, cli.Printable(path)); err != nil {
			return err
		}
	}
	if !found {
		return cli.ExitStatus(1)
	}
	return nil
}

// pathInside is a path as rules see it, below the current directory. It need not
// exist.
func pathInside(path string) (string, error) {
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	here, err := os.Getwd()
	if err != nil {
		return "", err
	}
	rel, err := filepath.Rel(here, abs)
	if err == nil && (rel == ".." || strings.HasPrefix(rel, "../")) {
		err = &fs.PathError{Op: "look up", Path: path, Err: errors.New("not in the current directory")}
	}
	return buildctx.Clean(rel), err
}
