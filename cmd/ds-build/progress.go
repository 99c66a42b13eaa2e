package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/fatih/color"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// progress is what a person or a program sees of a build on stderr.
type progress interface {
	event(e build.Event)
	// output takes what RUN commands print.
	output() io.Writer
	failed()
	built(r *build.Result, tags []oci.Ref, took time.Duration)
}

func newProgress(s *cli.IO, o *options) (progress, error) {
	s.Color(o.color)
	kind := o.progress
	if o.quiet && kind == "auto" {
		kind = "none"
	}
	switch kind {
	case "auto", "tty", "plain":
		return &lines{s: s, w: s.Stderr}, nil
	case "json":
		return &records{w: s.Stderr}, nil
	case "none":
		return &silence{s: s}, nil
	}
	return nil, cli.Usagef("--progress=%s: want auto, tty, plain, json or none", kind)
}

// lines is the progress of the original tool: one line for each step.
type lines struct {
	s *cli.IO
	w *os.File
}

func (l *lines) output() io.Writer { return l.w }

func (l *lines) failed() {}

func (l *lines) event(e build.Event) {
	switch e.Type {
	case build.EventRun:
		fmt.Fprintf(l.w, " ---> running line %d\n", e.Line)
	case build.EventWarning:
		l.s.Warnf("%s", e.Text)
	case build.EventDone:
		fmt.Fprintln(l.w, stepLine(e))
	}
}

var (
	hit  = color.New(color.FgGreen)
	miss = color.New(color.FgYellow)
)

// stepLine is "Step 2/3 : COPY . /app [CACHE MISS] 0.09s"; steps that make no
// layers have neither verdict nor time.
func stepLine(e build.Event) string {
	text := strings.Join(strings.Fields(e.Text), " ")
	line := fmt.Sprintf("Step %d/%d : %s", e.Step, e.Total, text)
	switch e.Cache {
	case "hit":
		return fmt.Sprintf("%s %s %.2fs", line, hit.Sprint("[CACHE HIT]"), e.Seconds)
	case "miss":
		return fmt.Sprintf("%s %s %.2fs", line, miss.Sprint("[CACHE MISS]"), e.Seconds)
	}
	return line
}

func (l *lines) built(r *build.Result, tags []oci.Ref, took time.Duration) {
	words := []string{"Successfully built", shortDigest(r)}
	for _, t := range tags {
		words = append(words, t.String())
	}
	fmt.Fprintf(l.w, "%s (%.2fs)\n", strings.Join(words, " "), took.Seconds())
}

func shortDigest(r *build.Result) string {
	d := r.Descriptor.Digest
	return d.Algorithm().String() + ":" + d.Encoded()[:8]
}

// silence says nothing unless the build fails: then what the commands printed
// last is the only trace of why.
type silence struct {
	s    *cli.IO
	tail tail
}

func (q *silence) output() io.Writer { return &q.tail }

func (q *silence) event(e build.Event) {
	if e.Type == build.EventWarning && !strings.HasPrefix(e.Text, "build argument") {
		q.s.Warnf("%s", e.Text)
	}
	if e.Type == build.EventRun {
		q.tail.buf = q.tail.buf[:0]
	}
}

func (q *silence) failed() { _, _ = q.s.Stderr.Write(q.tail.buf) }

func (q *silence) built(*build.Result, []oci.Ref, time.Duration) {}

// tail keeps the end of what is written to it.
type tail struct{ buf []byte }

const tailSize = 16 << 10

func (t *tail) Write(p []byte) (int, error) {
	t.buf = append(t.buf, p...)
	if len(t.buf) > tailSize {
		t.buf = append(t.buf[:0], t.buf[len(t.buf)-tailSize:]...)
	}
	return len(p), nil
}

// records is the progress as NDJSON, closed by an end record.
type records struct {
	w    io.Writer
	last build.Event
	part []byte // of a line of output
}

func (r *records) write(v any) {
	_ = cli.WriteJSON(r.w, v) // nobody to tell when stderr is gone
}

func (r *records) event(e build.Event) {
	r.flush()
	r.last = e
	r.write(e)
}

func (r *records) output() io.Writer { return r }

func (r *records) Write(p []byte) (int, error) {
	r.part = append(r.part, p...)
	for {
		line, rest, ok := bytes.Cut(r.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		r.line(line)
		r.part = append(r.part[:0], rest...)
	}
}

func (r *records) line(text []byte) {
	r.write(build.Event{Type: "output", Step: r.last.Step, Line: r.last.Line, Text: string(text)})
}

func (r *records) flush() {
	if len(r.part) > 0 {
		r.line(r.part)
		r.part = r.part[:0]
	}
}

// end closes the stream; without it the stream was cut.
type end struct {
	Type    string  `json:"type"`
	Digest  string  `json:"digest,omitempty"`
	Failed  bool    `json:"failed,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

func (r *records) failed() {
	r.flush()
	r.write(end{Type: "end", Failed: true})
}

func (r *records) built(res *build.Result, _ []oci.Ref, took time.Duration) {
	r.flush()
	r.write(end{Type: "end", Digest: res.Descriptor.Digest.String(), Seconds: took.Seconds()})
}
