package main

import (
	"bytes"
	"fmt"
	"io"
	"sync"
	"time"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// lines is the progress of the original tool: one line for each step, and what
// commands print as it comes. While steps of several stages are under way, it
// comes line by line, each with the number of its step.
type lines struct {
	s *cli.IO
	w io.Writer

	mu     sync.Mutex
	flying map[int]bool // steps that were begun and are not done
	open   bool         // the last line shown is not ended yet
	mixed  bool         // lines of several steps were mixed
}

func newLines(s *cli.IO, w io.Writer) *lines { return &lines{s: s, w: w, flying: map[int]bool{}} }

// line shows a line of its own.
func (l *lines) line(format string, args ...any) {
	if l.open {
		format, l.open = "\n"+format, false
	}
	fmt.Fprintf(l.w, format+"\n", args...)
}

func (l *lines) event(e build.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Type {
	case build.EventStart:
		l.flying[e.Step] = true
	case build.EventCache:
		if e.Changes != nil {
			l.line("%s ---> %s", l.prefix(e.Step, 0), cli.Printable(e.Reason))
		}
	case build.EventRun:
		if prefix := l.prefix(e.Step, 0); prefix != "" {
			l.line("%s ---> running line %d of stage %s", prefix, e.Line, e.Stage)
		} else {
			l.line(" ---> running line %d", e.Line)
		}
	case build.EventFetch:
		l.line(" ---> %s", fetchLine(e))
	case build.EventCheck:
		for i, line := range checkedLines(e) {
			if i == 0 && e.Check.Same {
				line = l.prefix(e.Step, 0) + line
			}
			l.line("%s", line)
		}
	case build.EventWarning:
		l.line("%s", warningText(l.s.Name, e))
	case build.EventDone:
		delete(l.flying, e.Step)
		l.line("%s", stepLine(e))
	}
}

// prefix names the step of a line, where that is not clear.
func (l *lines) prefix(step int, took time.Duration) string {
	if len(l.flying) < 2 {
		return ""
	}
	l.mixed = true
	return fmt.Sprintf("#%d %.3f", step, took.Seconds())
}

func (l *lines) output(e build.Event, _ func() float64) io.WriteCloser {
	o := &shown{l: l, step: e.Step, began: time.Now()}
	o.split.line = o.line
	return o
}

// shown is the output of one step.
type shown struct {
	l     *lines
	step  int
	began time.Time
	split lineSplitter // while the step is not alone
	batch bytes.Buffer
}

func (o *shown) Write(p []byte) (int, error) {
	l := o.l
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.flying) < 2 && len(o.split.part) == 0 {
		l.open = len(p) > 0 && p[len(p)-1] != '\n'
		return l.w.Write(p)
	}
	n, _ := o.split.Write(p)
	return n, o.flush()
}

// line is called with a whole line, or a part of a very long one.
func (o *shown) line(text []byte, _ bool) {
	if prefix := o.l.prefix(o.step, time.Since(o.began)); prefix != "" {
		o.batch.WriteString(prefix + " ")
	}
	o.batch.Write(text)
	o.batch.WriteByte('\n')
}

// flush shows the lines that were written together in one piece.
func (o *shown) flush() error {
	if o.batch.Len() == 0 {
		return nil
	}
	if o.l.open {
		o.l.open = false
		_, _ = io.WriteString(o.l.w, "\n")
	}
	_, err := o.l.w.Write(o.batch.Bytes())
	o.batch.Reset()
	return err
}

func (o *shown) Close() error {
	o.l.mu.Lock()
	defer o.l.mu.Unlock()
	_ = o.split.Close()
	return o.flush()
}

// failed shows the last lines again only where they were mixed with others.
func (l *lines) failed(f *failure) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.open {
		_, _ = io.WriteString(l.w, "\n")
	}
	if l.mixed {
		showTail(l.s, f)
	}
}

func (l *lines) built(r *build.Result, tags []oci.Ref, took time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.line("%s", builtLine(r, tags, took))
}
