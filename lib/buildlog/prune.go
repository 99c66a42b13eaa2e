package buildlog

import (
	"bytes"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"docksmith/lib/flock"
)

// MaxBuilds and MaxAge are how many builds stay, and how long.
const (
	MaxBuilds = 100
	MaxAge    = 30 * 24 * time.Hour
)

// sweptFile was touched when ages were last looked at.
const sweptFile = ".swept"

const sweepEvery = 24 * time.Hour

// Tidy removes old builds if it is time to: after one build of sixteen, by its
// id, and once a day. A cached build takes less time than to list all of them.
// It is for the end of the build.
func (l *Log) Tidy() error {
	if l.id[0] != '0' && !l.dir.due() {
		return nil
	}
	_, err := l.dir.Prune(false)
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
	var recent []string
	for _, b := range list {
		if !b.cut && len(recent) < MaxBuilds && time.Since(b.touched) < MaxAge {
			recent = append(recent, b.id)
		}
	}
	referred := d.referredBy(recent)
	for _, b := range list {
		if slices.Contains(recent, b.id) || d.runs(b) || d.references(b.id)[b.id] && referred(b.id) {
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

// referredBy tells whether one of the builds refers to the output of another. It
// reads no more of their records than it takes: mostly, that of the first.
func (d *Dir) referredBy(ids []string) func(id string) bool {
	found := map[string]bool{}
	return func(id string) bool {
		for !found[id] && len(ids) > 0 {
			maps.Copy(found, d.references(ids[0]))
			ids = ids[1:]
		}
		return found[id]
	}
}

// references are the builds whose output the record of id refers to; one that
// ran a command refers to itself. It looks for references alone: decoding takes
// longer.
func (d *Dir) references(id string) map[string]bool {
	found := map[string]bool{}
	raw, err := os.ReadFile(filepath.Join(d.path, id, recordFile))
	if err != nil {
		return found // who cannot be read refers to nothing
	}
	for part := range bytes.SplitSeq(raw, []byte(`"log":"`)) {
		if len(part) > 2*idBytes && isID(string(part[:2*idBytes])) {
			found[string(part[:2*idBytes])] = true
		}
	}
	return found
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
	free, err := flock.Try(f, flock.Shared)
	return err == nil && !free
}
