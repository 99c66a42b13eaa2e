package build

import (
	"io"

	"docksmith/lib/cache"
)

// Event is something that happened in a build, for a person or a program that
// watches. Members that do not apply are zero.
type Event struct {
	Type string `json:"type"`
	// Step counts instructions from 1 to Total, FROM included; the triggers
	// of a base image belong to their FROM.
	Step  int    `json:"step,omitempty"`
	Total int    `json:"total,omitempty"`
	Stage string `json:"stage,omitempty"`
	Line  int    `json:"line,omitempty"`
	// File and Rule belong to a warning of the checks: the name of the
	// Dockerfile and of the check.
	File string `json:"file,omitempty"`
	Rule string `json:"rule,omitempty"`
	// Text is the instruction as written; of a warning the message.
	Text string `json:"text,omitempty"`
	// Cache is "hit" or "miss" for steps that make layers, else empty.
	Cache string `json:"cache,omitempty"`
	// Reason says why a step missed.
	Reason string `json:"reason,omitempty"`
	// Changes are what differs from the step's last run, in an EventCache of a
	// step that missed for it.
	Changes []cache.Change `json:"changes,omitempty"`

	Seconds float64 `json:"seconds,omitempty"`
	// Fetched are the bytes of a download so far, of Size if that is known;
	// Text is its address.
	Fetched int64 `json:"fetched,omitempty"`
	// DiffID and Size describe the layer that a step gave: Size is that of its
	// blob.
	DiffID string `json:"diffID,omitempty"`
	Size   int64  `json:"size,omitempty"`
	// Read are the bytes of files of the context, of stages and of images that
	// a step read, for its key and for its layer. Written is Size if the step
	// put the blob into the store.
	Read    int64 `json:"read,omitempty"`
	Written int64 `json:"written,omitempty"`
	// PeakMemory is what the command of a step had in memory at most, in bytes;
	// see RunResult.
	PeakMemory int64 `json:"peakMemory,omitempty"`
	// Check is what an EventCheck tells.
	Check *CheckResult `json:"check,omitempty"`
	// Log names where the whole output of the command is: "BUILD:STEP", of an
	// earlier build if this one has the step from the cache.
	Log string `json:"log,omitempty"`
}

// Types of events. Each EventStart is followed by the EventDone of the same
// step, unless the build ends there with an error.
const (
	EventStart   = "start"   // a step begins
	EventCache   = "cache"   // a step that makes a layer has looked into the cache
	EventRun     = "run"     // the step misses the cache and a command starts
	EventFetch   = "fetch"   // a download has come so far
	EventCheck   = "check"   // a step that hits was done again, to be compared
	EventDone    = "done"    // a step is done
	EventWarning = "warning" // something the user should look at
)

func (b *builder) emit(e Event) {
	if b.o.Events != nil {
		b.telling.Lock()
		defer b.telling.Unlock()
		b.o.Events(e)
	}
}

// output is where the command that e tells of prints to.
func (b *builder) output(e Event) io.Writer {
	if b.o.Output == nil {
		return io.Discard
	}
	b.telling.Lock()
	defer b.telling.Unlock()
	return b.o.Output(e)
}

func (b *builder) warn(line int, text string) {
	b.emit(Event{Type: EventWarning, Line: line, Text: text})
}
