package main

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/compare"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// checkFlag is --check, which is two things: alone it asks for the checks of the
// Dockerfile, as docker's does; with a percentage, for a build that does so many
// of the steps that it has in the cache again.
type checkFlag struct{ o *options }

func (c checkFlag) String() string { return "" }

// Type makes the help and the completions show a switch.
func (c checkFlag) Type() string { return "bool" }

func (c checkFlag) Set(value string) error {
	if number, ok := strings.CutSuffix(value, "%"); ok {
		share, err := strconv.ParseFloat(number, 64)
		if err != nil || !(share >= 0 && share <= 100) {
			return fmt.Errorf("want a percentage from 0%% to 100%%")
		}
		c.o.recheck, c.o.rechecks = share/100, true
		return nil
	}
	lint, err := strconv.ParseBool(value)
	if err != nil {
		return fmt.Errorf("want nothing, or a percentage such as 5%%")
	}
	c.o.check = lint
	return nil
}

// rechecker does the part of build.Recheck that the engine cannot.
type rechecker struct {
	store *store.Store
	share float64
	seed  string
}

func newRechecker(o *options, st *store.Store) *rechecker {
	r := &rechecker{store: st, share: o.recheck, seed: os.Getenv("DOCKSMITH_CHECK_SEED")}
	if r.seed == "" {
		var random [4]byte
		_, _ = rand.Read(random[:]) // never fails
		r.seed = hex.EncodeToString(random[:])
	}
	return r
}

// options are for the engine; nil where nothing is checked.
func (r *rechecker) options() *build.Recheck {
	if r == nil {
		return nil
	}
	return &build.Recheck{Sample: r.sample, Compare: r.compare}
}

// sample takes the share of all keys. The same ones, with the same seed.
func (r *rechecker) sample(key string) bool {
	sum := sha256.Sum256([]byte(r.seed + "\n" + key))
	return float64(binary.BigEndian.Uint64(sum[:])>>11)/(1<<53) < r.share
}

func (r *rechecker) compare(ctx context.Context, was *oci.Layer, path string) ([]build.LayerChange, error) {
	now := compare.Source{Open: func() (io.ReadCloser, error) { return os.Open(path) }}
	before := compare.Source{Open: func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(emptyTar)), nil }}
	if was != nil {
		before = compare.StoredLayer(r.store, *was)
		before.DiffID = "" // the files differ, that is known
	}
	var list []build.LayerChange
	for d, err := range compare.Layers(ctx, before, now) {
		if err != nil {
			return list, err
		}
		list = append(list, layerChange(d))
	}
	return list, nil
}

// emptyTar is the end of an archive alone.
var emptyTar = strings.Repeat("\x00", 1024)

func layerChange(d compare.Difference) build.LayerChange {
	c := build.LayerChange{Path: d.Path}
	switch d.Change {
	case compare.Added:
		c.What = []string{"added"}
	case compare.Deleted:
		c.What = []string{"removed"}
	default:
		for _, aspect := range d.What {
			c.What = append(c.What, string(aspect))
		}
	}
	return c
}

// checkedLines is what a check found, beginning with the place, so that editors
// can jump there; of one that found nothing one line in words of its own.
func checkedLines(e build.Event) []string {
	c := e.Check
	step := cli.Printable(strings.Join(strings.Fields(e.Text), " "))
	switch {
	case c.Same:
		return []string{fmt.Sprintf(" ---> done again in %.2fs: the same layer", e.Seconds)}
	case c.Error != "":
		return []string{fmt.Sprintf("%s:%d: check: done again, %s fails: %s", e.File, e.Line, step, cli.Printable(c.Error))}
	}
	lines := []string{fmt.Sprintf("%s:%d: check: done again, %s gives another layer than the cache has", e.File, e.Line, step)}
	for _, change := range c.Changes {
		path := change.Path
		if path == "" {
			path = "the layer"
		}
		lines = append(lines, fmt.Sprintf("  %s: %s", cli.Printable(path), strings.Join(change.What, ", ")))
	}
	if c.More > 0 {
		lines = append(lines, fmt.Sprintf("  and %d more", c.More))
	}
	return lines
}

// checked tells, at the end of a build that succeeded, what the checks came to.
func (j *journal) checked(r *build.Result) error {
	if j.recheck == nil {
		return nil
	}
	switch j.show.(type) {
	case *silence:
	case *records: // the last one has said it
		if r.Different > 0 {
			return cli.ExitStatus(1)
		}
	default:
		fmt.Fprintf(j.s.Stderr, "Checked %d of %d hits, seed %s: %d differ\n", r.Checked, r.Hits, j.recheck.seed, r.Different)
	}
	if r.Different == 0 {
		return nil
	}
	err := fmt.Errorf("%d of %d steps that were done again did not give what the cache has", r.Different, r.Checked)
	return cli.WithHint(err, "the image is that of the cache, and the records stay: ds-build --no-cache makes them anew, ds-cache rm KEY forgets one")
}
