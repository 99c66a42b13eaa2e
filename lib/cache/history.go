// SPDX-License-Identifier: Apache-2.0

package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"docksmith/lib/blake"
)

// HistorySchema and StatsSchema name the versions of the documents.
const (
	HistorySchema = "docksmith.history/1"
	StatsSchema   = "docksmith.stats/1"
)

const (
	// maxRuns is how many different keys of a step are remembered: the last,
	// what it was before, and some more for people who go back and forth.
	maxRuns = 4
	// maxOldSteps is how many steps that the last build did not have stay.
	maxOldSteps = 64
	// componentDigits is how much of a component's digest a history keeps.
	componentDigits = 16
)

// Counts are exact among any number of processes.
type Counts struct {
	Builds       int64   `json:"builds"`
	Hits         int64   `json:"hits"`
	Misses       int64   `json:"misses"`
	SavedSeconds float64 `json:"savedSeconds"`
}

// Stats are the counters of all builds that used the cache.
type Stats struct {
	Schema string `json:"schema"`
	Counts
}

// History is what the cache knows of the builds of one image name.
type History struct {
	Schema string `json:"schema"`
	Image  string `json:"image"`
	Counts
	Steps []StepHistory `json:"steps,omitempty"`
}

// StepHistory is one step's recent past.
type StepHistory struct {
	Step string `json:"step"`
	Text string `json:"text,omitempty"`
	Runs []Run  `json:"runs"` // the latest first, no key twice in a row
}

// Run is one outcome of a step. Time is when its key was first seen.
type Run struct {
	Key  string    `json:"key"`
	Hit  bool      `json:"hit"`
	Time time.Time `json:"time"`
	// Components holds the beginning of the digest of each component of the
	// pre-image by name: enough to tell which one changed if the pre-image itself
	// is gone.
	Components map[string]string `json:"components,omitempty"`
}

func (c *Counts) add(d Counts) {
	c.Builds++
	c.Hits += d.Hits
	c.Misses += d.Misses
	c.SavedSeconds = addSeconds(c.SavedSeconds, d.SavedSeconds)
}

// addSeconds adds in whole microseconds, so that the sum does not depend on the
// order, and ignores what is not a duration.
func addSeconds(a, b float64) float64 {
	if !(b > 0) || b > 1e9 {
		b = 0
	}
	return math.Round((a+math.Round(b*1e6)/1e6)*1e6) / 1e6
}

// Stats reads the counters. Before the first build they are zero.
func (c *Cache) Stats() (Stats, error) {
	s := Stats{}
	err := readJSON(c.statsPath(), &s)
	if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, errDamaged) {
		return s, fmt.Errorf("read stats: %w", err)
	}
	if err != nil {
		s = Stats{}
	}
	s.Schema = StatsSchema
	return s, nil
}

// ResetStats sets the counters of all builds to zero.
func (c *Cache) ResetStats() (err error) {
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return c.publishJSON(c.statsPath(), Stats{Schema: StatsSchema})
}

func (c *Cache) statsPath() string { return filepath.Join(c.dir, "stats.json") }

// addStats is called under the lock.
func (c *Cache) addStats(d Counts) error {
	s, err := c.Stats()
	if err != nil {
		return err
	}
	s.add(d)
	return c.publishJSON(c.statsPath(), s)
}

// History returns what is known of an image name; fs.ErrNotExist if nothing is.
func (c *Cache) History(image string) (*History, error) {
	h, err := c.readHistory(image)
	if err == nil && h.Builds == 0 {
		err = fs.ErrNotExist
	}
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", image, err)
	}
	return h, nil
}

// Histories yields the history of every image name. An error is last.
func (c *Cache) Histories() iter.Seq2[*History, error] {
	return func(yield func(*History, error) bool) {
		entries, err := os.ReadDir(filepath.Join(c.dir, histories))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			yield(nil, fmt.Errorf("list histories: %w", err))
			return
		}
		var found []*History
		for _, e := range entries {
			h := &History{}
			path := filepath.Join(c.dir, histories, e.Name())
			if readJSON(path, h) == nil && c.historyPath(h.Image) == path {
				found = append(found, h)
			}
		}
		slices.SortFunc(found, func(a, b *History) int { return strings.Compare(a.Image, b.Image) })
		for _, h := range found {
			if !yield(h, nil) {
				return
			}
		}
	}
}

// historyPath names the file by a hash: image names hold slashes, and case that
// some file systems do not keep.
func (c *Cache) historyPath(image string) string {
	var h blake.Hasher
	h.Write([]byte(image))
	return filepath.Join(c.dir, histories, hex.EncodeToString(h.Sum(nil))+".json")
}

func (c *Cache) readHistory(image string) (*History, error) {
	h := &History{}
	err := readJSON(c.historyPath(image), h)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) || err == nil && h.Image != image {
		h, err = &History{}, nil
	}
	h.Schema, h.Image = HistorySchema, image
	return h, err
}

// note enters one step of a build, and reports whether its key is new to it.
func (h *History) note(n note) bool {
	i := slices.IndexFunc(h.Steps, func(s StepHistory) bool { return s.Step == n.step.ID })
	if i < 0 {
		i = len(h.Steps)
		h.Steps = append(h.Steps, StepHistory{Step: n.step.ID})
	}
	s := &h.Steps[i]
	s.Text = n.step.Text
	if len(s.Runs) > 0 && s.Runs[0].Key == n.run.Key {
		s.Runs[0].Hit = n.run.Hit
		return false
	}
	n.run.Components = map[string]string{}
	for j := range n.pre.Components {
		c := &n.pre.Components[j]
		n.run.Components[c.Name] = c.Digest()[len(keyPrefix):][:componentDigits]
	}
	s.Runs = append([]Run{n.run}, s.Runs[:min(len(s.Runs), maxRuns-1)]...)
	return true
}
