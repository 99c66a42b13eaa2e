package cache

import (
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/zeebo/blake3"
)

// HistorySchema names the version of the history's document.
const HistorySchema = "docksmith.history/1"

const (
	// maxRuns is how many different keys of a step are remembered: the last,
	// what it was before, and some more for people who go back and forth.
	maxRuns = 4
	// maxOldSteps is how many steps that the last build did not have stay.
	maxOldSteps = 64
	// componentDigits is how much of a component's digest a history keeps.
	componentDigits = 16
)

// History is what the cache knows of the builds of one image name.
type History struct {
	Schema string        `json:"schema"`
	Image  string        `json:"image"`
	Steps  []StepHistory `json:"steps,omitempty"`

	// Counts are of this image's builds. They have a file of their own.
	Counts `json:"-"`
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

// History returns what is known of an image name; fs.ErrNotExist if nothing is.
func (c *Cache) History(image string) (_ *History, err error) {
	unlock, err := c.lock()
	if err != nil {
		return nil, fmt.Errorf("history of %s: %w", image, err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	h, err := c.readHistory(image)
	if err == nil && h.Schema == "" {
		err = fs.ErrNotExist
	}
	if err == nil {
		h.Counts, err = readCounts(c.historyPath(image, countsExt))
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
		var images []string
		for _, e := range entries {
			h := &History{}
			path := filepath.Join(c.dir, histories, e.Name())
			if readJSON(path, h) == nil && c.historyPath(h.Image, historyExt) == path {
				images = append(images, h.Image)
			}
		}
		slices.Sort(images)
		for _, image := range images {
			h, err := c.History(image)
			if errors.Is(err, fs.ErrNotExist) {
				continue // removed meanwhile
			}
			if !yield(h, err) || err != nil {
				return
			}
		}
	}
}

const (
	historyExt = ".json"
	countsExt  = ".counts.json"
)

// historyPath names the file by a hash: image names hold slashes, and case that
// some file systems do not keep.
func (c *Cache) historyPath(image, ext string) string {
	sum := blake3.Sum256([]byte(image))
	return filepath.Join(c.dir, histories, hex.EncodeToString(sum[:])+ext)
}

// readHistory returns an empty history, without a schema, if there is none.
func (c *Cache) readHistory(image string) (*History, error) {
	h := &History{}
	err := readJSON(c.historyPath(image, historyExt), h)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) || err == nil && h.Image != image {
		return &History{Image: image}, nil
	}
	return h, err
}

// note enters one step of a build. It reports whether anything changed, and
// whether the step's key did.
func (h *History) note(n note) (changed, newKey bool) {
	i := slices.IndexFunc(h.Steps, func(s StepHistory) bool { return s.Step == n.step.ID })
	if i < 0 {
		i = len(h.Steps)
		h.Steps = append(h.Steps, StepHistory{Step: n.step.ID})
	}
	s := &h.Steps[i]
	changed = s.Text != n.step.Text
	s.Text = n.step.Text
	if len(s.Runs) > 0 && s.Runs[0].Key == n.run.Key {
		changed = changed || s.Runs[0].Hit != n.run.Hit
		s.Runs[0].Hit = n.run.Hit
		return changed, false
	}
	n.run.Components = map[string]string{}
	for j := range n.pre.Components {
		c := &n.pre.Components[j]
		n.run.Components[c.Name] = c.Digest()[len(keyPrefix):][:componentDigits]
	}
	s.Runs = append([]Run{n.run}, s.Runs[:min(len(s.Runs), maxRuns-1)]...)
	return true, true
}

// arrange puts the steps of this build first, in its order, and forgets the
// last of those it did not have. It reports whether anything changed. Steps that
// are first already stay in their order: that of parallel stages changes from
// build to build, and is not worth a write.
func (h *History) arrange(notes []note) (changed bool) {
	order := map[string]int{}
	for _, n := range notes {
		if _, ok := order[n.step.ID]; !ok {
			order[n.step.ID] = len(order)
		}
	}
	place := func(s StepHistory) int {
		if i, ok := order[s.Step]; ok {
			return i
		}
		return len(order)
	}
	if slices.ContainsFunc(h.Steps[:min(len(h.Steps), len(order))], func(s StepHistory) bool { return place(s) == len(order) }) {
		slices.SortStableFunc(h.Steps, func(a, b StepHistory) int { return place(a) - place(b) })
		changed = true
	}
	if limit := len(order) + maxOldSteps; len(h.Steps) > limit {
		h.Steps = h.Steps[:limit]
		changed = true
	}
	return changed
}
