package cache

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"docksmith/lib/flock"
	"docksmith/lib/oci"

	"golang.org/x/sys/unix"
)

// maxDocument bounds every JSON file of the cache that is read.
const maxDocument = 8 << 20

var errDamaged = errors.New("damaged")

// openPlain opens a regular file, and only that: no link, nothing that blocks.
func openPlain(path string) (*os.File, int64, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
	if err != nil {
		if errors.Is(err, unix.ELOOP) {
			err = fmt.Errorf("%s: %w", path, errDamaged)
		}
		return nil, 0, err
	}
	st, err := f.Stat()
	if err == nil && !st.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errDamaged)
	}
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, st.Size(), nil
}

// document is a JSON file that says what it is.
type document interface{ schema() (got, want string) }

func (r *Record) schema() (got, want string)  { return r.Schema, RecordSchema }
func (h *History) schema() (got, want string) { return h.Schema, HistorySchema }
func (s *Stats) schema() (got, want string)   { return s.Schema, StatsSchema }

// readJSON reads one document. What is not one of its kind is errDamaged.
func readJSON(path string, v document) error {
	data, err := readPlain(path, maxDocument)
	if err != nil {
		return err
	}
	if err := decodeJSON(data, v); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// readPlain reads a regular file. One of more than limit bytes, or that is cut while
// it is read, is errDamaged.
func readPlain(path string, limit int64) ([]byte, error) {
	f, size, err := openPlain(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if size > limit {
		return nil, fmt.Errorf("%s: %w", path, errDamaged)
	}
	data := make([]byte, size)
	if _, err := io.ReadFull(f, data); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", path, errDamaged, err)
	}
	return data, nil
}

func decodeJSON(data []byte, v document) error {
	if checkSum(data) == sumWrong {
		return errDamaged
	}
	if err := json.Unmarshal(data, v); err != nil {
		return errDamaged
	}
	if got, want := v.schema(); got != want {
		return errDamaged
	}
	return nil
}

// encodeJSON writes one compact line, with its sum.
func encodeJSON(v any) ([]byte, error) {
	line, err := oci.Marshal(v)
	if err != nil {
		return nil, err
	}
	return append(addSum(line), '\n'), nil
}

// tmpName is where files are written before they get their name.
const tmpName = "tmp"

// publish makes a file appear whole: written under a temporary name on the same
// file system, then renamed. Nothing is synced: after a power loss a damaged
// file is a miss.
func (c *Cache) publish(path string, write func(w io.Writer) error) (err error) {
	f, err := c.temp()
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			f.Close()
			os.Remove(f.Name())
		}
	}()
	if err := write(f); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	err = os.Rename(f.Name(), path)
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		err = os.Rename(f.Name(), path)
	}
	return err
}

func (c *Cache) temp() (*os.File, error) {
	dir := filepath.Join(c.dir, tmpName)
	f, err := os.CreateTemp(dir, "")
	if errors.Is(err, os.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return nil, err
		}
		f, err = os.CreateTemp(dir, "")
	}
	return f, err
}

func (c *Cache) publishJSON(path string, v any) error {
	data, err := encodeJSON(v)
	if err != nil {
		return err
	}
	return c.publish(path, func(w io.Writer) error { _, err := w.Write(data); return err })
}

// lock excludes other processes from the counters and the history until the
// returned function is called.
func (c *Cache) lock() (unlock func() error, err error) {
	f, err := os.OpenFile(filepath.Join(c.dir, "lock"), os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock.Lock(f, flock.Exclusive); err != nil {
		f.Close()
		return nil, &os.PathError{Op: "lock", Path: f.Name(), Err: err}
	}
	return f.Close, nil
}

// path of the file that belongs to a key's digits: sharded, so that no
// directory grows with the cache.
func (c *Cache) path(kind, digits, ext string) string {
	return filepath.Join(c.dir, kind, digits[:2], digits+ext)
}

// digitsOf is the inverse of path: the digits in a file's name.
func digitsOf(name string) (string, bool) {
	digits, _, _ := strings.Cut(name, ".")
	_, err := checkKey(keyPrefix + digits)
	return digits, err == nil
}
