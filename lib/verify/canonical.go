package verify

import (
	"crypto/sha256"
	"hash"
	"io"
	"path"

	"docksmith/lib/layer"
)

// canonical writes the entries of a layer again, to compare the bytes.
type canonical struct {
	hash     hash.Hash
	tar      *layer.Writer
	last     string // the path before
	removes  bool   // it was removed
	ordered  bool   // so far
	disorder string // the first path out of order
}

func newCanonical() *canonical {
	c := &canonical{hash: sha256.New(), ordered: true}
	c.tar = layer.NewWriter(c.hash)
	return c
}

// again writes an entry as we do, and looks whether it is at its place.
func (w *walk) again(e *layer.Entry, content io.Reader) error {
	c := w.canonical
	removes := e.Type == layer.TypeWhiteout || e.Type == layer.TypeOpaque
	// Of one directory, what is removed comes before what is there.
	siblings := c.last != "" && c.last != "." && path.Dir(c.last) == path.Dir(e.Path)
	inOrder := w.entries == 1 || layer.ComparePaths(c.last, e.Path) <= 0
	if siblings && c.removes != removes {
		inOrder = c.removes
	} else if c.removes && !removes {
		inOrder = true // it begins what stands beside or below the removed
	}
	if !inOrder && c.ordered {
		c.ordered, c.disorder = false, e.Path
	}
	c.last, c.removes = e.Path, removes
	if err := c.tar.WriteHeader(e); err != nil {
		return err
	}
	if e.Type != layer.TypeFile {
		return nil
	}
	_, err := c.tar.ReadFrom(content)
	return err
}

// sameForm compares the bytes when all was read.
func (w *walk) sameForm() error {
	c := w.canonical
	if !c.ordered {
		w.add("%q is not in our order", c.disorder)
	}
	if err := c.tar.Close(); err != nil {
		return err
	}
	if string(c.hash.Sum(nil)) != string(w.hash.Sum(nil)) {
		w.add("its headers are not as we write them of the same entries")
	}
	return nil
}
