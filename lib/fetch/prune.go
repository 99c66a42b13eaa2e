package fetch

import (
	"cmp"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"docksmith/lib/fetched"
)

// DefaultUnused is for how long something fetched stays that nobody asks for.
const DefaultUnused = 30 * 24 * time.Hour

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

	thing fetched.Thing
}

// Prune removes what was not used for long, and what else is left of it. It may
// run beside builds: what one of them uses at this moment stays.
func (k *Kept) Prune(o PruneOptions) ([]Pruned, error) {
	list, err := k.list()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(list, func(a, b Pruned) int {
		return cmp.Or(a.thing.Used.Compare(b.thing.Used), strings.Compare(a.Name, b.Name))
	})
	var total int64
	for _, p := range list {
		total += p.Bytes
	}
	var removed []Pruned
	for _, p := range list {
		age := time.Since(p.thing.Used)
		tooMuch := o.MaxBytes > 0 && total > o.MaxBytes
		if age < o.Unused && !tooMuch || age < min(fetched.Grace, o.Unused) {
			continue
		}
		ok := o.DryRun
		if !ok {
			if ok, err = k.kept().Remove(p.thing); err != nil {
				return removed, err
			}
		}
		if ok {
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

func (k *Kept) kept() fetched.Dir { return fetched.New(k.dir) }

// list finds all files and mirrors.
func (k *Kept) list() (list []Pruned, err error) {
	things, err := k.kept().List()
	for _, t := range things {
		list = append(list, Pruned{Name: t.Name, Bytes: sizeOf(t.Path), thing: t})
	}
	return list, err
}

// use notes that a kept file is used.
func (k *Kept) use(digest string) { k.kept().Use(strings.TrimPrefix(digest, "sha256:")) }

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
		held, err := fetched.TryLock(dir, filepath.Base(name))
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
