package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
)

// outlook are the flags of ds-exec logs.
type outlook struct {
	follow, times bool
	since, tail   string
}

func logsCommand() *cli.Command {
	l := &outlook{}
	return &cli.Command{
		Name: "logs", Args: "CONTAINER",
		Short: "Print what a detached container has printed, each stream on its own.",
		Long:  "    ds-exec logs --follow --tail 10 web",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&l.follow, "follow", "f", false, "go on until the container has ended")
			f.BoolVarP(&l.times, "timestamps", "t", false, "print the time before each line")
			f.StringVar(&l.since, "since", "", "leave out what is older than `TIME`: RFC 3339, seconds since 1970, or an age like 10m")
			f.StringVarP(&l.tail, "tail", "n", "all", "print the last `N` lines only of those that are there")
		},
		Run: l.run,
	}
}

func (l *outlook) run(ctx context.Context, stdio *cli.IO, args []string) error {
	if len(args) != 1 {
		return cli.Usagef("one container is needed")
	}
	since, err := parseSince(l.since, time.Now())
	if err != nil {
		return err
	}
	tail := -1
	if l.tail != "all" {
		if tail, err = strconv.Atoi(l.tail); err != nil || tail < 0 {
			return cli.Usagef("--tail %q is neither a number of lines nor all", l.tail)
		}
	}
	list, err := findAll(stdio, args)
	if err != nil {
		return err
	}
	c := list[0]
	s, err := c.State()
	if err != nil {
		return err
	}
	if s.Log == "" {
		return fmt.Errorf("%s has no log: it is not detached, and its output is its caller's", args[0])
	}
	r, err := container.ReadLog(c.Path(s.Log))
	if err != nil {
		return err
	}
	defer r.Close()
	if tail >= 0 {
		if err := r.Tail(tail); err != nil {
			return err
		}
	}
	p := &printer{stdio: stdio, times: l.times, since: since, begun: map[string]bool{}}
	if !l.follow {
		return p.print(r)
	}
	return p.followed(ctx, c, r)
}

// parseSince reads a time, an age, or nothing.
func parseSince(s string, now time.Time) (time.Time, error) {
	if s == "" {
		return time.Time{}, nil
	}
	if age, err := time.ParseDuration(s); err == nil {
		return now.Add(-age), nil
	}
	if seconds, err := strconv.ParseFloat(s, 64); err == nil && seconds >= 0 && seconds < 1e11 {
		return time.UnixMicro(int64(seconds * 1e6)), nil
	}
	for _, form := range []string{time.RFC3339Nano, "2006-01-02T15:04:05", "2006-01-02"} {
		if t, err := time.ParseInLocation(form, s, time.Local); err == nil {
			return t, nil
		}
	}
	return time.Time{}, cli.Usagef("--since %q is neither a time nor an age", s)
}

// printer prints records of a log.
type printer struct {
	stdio *cli.IO
	times bool
	since time.Time
	begun map[string]bool // streams within a line that is printed
}

// pollLog is how often a log that is followed is looked at.
const pollLog = 50 * time.Millisecond

// followed prints the log until the container has ended and all is printed.
func (p *printer) followed(ctx context.Context, c *container.Container, r *container.LogReader) error {
	ended := make(chan error, 1)
	go func() {
		_, err := c.Wait(ctx)
		if errors.Is(err, container.ErrNotFound) {
			err = nil
		}
		ended <- err
	}()
	tick := time.NewTicker(pollLog)
	defer tick.Stop()
	for {
		if err := p.print(r); err != nil {
			return err
		}
		select {
		case err := <-ended:
			return errors.Join(err, p.print(r))
		case <-tick.C:
		}
	}
}

// print prints what there is.
func (p *printer) print(r *container.LogReader) error {
	for {
		rec, err := r.Next()
		if errors.Is(err, io.EOF) {
			return p.stdio.Stdout.Flush()
		}
		if err != nil {
			return err
		}
		if rec.Time.Before(p.since) && !p.begun[rec.Stream] {
			continue
		}
		if err := p.record(rec); err != nil {
			return fmt.Errorf("write %s: %w", rec.Stream, err)
		}
	}
}

func (p *printer) record(rec container.LogRecord) error {
	var w io.Writer = p.stdio.Stdout
	if rec.Stream == container.Stderr {
		if err := p.stdio.Stdout.Flush(); err != nil { // the order is theirs
			return err
		}
		w = p.stdio.Stderr
	}
	if p.times && !p.begun[rec.Stream] {
		if _, err := io.WriteString(w, rec.Time.Format(time.RFC3339Nano)+" "); err != nil {
			return err
		}
	}
	p.begun[rec.Stream] = !rec.Ends
	line := rec.Bytes
	if rec.Ends {
		line = append(line, '\n')
	}
	_, err := w.Write(line)
	return err
}
