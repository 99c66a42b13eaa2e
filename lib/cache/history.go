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
	Schema string `json:"schema"`
	Image  string `json:"image"`
	// Steps are those of the last build, in its order, and then others.
	Steps []StepHistory `json:"steps,omitempty"`
	Last  int           `json:"last"` // how many the last build had

	// Counts are of this image's builds. They have a file of their own.
	Counts `json:"-"`
}

// StepHistory is one step's recent past.
type StepHistory struct {
	Step   string `json:"step"`
	Number int    `json:"number,omitempty"`
	Text   string `json:"text,omitempty"`
	Runs   []Run  `json:"runs"` // the latest first, no key twice in a row
}

// Run is one outcome of a step. Time is when its key was first seen.
type Run struct {
	Key  string    `json:"key"`
	Hit  bool      `json:"hit"`
	Time time.Time `json:"time"`
	// Reason says why the last build that had this key missed; "" if it hit.
	Reason string `json:"reason,omitempty"`
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
		images, err := c.imageNames()
		if err != nil {
			yield(nil, fmt.Errorf("list histories: %w", err))
			return
		}
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

// imageNames lists the names that have a history.
func (c *Cache) imageNames() ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(c.dir, histories))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
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
	return images, nil
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
	h.Steps = slices.DeleteFunc(h.Steps, func(s StepHistory) bool { return len(s.Runs) == 0 })
	h.Last = max(min(h.Last, len(h.Steps)), 0)
	return h, err
}

// enter puts the steps of a build first, in its order, each with its past, and
// forgets the last of those it did not have. It reports whether anything
// changed, and which notes have a key that their step did not have before.
func (h *History) enter(expected []Step, notes []note) (changed bool, fresh []note) {
	steps := slices.Clone(expected)
	for _, n := range notes {
		steps = append(steps, n.step)
	}
	match := matchSteps(h.Steps, steps)
	taken := make([]bool, len(h.Steps))
	var list []StepHistory
	for _, n := range notes {
		s := StepHistory{}
		if i, ok := match[n.step.ID]; ok && !taken[i] {
			s, taken[i] = h.Steps[i], true
			changed = changed || i != len(list)
		} else {
			changed = true
		}
		told, newKey := s.note(n)
		changed = changed || told
		if newKey && n.pre != nil {
			fresh = append(fresh, n)
		}
		list = append(list, s)
	}
	last := len(list)
	for i, s := range h.Steps {
		if !taken[i] {
			list = append(list, s)
		}
	}
	list = list[:min(len(list), last+maxOldSteps)]
	changed = changed || h.Last != last || len(h.Steps) != len(list)
	h.Steps, h.Last = list, last
	return changed, fresh
}

// note enters what one build found. It reports whether anything changed, and
// whether the step's key did.
func (s *StepHistory) note(n note) (changed, newKey bool) {
	changed = s.Step != n.step.ID || s.Text != n.step.Text || s.Number != n.step.Number
	s.Step, s.Text, s.Number = n.step.ID, n.step.Text, n.step.Number
	if len(s.Runs) > 0 && s.Runs[0].Key == n.run.Key {
		changed = changed || s.Runs[0].Hit != n.run.Hit || s.Runs[0].Reason != n.run.Reason
		s.Runs[0].Hit, s.Runs[0].Reason = n.run.Hit, n.run.Reason
		return changed, false
	}
	if n.pre != nil {
		n.run.Components = n.pre.digests()
	}
	s.Runs = append([]Run{n.run}, s.Runs[:min(len(s.Runs), maxRuns-1)]...)
	return true, true
}
