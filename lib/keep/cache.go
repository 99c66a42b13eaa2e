package keep

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/buildlog"
	"docksmith/lib/cache"
	"docksmith/lib/fetched"
	"docksmith/lib/flock"
	"docksmith/lib/store"
)

// cacheItems makes items of the cache's records, mounts and index.
func (inv *Inventory) cacheItems() error {
	c, err := cache.Open(inv.path("cache"))
	if err != nil {
		return err
	}
	var last time.Time
	for e, err := range c.Entries() {
		if err != nil {
			return err
		}
		i := inv.add(&Item{Kind: KindRecord, Name: e.Key, Bytes: e.Bytes, Used: e.Used})
		i.remove = func() (bool, error) { return true, c.Drop(e) }
		if e.Record != nil {
			i.Text = oneLine(e.Record.Text)
			last = later(last, e.Used)
			if e.Record.Layer != nil {
				i.layer = e.Record.Layer.Digest
				i.Refs = []string{"layer " + i.layer.String()}
			}
		}
	}
	inv.indexItem(last)
	return inv.mountItems(c)
}

// recordRefs tells layers which steps gave them: as long as those are of use,
// they are.
func (inv *Inventory) recordRefs(blobs map[digest.Digest]*Item) {
	for _, i := range inv.Items {
		if b := blobs[i.layer]; b != nil {
			b.Refs = append(b.Refs, "step "+i.Text)
			b.Used = later(b.Used, i.Used)
			b.Text = layerText
		}
	}
}

// indexItem is the index of files. Each build uses it.
func (inv *Inventory) indexItem(used time.Time) {
	path := inv.path("cache", "files")
	info, err := os.Lstat(path)
	if err != nil {
		return
	}
	n, _ := store.DiskUsage(path) // of one that goes this moment there is none
	i := inv.add(&Item{Kind: KindIndex, Name: "cache/files", Bytes: n, Used: later(info.ModTime(), used)})
	i.remove = func() (bool, error) {
		lock, err := os.OpenFile(path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
		if err != nil {
			return false, err
		}
		defer lock.Close()
		if free, err := flock.Try(lock, flock.Exclusive); err != nil || !free {
			return false, err
		}
		err = os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err == nil, err
	}
}

func (inv *Inventory) mountItems(c *cache.Cache) error {
	dirs, err := c.MountDirs()
	if err != nil {
		return fmt.Errorf("list cache mounts: %w", err)
	}
	for _, d := range dirs {
		i := inv.add(&Item{Kind: KindMount, Name: fmt.Sprintf("cache/mounts/%s/%d", d.Name, d.Number), Text: d.ID, Used: d.Used})
		stamp := strconv.FormatInt(d.Used.UnixNano(), 10) // one that nobody took since then is as it was
		if d.InUse() {
			i.Held, stamp = "in use by a running step", ""
		}
		if i.Bytes, err = inv.measureOnce(i.Name, stamp, d.Dir); err != nil {
			return err
		}
		i.remove = func() (done bool, err error) {
			err = inv.store.TakeAside(func(take func(string) error) error {
				done, err = c.TakeMountDir(d, take)
				return err
			})
			return done, err
		}
	}
	return nil
}

// otherItems makes items of the logs of builds and of what was fetched.
func (inv *Inventory) otherItems() error {
	logs := buildlog.New(inv.store.Root())
	kept, err := logs.Kept()
	if err != nil {
		return fmt.Errorf("list builds: %w", err)
	}
	for _, l := range kept {
		n, err := inv.measure(l.Path)
		if err != nil {
			return err
		}
		i := inv.add(&Item{Kind: KindLog, Name: l.ID, Bytes: n, Used: l.Used})
		if l.Running {
			i.Held = "of a running build"
		}
		i.remove = func() (bool, error) { return logs.Remove(l.ID) }
	}
	dir := fetched.New(inv.path("cache", "fetched"))
	things, err := dir.List()
	if err != nil {
		return fmt.Errorf("list what was fetched: %w", err)
	}
	for _, t := range things {
		n, err := inv.measure(t.Path)
		if err != nil {
			return err
		}
		i := inv.add(&Item{Kind: KindFetched, Name: filepath.Join("cache/fetched", t.Name), Bytes: n, Used: t.Used})
		if time.Since(t.Used) < fetched.Grace {
			i.Held = "used within the hour: a build may read it"
		}
		i.remove = func() (bool, error) { return dir.Remove(t) }
	}
	return nil
}

// measureOnce is measure for a tree that does not change while the stamp stays;
// "" if it may.
func (inv *Inventory) measureOnce(name, stamp, path string) (int64, error) {
	if k, ok := inv.known[name]; ok && stamp != "" && k.Stamp == stamp {
		inv.sizes[name] = k
		return k.Bytes, nil
	}
	n, err := store.DiskUsage(path)
	if err == nil && stamp != "" {
		inv.sizes[name] = size{stamp, n}
	}
	return n, inv.noteDenied(err)
}

// measure is the disk space of a tree; what may not be looked into is noted.
func (inv *Inventory) measure(path string) (int64, error) {
	n, err := store.DiskUsage(path)
	return n, inv.noteDenied(err)
}

func (inv *Inventory) noteDenied(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		inv.Denied, err = err, nil
	}
	return err
}
