package main

import (
	"errors"
	"fmt"
	"sync"

	"docksmith/lib/cli"
	"docksmith/lib/container"
)

// findAll finds the containers that operands name. Nothing is done to any if one
// of them does not exist.
func findAll(stdio *cli.IO, refs []string) ([]*container.Container, error) {
	if len(refs) == 0 {
		return nil, cli.Usagef("a container is missing")
	}
	t, err := table(stdio)
	if err != nil {
		return nil, err
	}
	var list []*container.Container
	for _, ref := range refs {
		c, err := t.Find(ref)
		if errors.Is(err, container.ErrNotFound) {
			err = cli.WithHint(err, "ds-exec ps --all lists them")
		}
		if err != nil {
			return nil, err
		}
		list = append(list, c)
	}
	return list, nil
}

// each does something to every container at the same time, and prints what comes
// of it in their order.
func each(stdio *cli.IO, refs []string, do func(c *container.Container, ref string) (string, error)) error {
	list, err := findAll(stdio, refs)
	if err != nil {
		return err
	}
	type result struct {
		text string
		err  error
	}
	results := make([]result, len(list))
	var all sync.WaitGroup
	for i, c := range list {
		all.Go(func() { results[i].text, results[i].err = do(c, refs[i]) })
	}
	all.Wait()
	var errs []error
	for _, r := range results {
		if r.err != nil {
			errs = append(errs, r.err)
			continue
		}
		if _, err := fmt.Fprintln(stdio.Stdout, r.text); err != nil {
			return err
		}
	}
	return joinLines(stdio, errs)
}

// joinLines reports each of many errors on a line of its own.
func joinLines(stdio *cli.IO, errs []error) error {
	if len(errs) == 0 {
		return nil
	}
	for _, err := range errs[:len(errs)-1] {
		_ = stdio.Report(err)
	}
	return errs[len(errs)-1]
}
