package buildlog

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// slack is how many builds above the limit may gather before they are counted
// exactly: looking at each costs more than a cached build may.
const slack = 20

// sweptFile was touched when ages were last looked at.
const sweptFile = ".swept"

const sweepEvery = 24 * time.Hour

// Tidy removes old builds if it is time to: when more than MaxBuilds and some
// have gathered, or once a day. It costs one reading of a directory otherwise.
// It is for the end of a build.
func (d *Dir) Tidy() error {
	names, err := d.names()
	if err != nil || len(names) == 0 {
		return err
	}
	if len(names) <= MaxBuilds+slack && !d.due() {
		return nil
	}
	_, err = d.Prune(false)
	return err
}

// due reports whether ages were not looked at for a day.
func (d *Dir) due() bool {
	info, err := os.Lstat(filepath.Join(d.path, sweptFile))
	return err != nil || time.Since(info.ModTime()).Abs() > sweepEvery
}

// names lists the entries that may be builds, in no order.
func (d *Dir) names() ([]string, error) {
	f, err := os.Open(d.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	all, err := f.Readdirnames(-1)
	return slices.DeleteFunc(all, func(name string) bool { return !isID(name) }), err
}

func isID(name string) bool {
	return len(name) == 2*idBytes && strings.Trim(name, "0123456789abcdef") == ""
}

// Prune removes the builds beyond MaxBuilds and those older than MaxAge. Builds
// that run stay, and so do those that ran a step whose output a build that
// stays refers to. It returns the ids of what it removed, or would remove.
func (d *Dir) Prune(dryRun bool) (removed []string, err error) {
	if _, err := os.Lstat(d.path); errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	list, err := d.aged()
	if err != nil {
		return nil, err
	}
	keep := map[string]bool{}
	n := 0
	for _, b := range list {
		if b.cut || n == MaxBuilds || time.Since(b.touched) >= MaxAge {
			continue
		}
		n++
		keep[b.id] = true
		d.keepReferred(b.id, keep)
	}
	for _, b := range list {
		if keep[b.id] || d.runs(b) {
			continue
		}
		removed = append(removed, b.id)
		if !dryRun {
			err = errors.Join(err, os.RemoveAll(filepath.Join(d.path, b.id)))
		}
	}
	if !dryRun {
		err = errors.Join(err, d.touchSwept())
	}
	return removed, err
}

func (d *Dir) touchSwept() error {
	path := filepath.Join(d.path, sweptFile)
	now := time.Now()
	err := os.Chtimes(path, now, now)
	if errors.Is(err, fs.ErrNotExist) {
		return os.WriteFile(path, nil, 0o600)
	}
	return err
}

// aged is a build with the time of its last sign of life.
type aged struct {
	id      string
	touched time.Time
	cut     bool // without a record: being made, or half removed
}

// aged lists the builds, the last first.
func (d *Dir) aged() ([]aged, error) {
	names, err := d.names()
	if err != nil {
		return nil, err
	}
	var list []aged
	for _, id := range names {
		b := aged{id: id}
		info, err := os.Lstat(filepath.Join(d.path, id, recordFile))
		if err != nil {
			b.cut = true
			if info, err = os.Lstat(filepath.Join(d.path, id)); err != nil {
				continue // removed meanwhile
			}
		}
		b.touched = info.ModTime()
		list = append(list, b)
	}
	slices.SortFunc(list, func(a, b aged) int {
		if c := b.touched.Compare(a.touched); c != 0 {
			return c
		}
		return strings.Compare(a.id, b.id)
	})
	return list, nil
}

// keepReferred keeps the builds whose output the record of id refers to. It
// looks for references alone: decoding a hundred records takes longer.
func (d *Dir) keepReferred(id string, keep map[string]bool) {
	raw, err := os.ReadFile(filepath.Join(d.path, id, recordFile))
	if err != nil {
		return // who cannot be read refers to nothing
	}
	mark := []byte(`"log":"`)
	for {
		_, rest, found := bytes.Cut(raw, mark)
		if !found {
			return
		}
		if raw = rest; len(rest) > 2*idBytes && isID(string(rest[:2*idBytes])) {
			keep[string(rest[:2*idBytes])] = true
		}
	}
}

// young is how long a directory may be without a record.
const young = time.Hour

// runs reports whether the build is not over.
func (d *Dir) runs(b aged) bool {
	if b.cut {
		return time.Since(b.touched) < young
	}
	f, err := os.Open(filepath.Join(d.path, b.id, recordFile))
	if err != nil {
		return false
	}
	defer f.Close()
	free, err := tryLock(f, syscall.LOCK_SH)
	return err == nil && !free
}
