package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// maxImages is how many names have a history and counters of their own: whoever
// gives every build another tag must not fill the disk with them.
const maxImages = 2000

// StatsByImage is Stats with the counters of each name. With reset all of them
// are zero afterwards: what is returned and what comes to be counted later add up
// to what was counted.
func (c *Cache) StatsByImage(reset bool) (s Stats, err error) {
	images, err := c.imageNames() // without the lock: builds need not wait for it
	if err != nil {
		return s, fmt.Errorf("read stats: %w", err)
	}
	unlock, err := c.lock()
	if err != nil {
		return s, fmt.Errorf("read stats: %w", err)
	}
	defer func() { err = errors.Join(err, unlock()) }()
	s.Schema = StatsSchema
	if s.Counts, err = takeCounts(c.statsPath(), reset); err != nil {
		return s, fmt.Errorf("read stats: %w", err)
	}
	for _, image := range images {
		n, err := takeCounts(c.historyPath(image, countsExt), reset)
		if err != nil {
			return s, fmt.Errorf("read stats of %s: %w", image, err)
		}
		s.Images = append(s.Images, ImageCounts{image, n})
	}
	return s, nil
}

// ResetImage sets the counters of one name to zero and returns what they were.
// Those of all builds stay.
func (c *Cache) ResetImage(image string) (n Counts, err error) {
	unlock, err := c.lock()
	if err != nil {
		return n, err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	return takeCounts(c.historyPath(image, countsExt), true)
}

// takeCounts is called under the lock.
func takeCounts(path string, reset bool) (Counts, error) {
	n, err := readCounts(path)
	if err == nil && reset && n != (Counts{}) {
		err = writeCounts(path, Counts{})
	}
	return n, err
}

// forgetImages removes histories, those of the names that were not built for
// longest, until no more than keep are left. It is called under the lock.
func (c *Cache) forgetImages(keep int) error {
	dir := filepath.Join(c.dir, histories)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	type name struct {
		file  string
		built time.Time
	}
	var names []name
	for _, e := range entries {
		if !strings.HasSuffix(e.Name(), historyExt) || strings.HasSuffix(e.Name(), countsExt) {
			continue
		}
		n := name{file: strings.TrimSuffix(e.Name(), historyExt)}
		// The counters are written by every build.
		if st, err := os.Lstat(filepath.Join(dir, n.file+countsExt)); err == nil {
			n.built = st.ModTime()
		}
		names = append(names, n)
	}
	if len(names) <= keep {
		return nil
	}
	slices.SortFunc(names, func(a, b name) int { return a.built.Compare(b.built) })
	for _, n := range names[:len(names)-keep] {
		for _, ext := range []string{historyExt, countsExt} {
			if err := os.Remove(filepath.Join(dir, n.file+ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}
