package keep

import (
	"encoding/json"
	"os"
	"path/filepath"

	"docksmith/lib/flock"
)

// Measuring a snapshot or a mount takes a look at each of its files. What came of
// it is remembered in state/sizes.json, which may be removed at any time.

type size struct {
	Stamp string `json:"stamp"` // says whether it is still what was measured
	Bytes int64  `json:"bytes"`
}

// sizes are by the digits of chain IDs, and the names of mounts.
type sizes map[string]size

const sizesFile = "sizes.json"

func readSizes(dir string) sizes {
	known := sizes{}
	raw, err := os.ReadFile(filepath.Join(dir, sizesFile))
	if err != nil || json.Unmarshal(raw, &known) != nil {
		return sizes{}
	}
	return known
}

// save is not told when it fails: then the next look measures again. Of several
// that want to save at once one does.
func (s sizes) save(dir string) {
	path := filepath.Join(dir, sizesFile)
	f, err := os.OpenFile(path+".new", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if ours, err := flock.Try(f, flock.Exclusive); err != nil || !ours {
		return
	}
	if ours, err := flock.Named(f); err != nil || !ours {
		return // another has just put this one in its place
	}
	raw, err := json.Marshal(s)
	if err != nil || f.Truncate(0) != nil {
		return
	}
	if _, err := f.Write(raw); err == nil {
		_ = os.Rename(path+".new", path)
	}
}
