package buildlog

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// Kept is the log of one build as it stands on the disk.
type Kept struct {
	ID      string
	Path    string
	Used    time.Time // its last sign of life
	Running bool
}

// Kept lists all logs, the last first, without reading them.
func (d *Dir) Kept() ([]Kept, error) {
	list, err := d.aged()
	var kept []Kept
	for _, b := range list {
		kept = append(kept, Kept{b.id, filepath.Join(d.path, b.id), b.touched, d.runs(b)})
	}
	return kept, err
}

// Remove removes the log of a build, whoever refers to it; false if the build
// is not over.
func (d *Dir) Remove(id string) (bool, error) {
	info, err := os.Lstat(filepath.Join(d.path, id))
	if errors.Is(err, fs.ErrNotExist) || !isID(id) {
		return err != nil, nil
	}
	if err != nil {
		return false, err
	}
	_, cut := os.Lstat(filepath.Join(d.path, id, recordFile))
	if d.runs(aged{id: id, touched: info.ModTime(), cut: cut != nil}) {
		return false, nil
	}
	return true, os.RemoveAll(filepath.Join(d.path, id))
}
