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
	Bytes  int64 // disk space of record, pre-image and aliases
	Used   time.Time

	aliases []string // their files
}

// Entries yields all keys that have a record, a pre-image or an alias, in order. An
// error is last.
func (c *Cache) Entries() iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		all := map[string]*Entry{}
		for _, kind := range []string{records, preimages, aliases} {
			for f, err := range c.shards(kind) {
				if err != nil {
					yield(nil, fmt.Errorf("list cache: %w", err))
					return
				}
				key := keyPrefix + f.digits
				if kind == aliases {
					a, err := readAlias(f.path)
					if err != nil {
						continue // a miss for everybody; Prune removes it
					}
					key = a.of
				}
				e := all[key]
				if e == nil {
					e = &Entry{Key: key}
					all[key] = e
				}
				if kind == aliases {
					e.aliases = append(e.aliases, f.path)
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
		for _, key := range slices.Sorted(maps.Keys(all)) {
			if !yield(all[key], nil) {
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

// Drop forgets a record with its pre-image and aliases, which makes its step a miss.
// What else is known of the step, its history has: which components changed, though
// no longer which files.
func (c *Cache) Drop(e *Entry) error {
	if err := c.Delete(e.Key); err != nil {
		return err
	}
	digits, err := checkKey(e.Key)
	if err != nil {
		return err
	}
	for _, path := range append(e.aliases, c.path(preimages, digits, ""), c.path(preimages, digits, zstdExt)) {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("drop %s: %w", e.Key, err)
		}
	}
	return nil
}
