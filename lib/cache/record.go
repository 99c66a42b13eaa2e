package cache

import (
	"encoding/json"
	"time"

	"docksmith/lib/oci"
)

// RecordSchema names the version of the record document.
const RecordSchema = "docksmith.record/1"

// Record is what a step gave.
type Record struct {
	Schema string `json:"schema"`
	Key    string `json:"key"`
	// Prefix is the key of the pre-image without its files.
	Prefix string `json:"prefix,omitempty"`
	// Layer is the layer the step made; nil if it made none.
	Layer *oci.Layer `json:"layer,omitempty"`
	// Seconds is how long the step took when it was really done.
	Seconds float64 `json:"seconds,omitempty"`
	// Created is the wall time of that. It never enters an image.
	Created time.Time `json:"created,omitzero"`
	// Text is the instruction, for people who list records.
	Text string `json:"text,omitempty"`
	// Log names what the step's command printed: "BUILD:STEP" of the build that
	// ran it, as lib/buildlog keeps it for some time.
	Log string `json:"log,omitempty"`
	// PeakMemory is what the command had in memory at most, in bytes.
	PeakMemory int64 `json:"peakMemory,omitempty"`
	// Result is whatever else the step gave; its form is the build's affair.
	Result json.RawMessage `json:"result,omitempty"`

	// Used is when it was last used, to the hour. It is known of listed records
	// only and is no part of the document.
	Used time.Time `json:"-"`
}

// EmptyLayer reports whether the step changed no file.
func (r *Record) EmptyLayer() bool { return r.Layer == nil }
