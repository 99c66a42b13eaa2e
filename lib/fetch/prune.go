package fetch

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// DefaultUnused is for how long something fetched stays that nobody asks for.
const DefaultUnused = 30 * 24 * time.Hour

// graceTime is for how long what was used stays in any case: the build that
// fetched it may still read it.
const graceTime = time.Hour

// PruneOptions of Prune.
type PruneOptions struct {
	// Unused removes what was not used for that long; less than an hour also
	// takes what builds that are under way may want.
	Unused time.Duration
	// MaxBytes removes what was not used for longest, until the rest is no more;
	// 0 is no limit.
	MaxBytes int64
	// DryRun removes nothing.
	DryRun bool
}

// Pruned is a file or a mirror that was removed.
type Pruned struct {
	// Name is its path below the directory.
	Name  string
	Bytes int64

	path string
	used time.Time
	git  bool
}

// Prune removes what was not used for long, and what else is left of it. It may
// run beside builds: what one of them uses at this moment stays.
func (k *Kept) Prune(o PruneOptions) ([]Pruned, error) {
	list, err := k.list()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Pruned) int {
		return cmp.Or(a.used.Compare(b.used), strings.Compare(a.Name, b.Name))
	})
	var total int64
	for _, p := range list {
		total += p.Bytes
	}
	var removed []Pruned
	for _, p := range list {
		age := time.Since(p.used)
		tooMuch := o.MaxBytes > 0 && total > o.MaxBytes
		if age < o.Unused && !tooMuch || age < min(graceTime, o.Unused) {
			continue
		}
		if ok, err := k.remove(p, o.DryRun); err != nil {
			return removed, err
		} else if ok {
			total -= p.Bytes
			removed = append(removed, p)
		}
	}
	if o.DryRun {
		return removed, nil
	}
	sweep(filepath.Join(k.dir, "tmp"))
	return removed, k.pruneURLs()
}

// list finds all files and mirrors.
func (k *Kept) list() (list []Pruned, err error) {
	for _, pattern := range []string{"sha256/??/*", "git/*"} {
		names, err := filepath.Glob(filepath.Join(k.dir, pattern))
		if err != nil {
			return nil, err
		}
		for _, name := range names {
			st, err := os.Lstat(name)
			if err != nil {
				continue // removed meanwhile
			}
			p := Pruned{path: name, used: st.ModTime(), Bytes: st.Size(), git: st.IsDir()}
			if p.Name, err = filepath.Rel(k.dir, name); err != nil {
				return nil, err
			}
			stamp := k.stamp(filepath.Base(name))
			if p.git {
				stamp, p.Bytes = filepath.Join(name, "lock"), sizeOf(name)
			}
			if st, err := os.Lstat(stamp); err == nil && (p.git || st.ModTime().After(p.used)) {
				p.used = st.ModTime()
			}
			list = append(list, p)
		}
	}
	return list, nil
}

// stamp is the file whose time says when a file was last used. The file's own
// does not: the index of files knows its hash by that.
func (k *Kept) stamp(digits string) string { return filepath.Join(k.dir, "used", digits) }

// use notes that a kept file is used. A cache that cannot be written is only
// pruned sooner.
func (k *Kept) use(digest string) {
	name := k.stamp(strings.TrimPrefix(digest, "sha256:"))
	touch(name)
	if _, err := os.Lstat(name); errors.Is(err, fs.ErrNotExist) {
		if f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600); err == nil {
			f.Close()
		} else if os.MkdirAll(filepath.Dir(name), 0o700) == nil {
			_ = os.WriteFile(name, nil, 0o600)
		}
	}
}

func touch(name string) {
	now := time.Now()
	_ = os.Chtimes(name, now, now)
}

// remove removes one; false if it is in use.
func (k *Kept) remove(p Pruned, dry bool) (bool, error) {
	if dry {
		return true, nil
	}
	if !p.git {
		err := os.Remove(p.path)
		_ = os.Remove(k.stamp(filepath.Base(p.path)))
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err == nil, err
	}
	held, err := tryLock(p.path, "lock")
	if held == nil || err != nil {
		return false, err
	}
	defer held.Close()
	// The lock last: without it another could begin to fill the mirror.
	if err := os.RemoveAll(filepath.Join(p.path, "repo")); err != nil {
		return false, err
	}
	return true, os.RemoveAll(p.path)
}

// pruneURLs forgets what URLs gave that is not there any more.
func (k *Kept) pruneURLs() error {
	dir := filepath.Join(k.dir, "urls")
	locks, err := filepath.Glob(filepath.Join(dir, "*.lock"))
	if err != nil {
		return err
	}
	for _, name := range locks {
		record := strings.TrimSuffix(name, ".lock") + ".json"
		if k.recorded(record).Digest != "" {
			continue
		}
		held, err := tryLock(dir, filepath.Base(name))
		if err != nil {
			return err
		}
		if held == nil {
			continue // just being fetched
		}
		_ = os.Remove(record) // or there is none
		err = os.Remove(name)
		held.Close()
		if err != nil {
			return err
		}
	}
	return nil
}
