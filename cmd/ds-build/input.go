package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"docksmith/lib/buildctx"
	"docksmith/lib/cli"
	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
	"docksmith/lib/rootfs"
	"docksmith/lib/store"
)

// inputs are a plan and the files it works on.
type inputs struct {
	plan    *plan.Plan
	context *buildctx.Context
	index   *buildctx.Index
	temp    *store.Temp // of a context that came as a tar
	dir     string
	deps    *depfile
	collect func() // garbage, as usual from now on
}

func (in *inputs) close() {
	if in.context != nil {
		in.context.Close()
	}
	if in.index != nil {
		in.index.Close()
	}
	if in.temp != nil {
		in.temp.Close()
	}
}

// openInputs reads the plan and opens the context.
func (o *options) openInputs(ctx context.Context, s *cli.IO, st *store.Store, operand string) (_ *inputs, err error) {
	in := &inputs{dir: operand}
	if in.deps, err = o.newDepfile(operand); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			in.close()
		}
	}()
	if operand == "-" {
		if o.file == "-" {
			return nil, cli.Usagef("the plan and the context cannot both be standard input")
		}
		if err := in.receive(ctx, s, st, o.file); err != nil {
			return nil, err
		}
	}
	if info, err := os.Stat(in.dir); err != nil {
		return nil, fmt.Errorf("open context: %w", err)
	} else if !info.IsDir() {
		return nil, fmt.Errorf("open context: %s is not a directory", in.dir)
	}
	file, err := in.readPlan(s, o.file)
	if err != nil {
		return nil, err
	}
	rules, ignore, err := in.ignoreRules(file)
	if err != nil {
		return nil, err
	}
	if in.index, err = buildctx.OpenIndex(filepath.Join(st.Root(), "cache", "files")); err != nil {
		return nil, err
	}
	if o.paranoid || os.Getenv("DOCKSMITH_PARANOID") != "" {
		in.index.Distrust()
	}
	in.context, err = buildctx.Open(in.dir, buildctx.Options{Ignore: rules, Index: in.index, Uses: in.deps.watch(in.dir, rules, ignore)})
	return in, err
}

// readPlan finds the plan: in the named file, in the context, or on standard
// input. It returns the path of the Dockerfile, if that is known.
func (in *inputs) readPlan(s *cli.IO, file string) (string, error) {
	planRead, asUsual := collectLater()
	defer planRead()
	in.collect = asUsual
	switch {
	case file == "-":
		p, err := decode(s.Stdin, "<stdin>")
		in.plan = p
		return "", err
	case in.plan != nil: // it was the context
		return "", nil
	case file == "" && in.temp == nil:
		if _, r, err := s.Input(nil); err == nil { // else it is a terminal
			return in.receivePlan(r)
		}
	}
	if file == "" {
		return in.readDefault(in.dir)
	}
	if info, err := os.Stat(file); err == nil && info.IsDir() && in.temp == nil {
		return in.readDefault(file)
	}
	return in.readFile(file)
}

// readDefault reads the Dockerfile that a directory has.
func (in *inputs) readDefault(dir string) (string, error) {
	base := in.defaultIn(dir)
	switch {
	case base != "" && in.temp == nil:
		return in.readFile(filepath.Join(dir, base))
	case base != "":
		return in.readFile(base)
	case in.temp != nil:
		dir = "the context"
	}
	return "", dockerfile.NoFile(dir)
}

// defaultIn is the name of a directory's Dockerfile; "" without one.
func (in *inputs) defaultIn(dir string) string {
	for _, base := range dockerfile.FileNames {
		name := filepath.Join(dir, base)
		if _, err := os.Lstat(name); err == nil {
			return base
		}
		in.deps.absent(name)
	}
	return ""
}

// receivePlan reads the plan that ds-parse pipes in.
func (in *inputs) receivePlan(r io.Reader) (string, error) {
	p, err := plan.Decode(bufio.NewReaderSize(r, 64<<10))
	if err != nil {
		return "", cli.WithHint(fmt.Errorf("read plan from standard input: %w", err),
			"ds-parse writes one; ds-build -f FILE reads a Dockerfile itself")
	}
	in.plan = p
	if _, err := os.Stat(p.File); err == nil {
		in.deps.source(p.File)
	}
	return p.File, nil
}

// readFile reads a Dockerfile or a plan. One inside a context that came as a tar is
// opened inside it, as is one that is nowhere else.
func (in *inputs) readFile(name string) (string, error) {
	f, path, err := in.open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	in.deps.source(path)
	in.plan, err = decode(f, name)
	return path, err
}

func (in *inputs) open(name string) (*os.File, string, error) {
	if in.temp == nil {
		if f, err := os.Open(name); err == nil || !errors.Is(err, fs.ErrNotExist) {
			return f, name, err
		}
	}
	root, err := rootfs.Open(in.dir)
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	f, err := root.OpenFile(name, openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		f, err = os.Open(name)
		return f, name, err
	}
	if err != nil {
		return nil, "", err
	}
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		f.Close()
		return nil, "", errors.Join(err, fmt.Errorf("read %s: not a regular file", name))
	}
	return f, filepath.Join(in.dir, name), nil
}

// decode reads a plan or, if it is none, a Dockerfile: no Dockerfile begins
// with a brace.
func decode(r io.Reader, name string) (*plan.Plan, error) {
	b := bufio.NewReaderSize(r, 64<<10)
	head, err := b.Peek(64)
	if err != nil && err != io.EOF {
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	if bytes.HasPrefix(bytes.TrimLeft(head, " \t\r\n"), []byte("{")) {
		p, err := plan.Decode(b)
		if err != nil {
			return nil, fmt.Errorf("read plan %s: %w", name, err)
		}
		return p, nil
	}
	f, err := dockerfile.Parse(b, dockerfile.Options{Name: name, Strict: dockerfile.IsStrict(name)})
	if located, ok := errors.AsType[*dockerfile.Error](err); ok {
		return nil, &cli.Located{File: located.File, Line: located.Line, Err: located.Err}
	}
	if err != nil {
		return nil, err
	}
	return plan.Check(f, dockerfile.CheckOptions{}), nil
}

// ignoreRules reads FILE.dockerignore beside the Dockerfile or, without one,
// the context's .dockerignore. It also lists what changes when the rules do: the
// file, and the directory where another would have been found first.
func (in *inputs) ignoreRules(file string) (*buildctx.Ignore, []string, error) {
	var depends []string
	if file != "" && !strings.HasPrefix(file, "<") {
		name := file + ".dockerignore"
		f, err := os.Open(name)
		if err == nil {
			defer f.Close()
			rules, err := buildctx.ParseIgnore(f, name)
			return rules, []string{name}, err
		}
		if !errors.Is(err, fs.ErrNotExist) {
			return nil, nil, err
		}
		depends = append(depends, filepath.Dir(name))
	}
	rules, more, err := readIgnore(in.dir)
	return rules, append(depends, more), err
}

// readIgnore reads the .dockerignore of a context, and tells what changes when
// the rules do.
func readIgnore(dir string) (_ *buildctx.Ignore, depends string, err error) {
	root, err := rootfs.Open(dir)
	if err != nil {
		return nil, "", err
	}
	defer root.Close()
	f, err := root.OpenFile(".dockerignore", openFlags, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, dir, nil
	}
	if err != nil {
		return nil, "", err
	}
	defer f.Close()
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, "", errors.Join(err, errors.New("read .dockerignore: not a regular file"))
	}
	rules, err := buildctx.ParseIgnore(f, ".dockerignore")
	return rules, filepath.Join(dir, ".dockerignore"), err
}
