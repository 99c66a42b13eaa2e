package keep

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"docksmith/lib/store"
)

// measureAreas adds up the areas: their items, and what else is there.
func (inv *Inventory) measureAreas() error {
	items := map[string]int64{}
	for _, i := range inv.Items {
		items[i.Area()] += i.Bytes
	}
	for _, a := range areas {
		out := Area{Area: a.name, Capped: a.capped}
		switch a.name {
		case "snapshots", "volumes":
			out.Bytes = items[a.name] + blocksOf(inv.path(a.name))
		case "containers":
			n, err := inv.measure(inv.path("run"))
			if err != nil {
				return err
			}
			out.Bytes = items[a.name] + blocksOf(inv.path(a.name)) + n
		case "failed":
			out.Bytes = items[a.name]
		case "mounts":
			n, err := inv.aroundMounts()
			if err != nil {
				return err
			}
			out.Bytes = items[a.name] + n
		default:
			for _, dir := range a.dirs {
				n, err := inv.measureBut(inv.path(dir), a.but)
				if err != nil {
					return err
				}
				out.Bytes += n
			}
		}
		out.Items = inv.count(a.name)
		inv.Areas = append(inv.Areas, out)
	}
	return nil
}

// aroundMounts is what the directories and locks take that mounts are kept by, and
// what is being made of mounts or left of them.
func (inv *Inventory) aroundMounts() (int64, error) {
	names, err := os.ReadDir(inv.path("cache", "mounts"))
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	sum := blocksOf(inv.path("cache", "mounts"))
	for _, n := range names {
		dir := inv.path("cache", "mounts", n.Name())
		sum += blocksOf(dir)
		inside, err := os.ReadDir(dir)
		if err != nil {
			continue // removed meanwhile
		}
		for _, e := range inside {
			if _, err := strconv.Atoi(e.Name()); err == nil && e.IsDir() {
				continue // an item
			}
			n, err := inv.measure(filepath.Join(dir, e.Name()))
			if err != nil {
				return 0, err
			}
			sum += n
		}
	}
	return sum, nil
}

// measureBut is measure without the subtrees but, which are paths below the root.
func (inv *Inventory) measureBut(dir string, but []string) (int64, error) {
	if len(but) == 0 {
		return inv.measure(dir)
	}
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	sum := blocksOf(dir)
next:
	for _, n := range names {
		path := filepath.Join(dir, n.Name())
		for _, b := range but {
			if path == inv.path(b) {
				continue next
			}
		}
		part, err := inv.measure(path)
		if err != nil {
			return 0, err
		}
		sum += part
	}
	return sum, nil
}

// count is how many things people see in an area.
func (inv *Inventory) count(area string) (n int) {
	if area == "tmp" || area == "state" {
		names, _ := os.ReadDir(inv.path(area)) // one that is not there has none
		return len(names)
	}
	for _, i := range inv.Items {
		if i.Area() == area && i.Kind != KindImage {
			n++
		}
	}
	return n
}

// blocksOf is the disk space of one file or directory itself.
func blocksOf(path string) int64 {
	info, err := os.Lstat(path)
	if err != nil {
		return 0
	}
	return store.Allocated(info)
}
