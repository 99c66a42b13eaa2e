package cache

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Verified is what Verify looked at.
type Verified struct {
	Files int
	Bytes int64
}

// Verify reads all records, pre-images, histories and counters, and tells found
// what is not as it was written, by the file's path in the cache. It takes the
// cache's lock while it reads what is written in place. What other programs keep
// in the cache, such as cache mounts, it does not look at.
func (c *Cache) Verify(ctx context.Context, found func(path, problem string)) (Verified, error) {
	v := &verifier{c: c, found: found}
	err := errors.Join(
		v.walk(ctx, records, v.record),
		v.walk(ctx, preimages, v.preimage),
		v.walk(ctx, prefixes, v.prefix),
		v.walk(ctx, aliases, v.alias),
		v.counted(ctx),
	)
	if err != nil {
		err = fmt.Errorf("verify cache: %w", err)
	}
	return v.done, err
}

type verifier struct {
	c     *Cache
	found func(path, problem string)
	done  Verified
}

// walk calls look with every file below a directory: its path in the cache, and
// its size. A file that is gone meanwhile was removed by somebody.
func (v *verifier) walk(ctx context.Context, dir string, look func(name string, size int64) error) error {
	err := filepath.WalkDir(filepath.Join(v.c.dir, dir), func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return ignoreGone(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		name, err := filepath.Rel(v.c.dir, path)
		if err != nil {
			return err
		}
		info, err := e.Info()
		if err != nil {
			return ignoreGone(err)
		}
		if !info.Mode().IsRegular() {
			v.found(name, "is a "+info.Mode().Type().String())
			return nil
		}
		v.done.Files++
		v.done.Bytes += info.Size()
		return ignoreGone(look(name, info.Size()))
	})
	return ignoreGone(err)
}

func ignoreGone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// document reads a JSON document; how it ends after its last bracket is end's affair.
func (v *verifier) document(name string, doc document, end func(rest []byte) bool) error {
	f, size, err := openPlain(filepath.Join(v.c.dir, name))
	if err != nil {
		return err
	}
	defer f.Close()
	if size > maxDocument {
		v.found(name, fmt.Sprintf("has %d bytes", size))
		return nil
	}
	data, err := io.ReadAll(f)
	if err != nil {
		return err
	}
	last := bytes.LastIndexByte(data, '}') + 1
	switch state := checkSum(data); {
	case state == sumMissing:
		v.found(name, "has no sum at its end")
	case state == sumWrong:
		v.found(name, "does not have its sum")
	case !end(data[last:]):
		v.found(name, "has something behind its document")
	case decodeJSON(data, doc) != nil:
		v.found(name, "is not a document of this kind")
	}
	return nil
}

func isNewline(rest []byte) bool { return string(rest) == "\n" }

// placed gives the digits in the name of a file of a kind, which may end in one of
// exts, and tells of a file that has no business at its place.
func (v *verifier) placed(name, kind string, exts ...string) (digits string, ok bool) {
	if digits, ok = digitsOf(filepath.Base(name)); ok {
		path := filepath.Join(v.c.dir, name)
		ok = slices.ContainsFunc(exts, func(ext string) bool { return v.c.path(kind, digits, ext) == path })
	}
	if !ok {
		v.found(name, "does not belong here")
	}
	return digits, ok
}

func (v *verifier) record(name string, _ int64) error {
	r := &Record{}
	if err := v.document(name, r, isNewline); err != nil {
		return err
	}
	if digits, ok := v.placed(name, records, ".json"); ok && r.Key != "" && r.Key != keyPrefix+digits {
		v.found(name, fmt.Sprintf("is the record of %q", r.Key))
	}
	return nil
}

func (v *verifier) alias(name string, _ int64) error {
	a, err := readAlias(filepath.Join(v.c.dir, name))
	if errors.Is(err, errDamaged) {
		v.found(name, "is no alias, or damaged")
		return nil
	}
	if err != nil {
		return err
	}
	if digits, ok := v.placed(name, aliases, ""); ok && a.key != keyPrefix+digits {
		v.found(name, fmt.Sprintf("is the alias %q", a.key))
	}
	return nil
}

func (v *verifier) preimage(name string, _ int64) error {
	digits, ok := v.placed(name, preimages, "", zstdExt)
	if !ok {
		return nil
	}
	_, err := v.c.preimage(digits, keyPrefix+digits)
	var system *os.PathError
	if errors.As(err, &system) {
		return err
	}
	if err != nil {
		v.found(name, err.Error())
	}
	return nil
}

func (v *verifier) prefix(name string, size int64) error {
	if _, ok := v.placed(name, prefixes, ""); ok && size > 0 {
		v.found(name, "is not empty")
	}
	return nil
}

// counted looks at the histories and counters.
func (v *verifier) counted(ctx context.Context) (err error) {
	unlock, err := v.c.lock()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	filled := func(rest []byte) bool {
		return bytes.HasSuffix(rest, []byte("\n")) && len(bytes.Trim(rest[:len(rest)-1], " ")) == 0
	}
	counts := func(name string, size int64) error {
		if size != countsSize {
			v.found(name, fmt.Sprintf("has %d bytes, not %d", size, countsSize))
			return nil
		}
		return v.document(name, &Stats{}, filled)
	}
	err = v.walk(ctx, histories, func(name string, size int64) error {
		if strings.HasSuffix(name, countsExt) {
			return counts(name, size)
		}
		h := &History{}
		if err := v.document(name, h, isNewline); err != nil {
			return err
		}
		if h.Schema != "" && v.c.historyPath(h.Image, historyExt) != filepath.Join(v.c.dir, name) {
			v.found(name, fmt.Sprintf("is the history of %q", h.Image))
		}
		return nil
	})
	if err != nil {
		return err
	}
	return v.walk(ctx, "stats.json", counts)
}
