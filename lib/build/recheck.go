package build

import (
	"bufio"
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cache"
	"docksmith/lib/oci"
)

// A hit is to be what a miss would give. Recheck finds out: of the steps that
// hit, some are done again, and what they give is compared with what the cache
// has. The image is that of the cache either way, and so is the record: a command
// that prints the time is not wrong, but nobody should rely on its layer.

// Recheck says which hits are done again.
type Recheck struct {
	// Sample decides about the record of a key.
	Sample func(key string) bool
	// Compare tells in what the plain tar at path differs from a layer of the
	// store; nil is the layer of a step that made none.
	Compare func(ctx context.Context, was *oci.Layer, path string) ([]LayerChange, error)
}

// LayerChange is a path of a layer that is not what it was.
type LayerChange struct {
	Path string `json:"path,omitempty"` // absent: the layer as a whole
	// What is "added", "removed", or the aspects that differ: "content", "mode",
	// "owner", "link", "xattr" and so on.
	What []string `json:"what"`
}

// CheckResult is what doing a step of the cache again came to.
type CheckResult struct {
	// Key is the record's.
	Key  string `json:"key"`
	Same bool   `json:"same"`
	// DiffID is of the layer that the step gives now; empty if it makes none.
	DiffID string `json:"diffID,omitempty"`
	// Changes are in what that differs from the cache's, More how many are left out.
	Changes []LayerChange `json:"changes,omitempty"`
	More    int           `json:"more,omitempty"`
	// Error says why the step could not be done again.
	Error string `json:"error,omitempty"`
}

// checkHit does a step that hit again, if it is in the sample, and tells what
// that gives. done says whether it did.
func (b *builder) checkHit(ctx context.Context, s *stage, w *work, rec *cache.Record) (done bool, err error) {
	if b.o.Recheck == nil || b.o.DryRun || w.quiet || !b.o.Recheck.Sample(rec.Key) {
		return false, nil
	}
	began := time.Now()
	result := CheckResult{Key: rec.Key}
	e := Event{Type: EventCheck, Step: s.step, Total: b.total, Stage: s.name, Line: w.step.Line, File: b.fileName(), Text: stepText(w.step), Check: &result}
	if err := b.makeAgain(ctx, s, w, rec, &e); err != nil {
		if ctx.Err() != nil || errors.Is(err, context.Canceled) { // also when another stage failed
			return true, cmp.Or(ctx.Err(), err)
		}
		result.Error = err.Error()
		if fault, ok := errors.AsType[*StepError](err); ok {
			result.Error = strings.TrimPrefix(fault.Err.Error(), summary(w.step)+": ")
		}
	}
	e.Seconds = time.Since(began).Seconds()
	b.mu.Lock()
	b.result.Checked++
	if !result.Same {
		b.result.Different++
	}
	b.mu.Unlock()
	b.emit(e)
	return true, nil
}

// makeAgain makes the layer of a step once more, into a file, and compares.
func (b *builder) makeAgain(ctx context.Context, s *stage, w *work, rec *cache.Record, e *Event) (err error) {
	end, err := b.enter(ctx, w)
	if err != nil {
		return err
	}
	defer end()
	m := &maker{b: b, s: s, again: true}
	if m.temp, err = b.o.Store.TempDir("check"); err != nil {
		return err
	}
	defer func() {
		m.closeView()
		err = errors.Join(err, m.temp.Close())
	}()
	tar, err := newTarFile(filepath.Join(m.temp.Path(), "layer.tar"))
	if err != nil {
		return err
	}
	defer tar.Abort()
	m.tar = tar
	err = w.make(ctx, m)
	e.Log, e.PeakMemory = m.log, m.peakMemory
	if err != nil {
		return err
	}
	now, err := tar.Commit()
	if err != nil {
		return err
	}
	if !m.empty {
		e.Check.DiffID = now.DiffID.String()
	}
	if e.Check.Same = sameLayer(rec.Layer, e.Check.DiffID); e.Check.Same {
		return nil
	}
	changes, err := b.o.Recheck.Compare(ctx, rec.Layer, tar.f.Name())
	if len(changes) > shownChanges {
		changes, e.Check.More = changes[:shownChanges], len(changes)-shownChanges
	}
	e.Check.Changes = changes
	return err
}

func sameLayer(was *oci.Layer, now string) bool {
	if was == nil {
		return now == ""
	}
	return was.DiffID.String() == now
}

// tarFile is a LayerWriter whose layer is in no store.
type tarFile struct {
	f   *os.File
	w   *bufio.Writer
	sum hash.Hash
	n   int64
}

func newTarFile(path string) (*tarFile, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, err
	}
	t := &tarFile{f: f, sum: sha256.New()}
	t.w = bufio.NewWriterSize(io.MultiWriter(f, t.sum), 256<<10)
	return t, nil
}

func (t *tarFile) Write(p []byte) (int, error) {
	n, err := t.w.Write(p)
	t.n += int64(n)
	return n, err
}

// Commit gives the diff ID. The file stays open for nobody, and where it is.
func (t *tarFile) Commit() (oci.Layer, error) {
	if err := t.w.Flush(); err != nil {
		return oci.Layer{}, fmt.Errorf("write layer: %w", err)
	}
	d := digest.NewDigest(digest.SHA256, t.sum)
	return oci.Layer{Descriptor: oci.Descriptor{Digest: d, Size: t.n}, DiffID: d}, nil
}

// Abort closes the file; it goes with its directory.
func (t *tarFile) Abort() { t.f.Close() }
