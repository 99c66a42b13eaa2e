package cache

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"golang.org/x/sys/unix"
)

// StatsSchema names the version of the counters' document.
const StatsSchema = "docksmith.stats/1"

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
	// Images are those of the image names that have a history, in the order of
	// names. The sum also has builds without a name, and of names forgotten since.
	Images []ImageCounts `json:"images,omitempty"`
}

// ImageCounts are the counters of one image name.
type ImageCounts struct {
	Image string `json:"image"`
	Counts
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

// Stats reads the sum. Before the first build they are zero.
func (c *Cache) Stats() (s Stats, err error) {
	unlock, err := c.lock()
	if err != nil {
		return s, fmt.Errorf("read stats: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	s.Schema = StatsSchema
	s.Counts, err = readCounts(c.statsPath())
	if err != nil {
		err = fmt.Errorf("read stats: %w", err)
	}
	return s, err
}

func (c *Cache) statsPath() string { return filepath.Join(c.dir, "stats.json") }

// countsSize is the length of a file of counters: one line, filled up with
// spaces. The line is written in place, unlike all else in the cache: every build writes
// it, and a rename over an existing file makes some file systems write its
// content to the disk at once, which costs more than a cached build. One write
// of one line of a page is done or not done when the process is killed; readers
// take the lock.
const countsSize = 256

// readCounts is called under the lock. What is not there or damaged is zero.
func readCounts(path string) (Counts, error) {
	s := Stats{}
	err := readJSON(path, &s)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged) {
		return Counts{}, nil
	}
	return s.Counts, err
}

// writeCounts is called under the lock.
func writeCounts(path string, n Counts) (err error) {
	line, err := encodeJSON(Stats{Schema: StatsSchema, Counts: n})
	if err != nil {
		return err
	}
	line = append(bytes.TrimSuffix(line, []byte("\n")), bytes.Repeat([]byte(" "), countsSize)...)
	line = append(line[:countsSize-1], '\n')
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	if _, err := f.WriteAt(line, 0); err != nil {
		return err
	}
	// Rubbish that was longer would make it unreadable for ever.
	if end, err := f.Seek(0, io.SeekEnd); err != nil || end == countsSize {
		return err
	}
	return f.Truncate(countsSize)
}

// addCounts is called under the lock.
func addCounts(path string, d Counts) (Counts, error) {
	n, err := readCounts(path)
	if err != nil {
		return n, err
	}
	n.add(d)
	return n, writeCounts(path, n)
}
