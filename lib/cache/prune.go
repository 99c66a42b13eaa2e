package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"
)

// Records yields every readable record, in the order of keys. An error is last.
func (c *Cache) Records() iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for f, err := range c.shards(records) {
			if err != nil {
				yield(nil, fmt.Errorf("list records: %w", err))
				return
			}
			r, err := readRecord(f.path, keyPrefix+f.digits)
			if err != nil {
				continue // a miss for everybody; Prune removes it
			}
			r.Used = f.used
			if !yield(r, nil) {
				return
			}
		}
	}
}

// LayerRefs returns the digests of the blobs that records speak of: what a
// collection of garbage keeps, if the cache is to stay of use.
func (c *Cache) LayerRefs() ([]digest.Digest, error) {
	var refs []digest.Digest
	seen := map[digest.Digest]bool{}
	for r, err := range c.Records() {
		if err != nil {
			return nil, err
		}
		if r.Layer != nil && !seen[r.Layer.Digest] {
			seen[r.Layer.Digest] = true
			refs = append(refs, r.Layer.Digest)
		}
	}
	return refs, nil
}

// minAbbreviation is the fewest digits that may stand for a key.
const minAbbreviation = 6

// Expand completes a key of which the hash's first digits are given, with or
// without its "blake3:". A key that is complete is returned as it is; of the
// others there must be exactly one record or pre-image.
func (c *Cache) Expand(text string) (string, error) {
	if _, err := checkKey(text); err == nil {
		return text, nil
	}
	digits := strings.TrimPrefix(text, keyPrefix)
	if len(digits) < minAbbreviation || len(digits) > 64 || strings.Trim(digits, "0123456789abcdef") != "" {
		return "", fmt.Errorf("key %q: want %s and %d to 64 hexadecimal digits", text, keyPrefix, minAbbreviation)
	}
	found := map[string]bool{}
	for _, kind := range []string{records, preimages} {
		entries, err := os.ReadDir(filepath.Join(c.dir, kind, digits[:2]))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("key %q: %w", text, err)
		}
		for _, e := range entries {
			if d, ok := digitsOf(e.Name()); ok && strings.HasPrefix(d, digits) {
				found[keyPrefix+d] = true
			}
		}
	}
	if len(found) > 1 {
		return "", fmt.Errorf("key %q: %d keys begin so", text, len(found))
	}
	for key := range found {
		return key, nil
	}
	return "", fmt.Errorf("key %q: %w", text, fs.ErrNotExist)
}

// shardFile is a file below a sharded directory.
type shardFile struct {
	path, digits string
	used         time.Time
}

// shards yields the files of a kind, in order. Strangers are passed over.
func (c *Cache) shards(kind string) iter.Seq2[shardFile, error] {
	return func(yield func(shardFile, error) bool) {
		root := filepath.Join(c.dir, kind)
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err != nil {
				if errors.Is(err, fs.ErrNotExist) {
					return nil
				}
				return err
			}
			digits, ok := digitsOf(d.Name())
			if d.IsDir() || !ok || filepath.Base(filepath.Dir(path)) != digits[:2] {
				return nil
			}
			info, err := d.Info()
			if err != nil {
				return nil // removed meanwhile
			}
			if !yield(shardFile{path, digits, info.ModTime()}, nil) {
				return fs.SkipAll
			}
			return nil
		})
		if err != nil {
			yield(shardFile{}, err)
		}
	}
}

// grace is how long a file may be without the record that will refer to it: Put
// writes the record last.
const grace = time.Hour

// PruneOptions of Prune.
type PruneOptions struct {
	// Keep decides about each record. Nil keeps all.
	Keep func(*Record) bool
	// DryRun removes nothing.
	DryRun bool
}

// Prune removes the records that are not to be kept and the damaged ones, then
// what no record and no history refers to. It returns the records removed; it
// may run beside builds, whose records then are kept or missed, never halved.
func (c *Cache) Prune(o PruneOptions) (removed []*Record, err error) {
	keep := map[string]bool{}
	for f, err := range c.shards(records) {
		if err != nil {
			return removed, fmt.Errorf("prune cache: %w", err)
		}
		r, err := readRecord(f.path, keyPrefix+f.digits)
		if err == nil && (o.Keep == nil || o.Keep(r)) {
			keep[r.Key] = true
			keep[r.Prefix] = true
			continue
		}
		if err != nil {
			r = &Record{Schema: RecordSchema, Key: keyPrefix + f.digits}
		}
		removed = append(removed, r)
		if err := o.remove(f.path); err != nil {
			return removed, fmt.Errorf("prune cache: %w", err)
		}
	}
	if err := c.sweepAliases(o, keep); err != nil {
		return removed, fmt.Errorf("prune cache: %w", err)
	}
	for h, err := range c.Histories() {
		if err != nil {
			return removed, err
		}
		for _, s := range h.Steps {
			for _, run := range s.Runs {
				keep[run.Key] = true
			}
		}
	}
	if err := c.sweep(o, keep); err != nil {
		return removed, fmt.Errorf("prune cache: %w", err)
	}
	return removed, nil
}

// sweepAliases removes those of other records than the ones that stay.
func (c *Cache) sweepAliases(o PruneOptions, stay map[string]bool) error {
	for f, err := range c.shards(aliases) {
		if err != nil {
			return err
		}
		if a, err := readAlias(f.path); err == nil && stay[a.of] {
			continue
		}
		if err := o.remove(f.path); err != nil {
			return err
		}
	}
	return nil
}

// sweep removes files that nothing refers to and that are not being written.
func (c *Cache) sweep(o PruneOptions, keep map[string]bool) error {
	old := time.Now().Add(-grace)
	for _, kind := range []string{preimages, prefixes} {
		for f, err := range c.shards(kind) {
			if err != nil {
				return err
			}
			if keep[keyPrefix+f.digits] || f.used.After(old) {
				continue
			}
			if err := o.remove(f.path); err != nil {
				return err
			}
		}
	}
	dir := filepath.Join(c.dir, tmpName)
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil || info.ModTime().After(old) {
			continue
		}
		if err := o.remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return nil
}

func (o PruneOptions) remove(path string) error {
	if o.DryRun {
		return nil
	}
	err := os.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}
