package keep

import (
	"cmp"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"docksmith/lib/container"
	"docksmith/lib/store"
)

// What users made themselves stays, whatever the limits are: it is listed so
// that they see where the space went, and who is on a snapshot.

// ownItems makes items of containers and volumes. Those of failed commands of a
// build are with them, but can go.
func (inv *Inventory) ownItems() error {
	names, err := inv.containerNames()
	if err != nil {
		return err
	}
	err = inv.eachBelow("containers", func(name string, info fs.FileInfo) error {
		if store.IsFailed(filepath.Base(name)) {
			inv.add(&Item{Kind: KindFailed, Name: name, Used: info.ModTime()})
			return nil
		}
		inv.add(&Item{Kind: KindContainer, Name: name, Text: names[inv.path(name)], Held: "a container"})
		return nil
	})
	if err != nil {
		return err
	}
	err = inv.eachBelow("volumes", func(name string, _ fs.FileInfo) error {
		inv.add(&Item{Kind: KindVolume, Name: name, Text: filepath.Base(name), Held: "a volume"})
		return nil
	})
	if err != nil {
		return err
	}
	for _, i := range inv.Items {
		if i.Kind == KindContainer || i.Kind == KindFailed || i.Kind == KindVolume {
			if i.Bytes, err = inv.measure(inv.path(i.Name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachBelow calls f with the paths of what is in a directory below the root.
func (inv *Inventory) eachBelow(dir string, f func(name string, info fs.FileInfo) error) error {
	list, err := os.ReadDir(inv.path(dir))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	for _, e := range list {
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = f(filepath.Join(dir, e.Name()), info)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// containerNames are what people call the containers, by their bundles.
func (inv *Inventory) containerNames() (map[string]string, error) {
	names := map[string]string{}
	list, err := container.Open(inv.path("run")).List()
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, s := range list {
		names[s.Bundle] = cmp.Or(s.Name, s.ID[:min(12, len(s.ID))])
	}
	return names, nil
}
