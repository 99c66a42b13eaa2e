// Package verify proves that images, layers and stores are what they claim to
// be, and says where they are not.
//
// It reads everything again from the disk: a digest that somebody checked
// earlier proves nothing here. It changes nothing, and repairs nothing.
//
// The one invariant: a Summary without findings is only returned, with a nil
// error, when all of the subject was read. An error means that it could not be
// told; a Finding means that the claim is false.
//
//	sum, err := verify.Image(ctx, s, "app:v1", verify.ImageOptions{Found: show})
//	proven := err == nil && sum.Findings == 0
package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"syscall"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// Finding is one claim that does not hold.
type Finding = store.Finding

// Found is told of each finding as it is made. Nil is silent.
type Found func(Finding)

// Summary says what was looked at.
type Summary struct {
	Subject string        `json:"subject"`
	Digest  digest.Digest `json:"digest,omitempty"` // of a manifest or a layer's blob
	DiffID  digest.Digest `json:"diffID,omitempty"` // of a layer's tar
	Blobs   int           `json:"blobs,omitempty"`
	Entries int64         `json:"entries,omitempty"` // of layers
	// Of a store: the files of the cache, the unpacked layers, and those more of
	// which nobody says any more what they were unpacked from.
	Records   int `json:"records,omitempty"`
	Snapshots int `json:"snapshots,omitempty"`
	Unknown   int `json:"unknown,omitempty"`
	// Of a search: the files, and how many streams in them were expanded.
	Files      int   `json:"files,omitempty"`
	Compressed int   `json:"compressed,omitempty"`
	Bytes      int64 `json:"bytes"` // read, as stored
	Findings   int   `json:"findings"`
}

func (s *Summary) note(found Found, f Finding) {
	s.Findings++
	if found != nil {
		found(f)
	}
}

// refutes says whether err tells something about the content. What the system
// refused to let us read tells nothing.
func refutes(ctx context.Context, err error) bool {
	if err == nil || ctx.Err() != nil {
		return false
	}
	if errors.Is(err, oci.ErrNotFound) || errors.Is(err, fs.ErrNotExist) {
		return true
	}
	_, isErrno := errors.AsType[syscall.Errno](err)
	_, isPath := errors.AsType[*fs.PathError](err)
	return !isErrno && !isPath
}

// judge turns an error into a finding when it refutes, and returns it else.
func (s *Summary) judge(ctx context.Context, found Found, area, name string, err error) error {
	if !refutes(ctx, err) {
		return err
	}
	s.note(found, Finding{Area: area, Name: name, Problem: fmt.Sprint(err)})
	return nil
}
