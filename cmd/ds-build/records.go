package main

import (
	"bytes"
	"io"
	"sync"
	"time"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// The records of a build, docksmith-events(5).

// eventsSchema names the version of the records.
const eventsSchema = "docksmith.events/1"

// buildRecord is the first record: what is built.
type buildRecord struct {
	Type      string    `json:"type"`
	Schema    string    `json:"schema"`
	ID        string    `json:"id,omitempty"`
	Time      time.Time `json:"time"`
	File      string    `json:"file,omitempty"`
	Context   string    `json:"context"`
	Target    string    `json:"target,omitempty"`
	Tags      []string  `json:"tags,omitempty"`
	Arguments []string  `json:"arguments,omitempty"`
}

// eventRecord is an event of the engine with its time.
type eventRecord struct {
	build.Event
	At float64 `json:"at"`
}

// outputRecord is a line that a command printed, without its newline. Bytes that
// are no UTF-8 are replaced; the log has them.
type outputRecord struct {
	Type  string `json:"type"`
	Step  int    `json:"step"`
	Stage string `json:"stage,omitempty"`
	Line  int    `json:"line"`
	Text  string `json:"text"`
	// Partial says that the line goes on in the next record of the step.
	Partial bool    `json:"partial,omitempty"`
	At      float64 `json:"at"`
}

// endRecord is the last record; without it the stream was cut.
type endRecord struct {
	Type      string  `json:"type"`
	Digest    string  `json:"digest,omitempty"`
	Hits      int     `json:"hits,omitempty"`
	Misses    int     `json:"misses,omitempty"`
	Checked   int     `json:"checked,omitempty"`
	Different int     `json:"different,omitempty"`
	Seed      string  `json:"seed,omitempty"`
	Failed    bool    `json:"failed,omitempty"`
	Cancelled bool    `json:"cancelled,omitempty"`
	Status    int     `json:"status,omitempty"`
	Read      int64   `json:"read,omitempty"`
	Written   int64   `json:"written,omitempty"`
	Seconds   float64 `json:"seconds"`
}

// records is the progress as NDJSON, closed by an end record. All but the
// output comes by way of the journal, which writes the same to the log.
type records struct {
	mu sync.Mutex
	w  io.Writer
}

func (r *records) write(v any) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_ = cli.WriteJSON(r.w, v) // nobody to tell when stderr is gone
}

func (r *records) event(build.Event) {}

func (r *records) failed(*failure) {}

func (r *records) built(*build.Result, []oci.Ref, time.Duration) {}

func (r *records) output(e build.Event, at func() float64) io.WriteCloser {
	return &lineSplitter{line: func(text []byte, partial bool) {
		r.write(outputRecord{Type: "output", Step: e.Step, Stage: e.Stage, Line: e.Line, Text: string(text), Partial: partial, At: at()})
	}}
}

// longestLine is where a line is cut in two: what is held must be bounded.
const longestLine = 64 << 10

// lineSplitter calls line for each line written to it, without the newline. A
// line that is too long comes in parts, of which all but the last are partial.
type lineSplitter struct {
	line func(text []byte, partial bool)
	part []byte
}

func (l *lineSplitter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		head, rest, ended := bytes.Cut(p, []byte("\n"))
		p = rest
		for len(l.part)+len(head) > longestLine {
			room := longestLine - len(l.part)
			l.line(append(l.part, head[:room]...), true)
			l.part, head = l.part[:0], head[room:]
		}
		switch {
		case !ended:
			l.part = append(l.part, head...)
		case len(l.part) == 0:
			l.line(head, false)
		default:
			l.line(append(l.part, head...), false)
			l.part = l.part[:0]
		}
	}
	return n, nil
}

// Close gives the line that was not ended.
func (l *lineSplitter) Close() error {
	if len(l.part) > 0 {
		l.line(l.part, false)
		l.part = nil
	}
	return nil
}
