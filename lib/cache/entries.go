package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"maps"
	"os"
	"slices"
	"syscall"
	"time"
)

// Entry is what the cache has of one key.
type Entry struct {
	Key string
	// Record is what the step gave; nil if there is none, or it is damaged: a
	// pre-image that a history refers to, or one that nothing does.
	Record *Record
	Bytes  int64 // disk space of record and pre-image
	Used   time.Time
}

// Entries yields all keys that have a record or a pre-image, in order. An error
// is last.
func (c *Cache) Entries() iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		all := map[string]*Entry{}
		for _, kind := range []string{records, preimages} {
			for f, err := range c.shards(kind) {
				if err != nil {
					yield(nil, fmt.Errorf("list cache: %w", err))
					return
				}
				e := all[f.digits]
				if e == nil {
					e = &Entry{Key: keyPrefix + f.digits}
					all[f.digits] = e
				}
				e.Bytes += blocks(f.path)
				if f.used.After(e.Used) {
					e.Used = f.used
				}
				if kind == records {
					if r, err := readRecord(f.path, e.Key); err == nil {
						e.Record = r
					}
				}
			}
		}
		for _, digits := range slices.Sorted(maps.Keys(all)) {
			if !yield(all[digits], nil) {
				return
			}
		}
	}
}

// blocks is the disk space of a file; 0 for one that has gone.
func blocks(path string) int64 {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// Drop forgets a record and its pre-image, which makes its step a miss. What
// else is known of the step, its history has: which components changed, though
// no longer which files.
func (c *Cache) Drop(key string) error {
	if err := c.Delete(key); err != nil {
		return err
	}
	digits, err := checkKey(key)
	if err != nil {
		return err
	}
	for _, ext := range []string{"", zstdExt} {
		if err := os.Remove(c.path(preimages, digits, ext)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop %s: %w", key, err)
		}
	}
	return nil
}
