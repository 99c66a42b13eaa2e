package buildlog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/flock"
)

// States of a build.
const (
	Running   = "running"
	Done      = "done"
	Failed    = "failed"
	Cancelled = "cancelled"
	Cut       = "cut" // killed before it could tell its end
)

// Build is a build as its record tells it.
type Build struct {
	ID      string
	State   string
	Began   time.Time
	Seconds float64
	File    string // the Dockerfile
	Context string
	Tags    []string
	Digest  string // of the image, when it is done
	Steps   []Step
	Failure string // why it failed

	dir *Dir
}

// Step is a step that was begun.
type Step struct {
	Number int
	Total  int
	Stage  string
	Line   int
	Text   string
	Cache  string // "hit", "miss" or empty
	// Log is the output: "ID:STEP", perhaps of the earlier build that ran the step
	// which this one took from the cache; empty if no command ran.
	Log     string
	Done    bool
	Failed  bool
	Seconds float64
	// Began and Ended are in seconds from the beginning of the build; Ended is
	// that of a step that is done.
	Began, Ended float64
}

// record is what a listing needs of a record's line, of whatever type.
type record struct {
	Type      string    `json:"type"`
	Time      time.Time `json:"time"`
	File      string    `json:"file"`
	Context   string    `json:"context"`
	Tags      []string  `json:"tags"`
	Digest    string    `json:"digest"`
	Failed    bool      `json:"failed"`
	Cancelled bool      `json:"cancelled"`
	Seconds   float64   `json:"seconds"`
	At        float64   `json:"at"`
	Step      int       `json:"step"`
	Total     int       `json:"total"`
	Stage     string    `json:"stage"`
	Line      int       `json:"line"`
	Text      string    `json:"text"`
	Cache     string    `json:"cache"`
	Log       string    `json:"log"`
}

// List gives the builds, the last begun first.
func (d *Dir) List() ([]*Build, error) { return d.Again(nil) }

// Again is List for who has listed before: what was over then is not read again.
func (d *Dir) Again(before []*Build) ([]*Build, error) {
	names, err := d.names()
	if err != nil {
		return nil, fmt.Errorf("list builds: %w", err)
	}
	over := map[string]*Build{}
	for _, b := range before {
		if b.State != Running {
			over[b.ID] = b
		}
	}
	var list []*Build
	for _, id := range names {
		if b := over[id]; b != nil {
			list = append(list, b)
			continue
		}
		b, err := d.read(id)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed, or not begun
		}
		if err != nil {
			return nil, fmt.Errorf("list builds: %w", err)
		}
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b *Build) int {
		if c := b.Began.Compare(a.Began); c != 0 {
			return c
		}
		return strings.Compare(a.ID, b.ID)
	})
	return list, nil
}

// read reads a build's record.
func (d *Dir) read(id string) (*Build, error) {
	f, err := os.Open(filepath.Join(d.path, id, recordFile))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	// Asked before it is read: who ends meanwhile has written all by then.
	over, err := flock.Try(f, flock.Shared)
	if err != nil {
		return nil, err
	}
	raw, err := io.ReadAll(f)
	if err != nil {
		return nil, err
	}
	b := &Build{ID: id, dir: d, State: Running}
	if over {
		b.State = Cut
	}
	for line := range bytes.Lines(raw) {
		var r record
		if json.Unmarshal(line, &r) == nil { // else half a line, of who was killed
			b.add(&r)
		}
	}
	if b.Began.IsZero() {
		if info, err := f.Stat(); err == nil {
			b.Began = info.ModTime()
		}
	}
	return b, nil
}

