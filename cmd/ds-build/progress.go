package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/fatih/color"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// progress is what a person or a program sees of a build on stderr.
type progress interface {
	event(e build.Event)
	// output takes what the RUN command prints that e tells of. Commands of
	// several stages run at the same time.
	output(e build.Event) io.Writer
	failed(err error)
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

func (l *lines) output(build.Event) io.Writer { return l.w }

func (l *lines) failed(error) {}

func (l *lines) event(e build.Event) {
	switch e.Type {
	case build.EventRun:
		fmt.Fprintf(l.w, " ---> running line %d\n", e.Line)
	case build.EventWarning:
		if e.Rule != "" {
			fmt.Fprintf(l.w, "%s:%d: warning: %s [%s]\n", e.File, e.Line, e.Text, e.Rule)
			return
		}
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
	s     *cli.IO
	tails map[int]*tail // by line, of the commands that run
}

func (q *silence) output(e build.Event) io.Writer {
	t := &tail{}
	if q.tails == nil {
		q.tails = map[int]*tail{}
	}
	q.tails[e.Line] = t
	return t
}

func (q *silence) event(e build.Event) {
	if e.Type == build.EventWarning && e.Rule == "" && !strings.HasPrefix(e.Text, "build argument") {
		q.s.Warnf("%s", e.Text)
	}
	if e.Type == build.EventDone {
		delete(q.tails, e.Line)
	}
}

func (q *silence) failed(err error) {
	step, ok := errors.AsType[*build.StepError](err)
	if !ok {
		return
	}
	if t := q.tails[step.Line]; t != nil {
		_, _ = q.s.Stderr.Write(t.buf)
	}
}

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
	w     io.Writer
	mu    sync.Mutex           // a record at a time
	parts map[int]*recordLines // by line, of the commands that run
}

func (r *records) write(v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = cli.WriteJSON(r.w, v) // nobody to tell when stderr is gone
}

func (r *records) event(e build.Event) {
	if p := r.parts[e.Line]; p != nil && e.Type == build.EventDone {
		p.flush()
		delete(r.parts, e.Line)
	}
	r.write(e)
}

func (r *records) output(e build.Event) io.Writer {
	if r.parts == nil {
		r.parts = map[int]*recordLines{}
	}
	r.parts[e.Line] = &recordLines{r: r, of: e}
	return r.parts[e.Line]
}

// recordLines makes each line that a command prints a record.
type recordLines struct {
	r    *records
	of   build.Event
	part []byte // of a line
}

func (l *recordLines) Write(p []byte) (int, error) {
	l.part = append(l.part, p...)
	for {
		line, rest, ok := bytes.Cut(l.part, []byte("\n"))
		if !ok {
			return len(p), nil
		}
		l.line(line)
		l.part = append(l.part[:0], rest...)
	}
}

func (l *recordLines) line(text []byte) {
	l.r.write(build.Event{Type: "output", Step: l.of.Step, Stage: l.of.Stage, Line: l.of.Line, Text: string(text)})
}

func (l *recordLines) flush() {
	if len(l.part) > 0 {
		l.line(l.part)
		l.part = l.part[:0]
	}
}

// end closes the stream; without it the stream was cut.
type end struct {
	Type    string  `json:"type"`
	Digest  string  `json:"digest,omitempty"`
	Failed  bool    `json:"failed,omitempty"`
	Seconds float64 `json:"seconds,omitempty"`
}

func (r *records) failed(error) {
	for _, line := range slices.Sorted(maps.Keys(r.parts)) {
		r.parts[line].flush()
	}
	r.write(end{Type: "end", Failed: true})
}

func (r *records) built(res *build.Result, _ []oci.Ref, took time.Duration) {
	r.write(end{Type: "end", Digest: res.Descriptor.Digest.String(), Seconds: took.Seconds()})
}
