package main

import (
	"context"
	"errors"
	"io"
	"math"
	"os"
	"path/filepath"
	"sync"
	"time"

	"docksmith/lib/build"
	"docksmith/lib/buildlog"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// journal is the one place that all a build tells goes through: the events and
// what its commands print, to who watches and to the build's log. The log has
// the same records as --progress=json but for the output, which has a file for
// each step.
type journal struct {
	s    *cli.IO
	o    *options
	show progress

	// Known as the build goes on, before its first event.
	log  *buildlog.Log
	id   string // of the build
	tags []oci.Ref
	file string // the Dockerfile

	began   time.Time
	context string // as it was given
	opened  bool   // the first record is written

	recheck *rechecker // nil: no hit is done again

	read, written int64 // bytes, of the steps that are done

	mu      sync.Mutex             // guards outputs: steps of several stages begin and end at once
	outputs map[string]*stepOutput // by the name of their log
}

func newJournal(s *cli.IO, o *options, operand string, w *watched) (*journal, error) {
	show, err := newProgress(s, o, w)
	if err != nil {
		return nil, err
	}
	return &journal{s: s, o: o, show: show, began: time.Now(), context: operand, outputs: map[string]*stepOutput{}}, nil
}

// keep begins the log in the store.
func (j *journal) keep(st *store.Store) {
	j.log = buildlog.New(st.Root()).Begin()
	j.id = j.log.ID()
}

// at is for how many seconds the build has been running.
func (j *journal) at() float64 { return seconds(time.Since(j.began)) }

func seconds(d time.Duration) float64 { return math.Round(d.Seconds()*1000) / 1000 }

// write sends one record to who reads records.
func (j *journal) write(v any) {
	if j.log != nil {
		j.log.Record(v)
	}
	if r, ok := j.show.(*records); ok {
		r.write(v)
	}
}

// open writes the first record, as late as can be: it names the Dockerfile.
func (j *journal) open() {
	if j.opened {
		return
	}
	j.opened = true
	dir := j.context
	if abs, err := filepath.Abs(dir); err == nil && dir != "-" {
		dir = abs
	}
	j.write(buildRecord{
		Type: "build", Schema: eventsSchema, ID: j.id, Time: j.began.UTC().Truncate(time.Millisecond),
		File: j.file, Context: dir, Target: j.o.target, Tags: names(j.tags), Arguments: discreet(os.Args[1:]),
	})
}

func names(refs []oci.Ref) []string {
	var list []string
	for _, r := range refs {
		list = append(list, r.String())
	}
	return list
}

// missed tells that something is to be done for a step.
func missed(e build.Event) bool { return e.Type == build.EventRun || e.Cache == "miss" }

// event tells all that want to know.
func (j *journal) event(e build.Event) {
	j.open()
	j.write(eventRecord{e, j.at()})
	if j.log != nil && missed(e) {
		j.log.Flush() // what follows may take long, and somebody may follow
	}
	j.show.event(e)
	if e.Type == build.EventCheck {
		j.mu.Lock()
		delete(j.outputs, e.Log)
		j.mu.Unlock()
	}
	if e.Type == build.EventDone {
		j.read, j.written = j.read+e.Read, j.written+e.Written
		j.mu.Lock()
		delete(j.outputs, e.Log)
		j.mu.Unlock()
	}
}

func (j *journal) warn(text string) { j.event(build.Event{Type: build.EventWarning, Text: text}) }

// output is build.Options.Output. Whatever is done with all that commands
// print is done here.
func (j *journal) output(e build.Event) io.Writer {
	o := &stepOutput{show: j.show.output(e, j.at), log: j.log.Output(e.Step), file: j.log.Path(e.Step)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.outputs[e.Log] = o
	return o
}

// stepOutput takes what the command of one step prints. It is closed when the
// command has ended.
type stepOutput struct {
	show, log io.WriteCloser
	file      string // of the log
	tail      tail
}

// Write never fails: a display or a log that cannot take more is no reason to
// end the command.
func (o *stepOutput) Write(p []byte) (int, error) {
	o.tail.add(p)
	_, _ = o.log.Write(p)
	_, _ = o.show.Write(p)
	return len(p), nil
}

// Close ends a line that was not ended.
func (o *stepOutput) Close() error { return errors.Join(o.show.Close(), o.log.Close()) }

// end tells the result of the build, or why there is none, to everybody. It
// returns the error that is left for the program to tell.
func (j *journal) end(ctx context.Context, r *build.Result, err error) error {
	j.open()
	last := endRecord{Type: "end", Read: j.read, Written: j.written, Seconds: j.at()}
	var f *failure
	switch {
	case err == nil:
		last.Digest, last.Hits, last.Misses = r.Descriptor.Digest.String(), r.Hits, r.Misses
		if j.recheck != nil {
			last.Checked, last.Different, last.Seed = r.Checked, r.Different, j.recheck.seed
		}
		if r.Different > 0 {
			last.Status = 1
		}
	case errors.Is(err, context.Canceled):
		last.Failed, last.Cancelled = true, true
	default:
		f = j.failure(err)
		j.write(f)
		last.Failed, last.Status = true, f.Status
	}
	j.close(last)
	switch {
	case f != nil:
		j.show.failed(f)
		return j.fail(ctx, f)
	case err == nil:
		j.show.built(r, j.tags, time.Since(j.began))
	default:
		j.show.failed(nil)
	}
	return err
}

// close ends the records. What the log could not take is lost, the image is not.
func (j *journal) close(last endRecord) {
	if j.log != nil {
		j.log.Record(last)
		err := errors.Join(j.log.Close(), j.log.Tidy())
		j.log = nil
		if err != nil {
			j.warn(err.Error())
		}
	}
	if r, ok := j.show.(*records); ok {
		r.write(last)
	}
}
