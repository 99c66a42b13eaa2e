package cache

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/klauspost/compress/zstd"
)

// Cache is a directory of records. Any number of processes may use one at the
// same time; methods may be called concurrently.
type Cache struct {
	dir string
}

// Open makes the directory, mode 0700, if it is not there. Nothing is read, and
// there is nothing to close.
func Open(dir string) (*Cache, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open cache: %w", err)
	}
	return &Cache{dir: dir}, nil
}

const (
	records   = "records"
	preimages = "preimages"
	prefixes  = "prefixes"
	aliases   = "aliases"
	histories = "history"
)

// Lookup finds the record of a key: one small file read. A record that is
// missing, damaged or of another schema is a miss. Whether its layer is still in
// the store is the caller's question.
func (c *Cache) Lookup(key string) (*Record, bool, error) {
	digits, err := checkKey(key)
	if err != nil {
		return nil, false, err
	}
	path := c.path(records, digits, ".json")
	r, err := readRecord(path, key)
	switch {
	case errors.Is(err, fs.ErrNotExist) || errors.Is(err, errDamaged):
		return nil, false, nil
	case err != nil:
		return nil, false, fmt.Errorf("look up %s: %w", key, err)
	}
	return r, true, nil
}

func readRecord(path, key string) (*Record, error) {
	r := &Record{}
	if err := readJSON(path, r); err != nil {
		return nil, err
	}
	if r.Key != key {
		return nil, fmt.Errorf("%s: %w: it is the record of %q", path, errDamaged, r.Key)
	}
	return r, nil
}

// useGrain is how exactly the last use of a record is known. Finer would cost
// cached builds a write for every step.
const useGrain = time.Hour

// Touch notes that the record of a key was used, for those who remove what is
// used least. It writes at most once an hour.
func (c *Cache) Touch(key string) error {
	digits, err := checkKey(key)
	if err != nil {
		return err
	}
	path := c.path(records, digits, ".json")
	st, err := os.Lstat(path)
	if err != nil || time.Since(st.ModTime()).Abs() < useGrain {
		return err
	}
	now := time.Now()
	return os.Chtimes(path, now, now)
}

// Seen reports whether any record has this pre-image but for its files: the
// same parent, instruction and so on, whatever the files are. It costs one
// stat. False means that no key made by adding files to p can be found, so a
// COPY may read its sources once, to the layer and to the hash together, and
// compute its key afterwards; true means that hashing first may save the copy.
// Both answers are hints: a key decides, and a wrong hint costs time only.
// Whether p's own list of files is there makes no difference.
func (c *Cache) Seen(p *Preimage) bool {
	digits, err := checkKey(p.prefix())
	if err != nil {
		return true
	}
	_, err = os.Lstat(c.path(prefixes, digits, ""))
	return err == nil
}

// Put keeps a record and the pre-image it belongs to; Schema, Key and Prefix are
// filled in. The record appears whole or not at all, after its pre-image. The
// record of an equal key is replaced.
func (c *Cache) Put(p *Preimage, r Record) error {
	r.Schema, r.Key = RecordSchema, p.Key()
	if p.hasFiles() {
		r.Prefix = p.prefix()
	}
	if err := c.put(p, r); err != nil {
		return fmt.Errorf("put record %s: %w", r.Key, err)
	}
	return nil
}

func (c *Cache) put(p *Preimage, r Record) error {
	if err := c.savePreimage(p, r.Key); err != nil {
		return err
	}
	if r.Prefix != "" {
		digits, err := checkKey(r.Prefix)
		if err != nil {
			return err
		}
		path := c.path(prefixes, digits, "")
		if _, err := os.Lstat(path); err != nil {
			if err := c.publish(path, func(io.Writer) error { return nil }); err != nil {
				return err
			}
		}
	}
	digits, err := checkKey(r.Key)
	if err != nil {
		return err
	}
	return c.publishJSON(c.path(records, digits, ".json"), r)
}

// Delete forgets a record; a key without one is no error. The pre-image stays
// for those who ask what a later build changed, until Prune.
func (c *Cache) Delete(key string) error {
	digits, err := checkKey(key)
	if err != nil {
		return err
	}
	err = os.Remove(c.path(records, digits, ".json"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("delete record %s: %w", key, err)
	}
	return nil
}

// compressFrom is the size from which a pre-image is compressed: below, a file
// takes one block anyway.
const compressFrom = 4096

const zstdExt = ".zst"

// savePreimage keeps the pre-image of a key, unless it is there.
func (c *Cache) savePreimage(p *Preimage, key string) error {
	digits, err := checkKey(key)
	if err != nil {
		return err
	}
	if _, _, err := c.findPreimage(digits); err == nil {
		return nil
	}
	if p.size() < compressFrom {
		return c.publish(c.path(preimages, digits, ""), func(w io.Writer) error {
			_, err := p.WriteTo(w)
			return err
		})
	}
	return c.publish(c.path(preimages, digits, zstdExt), func(w io.Writer) error {
		z, err := zstd.NewWriter(w, zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithEncoderConcurrency(1),
			zstd.WithWindowSize(1<<20), zstd.WithLowerEncoderMem(true))
		if err != nil {
			return err
		}
		_, err = p.WriteTo(z)
		return errors.Join(err, z.Close())
	})
}

func (c *Cache) findPreimage(digits string) (path string, compressed bool, err error) {
	path = c.path(preimages, digits, "")
	if _, err := os.Lstat(path); err == nil {
		return path, false, nil
	}
	path += zstdExt
	_, err = os.Lstat(path)
	return path, true, err
}

// Preimage reads what a key stands for, checked against the key. It is
// fs.ErrNotExist if it was not kept.
func (c *Cache) Preimage(key string) (*Preimage, error) {
	digits, err := checkKey(key)
	if err != nil {
		return nil, err
	}
	p, err := c.preimage(digits, key)
	if err != nil {
		return nil, fmt.Errorf("read pre-image of %s: %w", key, err)
	}
	return p, nil
}

func (c *Cache) preimage(digits, key string) (*Preimage, error) {
	path, compressed, err := c.findPreimage(digits)
	if err != nil {
		return nil, err
	}
	f, _, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if !compressed {
		return readPreimage(f, key)
	}
	z, err := zstd.NewReader(f, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(8<<20), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	return readPreimage(z, key)
}