// add takes over what a line of the record tells.
func (b *Build) add(r *record) {
	switch r.Type {
	case "build":
		b.Began, b.File, b.Context, b.Tags = r.Time, r.File, r.Context, r.Tags
	case "end":
		b.Seconds, b.Digest, b.State = r.Seconds, r.Digest, Done
		if r.Failed {
			b.State = Failed
		}
		if r.Cancelled {
			b.State = Cancelled
		}
	case "start":
		b.Steps = append(b.Steps, Step{Number: r.Step, Total: r.Total, Stage: r.Stage, Line: r.Line, Text: r.Text, Began: r.At})
	case "failure":
		b.Failure = r.Text
		if r.File != "" && r.Line > 0 {
			b.Failure = fmt.Sprintf("%s:%d: %s", r.File, r.Line, r.Text)
		}
		if s := b.begun(r); s != nil {
			s.add(r)
			s.Failed = true
		}
	case "cache", "run", "done":
		if s := b.begun(r); s != nil {
			s.add(r)
		}
	}
}

// begun is the step that r is about: with the triggers of a base image several
// have one number, one after the other.
func (b *Build) begun(r *record) *Step {
	for i := len(b.Steps) - 1; i >= 0; i-- {
		if b.Steps[i].Number == r.Step {
			return &b.Steps[i]
		}
	}
	return nil
}

func (s *Step) add(r *record) {
	if r.Cache != "" {
		s.Cache = r.Cache
	}
	if r.Log != "" {
		s.Log = r.Log
	}
	if r.Type == "done" {
		s.Done, s.Seconds, s.Ended = true, r.Seconds, r.At
	}
}

// Record is the build's record as it was written. The caller closes it.
func (b *Build) Record() (io.ReadCloser, error) {
	return os.Open(filepath.Join(b.dir.path, b.ID, recordFile))
}

// ErrNoCommand says that a step has no output: it is one of those without a
// command.
var ErrNoCommand = errors.New("ran no command")

// Output is what a step printed: by this build or, for a step that came from
// the cache, by the one that ran it. It is empty for a step that printed
// nothing. The caller closes it.
func (b *Build) Output(number int) (io.ReadCloser, error) {
	i := slices.IndexFunc(b.Steps, func(s Step) bool { return s.Number == number })
	if i < 0 {
		return nil, fmt.Errorf("build %s: no step %d was begun", b.ID, number)
	}
	refs := []string{}
	for _, s := range b.Steps[i:] {
		if s.Number == number && s.Log != "" && !slices.Contains(refs, s.Log) {
			refs = append(refs, s.Log)
		}
	}
	if len(refs) == 0 {
		return nil, fmt.Errorf("build %s: step %d (%s) %w", b.ID, number, firstLine(b.Steps[i].Text), ErrNoCommand)
	}
	out := &outputs{}
	for _, ref := range refs {
		f, err := b.dir.output(ref)
		if err != nil {
			return nil, errors.Join(fmt.Errorf("build %s: step %d: %w", b.ID, number, err), out.Close())
		}
		if f != nil {
			out.add(f)
		}
	}
	return out, nil
}

// output opens what a reference names; nil if nothing was printed.
func (d *Dir) output(ref string) (*os.File, error) {
	id, step, _ := strings.Cut(ref, ":")
	n, err := strconv.Atoi(step)
	if err != nil || !isID(id) {
		return nil, fmt.Errorf("its output %q: not a build and a step", ref)
	}
	f, err := os.Open(d.logPath(id, n))
	if !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if _, err := os.Lstat(filepath.Join(d.path, id)); err != nil {
		return nil, fmt.Errorf("its output was that of build %s, which was removed", id)
	}
	return nil, nil
}

// outputs are files read one after the other.
type outputs struct{ files []*os.File }

func (o *outputs) add(f *os.File) { o.files = append(o.files, f) }

func (o *outputs) Read(p []byte) (int, error) {
	for len(o.files) > 0 {
		n, err := o.files[0].Read(p)
		if n > 0 || err != io.EOF {
			return n, err
		}
		o.files[0].Close()
		o.files = o.files[1:]
	}
	return 0, io.EOF
}

func (o *outputs) Close() error {
	for _, f := range o.files {
		f.Close()
	}
	o.files = nil
	return nil
}

func firstLine(s string) string {
	s, _, _ = strings.Cut(s, "\n")
	return strings.TrimSuffix(s, `\`)
}
