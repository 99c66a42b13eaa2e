package main

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/fatih/color"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// progress is what a person or a program sees of a build on stderr.
type progress interface {
	// event is called serially, but while outputs are written.
	event(e build.Event)
	// output takes what the command of a step prints, from one goroutine; at
	// is the time of the build. Closing it ends a line that was not ended.
	output(e build.Event, at func() float64) io.WriteCloser
	// failed shows what the failed command printed, where that was not seen
	// yet; nil stands for a build that was cancelled.
	failed(f *failure)
	built(r *build.Result, tags []oci.Ref, took time.Duration)
}

func newProgress(s *cli.IO, o *options, w *watched) (progress, error) {
	s.Color(o.color)
	kind := o.progress
	if o.quiet && kind == "auto" {
		kind = "none"
	}
	if o.deps {
		return &silence{s: s}, nil
	}
	if o.dryRun && kind != "json" {
		return &forecast{silence: silence{s: s}}, nil
	}
	switch kind {
	case "auto", "tty":
		if cli.Interactive(s.Stderr) {
			return newLive(s), nil
		}
		return newLines(s, w), nil
	case "plain":
		return newLines(s, w), nil
	case "json":
		return &records{w: w}, nil
	case "none":
		return &silence{s: s}, nil
	}
	return nil, cli.Usagef("--progress=%s: want auto, tty, plain, json or none", kind)
}

var (
	hit  = color.New(color.FgGreen)
	miss = color.New(color.FgYellow)
)

// stepLine is "Step 2/3 : COPY . /app [CACHE MISS] 0.09s"; steps that make no
// layers have neither verdict nor time.
func stepLine(e build.Event) string {
	line := stepHead(e) + verdict(e)
	if e.Cache != "" {
		line += fmt.Sprintf(" %.2fs", e.Seconds)
	}
	return line
}

func verdict(e build.Event) string {
	switch e.Cache {
	case "hit":
		return " " + hit.Sprint("[CACHE HIT]")
	case "miss":
		return " " + miss.Sprint("[CACHE MISS]")
	}
	return ""
}

func stepHead(e build.Event) string {
	return fmt.Sprintf("Step %d/%d : %s", e.Step, e.Total, strings.Join(strings.Fields(e.Text), " "))
}

// fetchLine is "https://h/x: 12.0 of 40.5 MiB".
func fetchLine(e build.Event) string {
	const mib = 1 << 20
	if e.Size == 0 {
		return fmt.Sprintf("%s: %.1f MiB", e.Text, float64(e.Fetched)/mib)
	}
	return fmt.Sprintf("%s: %.1f of %.1f MiB", e.Text, float64(e.Fetched)/mib, float64(e.Size)/mib)
}

func builtLine(r *build.Result, tags []oci.Ref, took time.Duration) string {
	d := r.Descriptor.Digest
	words := append([]string{"Successfully built", d.Algorithm().String() + ":" + d.Encoded()[:8]}, names(tags)...)
	return fmt.Sprintf("%s (%.2fs)", strings.Join(words, " "), took.Seconds())
}

// warningText is a warning as a line: that of a check begins with its place, so
// that editors can jump there.
func warningText(name string, e build.Event) string {
	if e.Rule != "" {
		return fmt.Sprintf("%s:%d: warning: %s [%s]", e.File, e.Line, e.Text, e.Rule)
	}
	return fmt.Sprintf("%s: warning: %s", name, e.Text)
}

// silence says nothing unless the build fails: then what the command printed
// last is the only trace of why.
type silence struct{ s *cli.IO }

func (q *silence) output(build.Event, func() float64) io.WriteCloser { return discard{} }

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func (discard) Close() error { return nil }

func (q *silence) event(e build.Event) {
	if e.Type == build.EventCheck && !e.Check.Same {
		fmt.Fprintln(q.s.Stderr, strings.Join(checkedLines(e), "\n"))
	}
	if e.Type == build.EventWarning && e.Rule == "" && !strings.HasPrefix(e.Text, "build argument") {
		q.s.Warnf("%s", e.Text)
	}
}

func (q *silence) failed(f *failure) { showTail(q.s, f) }

func (q *silence) built(*build.Result, []oci.Ref, time.Duration) {}

// tail keeps the end of what is written to it and counts its lines.
type tail struct {
	buf   []byte
	lines int // ended ones
}

const (
	tailSize  = 16 << 10
	tailLines = 20
)

func (t *tail) add(p []byte) {
	t.lines += bytes.Count(p, []byte("\n"))
	if len(p) > tailSize {
		t.buf, p = t.buf[:0], p[len(p)-tailSize:]
	}
	if over := len(t.buf) + len(p) - tailSize; over > 0 {
		t.buf = t.buf[:copy(t.buf, t.buf[over:])]
	}
	t.buf = append(t.buf, p...)
}

// last gives the last lines and how many there were.
func (t *tail) last() (lines []string, all int) {
	all = t.lines
	text := strings.TrimSuffix(string(t.buf), "\n")
	if len(t.buf) > 0 && len(text) == len(t.buf) {
		all++ // the one that was not ended
	}
	if len(t.buf) == 0 {
		return nil, 0
	}
	lines = strings.Split(text, "\n")
	return lines[max(0, len(lines)-tailLines):], all
}

// showTail shows the last lines that a failed command printed.
func showTail(s *cli.IO, f *failure) {
	if f == nil || f.tail == nil {
		return
	}
	lines, all := f.tail.last()
	if len(lines) == 0 {
		return
	}
	head := fmt.Sprintf("what step %d/%d printed", f.Step, f.Total)
	if all > len(lines) {
		head = fmt.Sprintf("the last %d of %d lines that step %d/%d printed", len(lines), all, f.Step, f.Total)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "---- %s ----\n", head)
	terminal := cli.Terminal(s.Stderr)
	for _, line := range lines {
		if terminal {
			line = visible(line)
		}
		b.WriteString(line + "\n")
	}
	b.WriteString("----\n")
	_, _ = io.WriteString(s.Stderr, b.String())
}
