package store

import (
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
	"docksmith/lib/suggest"
)

// Entry is a line of List.
type Entry struct {
	Name       string         // NAME:TAG, "" for an image without a name
	Descriptor oci.Descriptor // of the manifest, or of an index
	Created    time.Time      // when it was made or came in
	Size       int64          // bytes of the blobs it refers to
	Blobs      int            // how many those are
	Err        error          // what kept it from being read, nil if nothing
}

// List yields the store's images, sorted by name.
func (s *Store) List() ([]Entry, error) {
	idx, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	sizes := map[digest.Digest]Entry{}
	list := make([]Entry, 0, len(idx.Manifests))
	for _, d := range idx.Manifests {
		e, ok := sizes[d.Digest]
		if !ok {
			e = s.measure(d)
			sizes[d.Digest] = e
		}
		e.Name, e.Descriptor = entryName(d), d
		list = append(list, e)
	}
	slices.SortStableFunc(list, func(a, b Entry) int { return strings.Compare(nameKey(a.Name), nameKey(b.Name)) })
	return list, nil
}

// NamesOf lists the names of the image with a digest.
func (s *Store) NamesOf(d digest.Digest) ([]string, error) {
	idx, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	var names []string
	for _, e := range idx.Manifests {
		if name := entryName(e); e.Digest == d && name != "" {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { return strings.Compare(nameKey(a), nameKey(b)) })
	return names, nil
}

// nameKey sorts "a:v1" before "a-b:v1".
func nameKey(name string) string { return strings.ReplaceAll(name, ":", "\x00") }

func (s *Store) measure(d oci.Descriptor) Entry {
	blobs := map[digest.Digest]oci.Descriptor{}
	e := Entry{Err: s.closure(d, blobs)}
	for _, b := range blobs {
		e.Size += b.Size
	}
	e.Blobs = len(blobs)
	e.Created = s.created(d)
	return e
}

// created is when an image was made or came in, as far as that is known: by our
// entry or, for one that another tool wrote, by its config or its file.
func (s *Store) created(d oci.Descriptor) time.Time {
	if t, ok := entryCreated(d); ok {
		return t
	}
	if t := s.madeAt(d); !t.IsZero() {
		return t
	}
	if st, err := os.Lstat(s.BlobPath(d.Digest)); err == nil {
		return st.ModTime()
	}
	return time.Time{}
}

// nearest picks names like the one asked for: the same name with another tag
// first, then those a typing slip away.
func nearest(ref string, idx *index) []string {
	r, err := oci.ParseRef(ref)
	if err != nil {
		return nil
	}
	type scored struct {
		name  string
		score int
	}
	var found []scored
	for _, d := range idx.Manifests {
		n, err := oci.ParseRef(entryName(d))
		if err != nil {
			continue
		}
		score := suggest.Distance(r.Name, n.Name)
		// Of a name of one letter nothing is left when that is another.
		similar := score <= 1+len(r.Name)/4 && score < len(r.Name)
		if similar || strings.HasSuffix(n.Name, "/"+r.Name) {
			found = append(found, scored{n.String(), score})
		}
	}
	slices.SortStableFunc(found, func(a, b scored) int { return a.score - b.score })
	var names []string
	for _, f := range found[:min(3, len(found))] {
		names = append(names, f.name)
	}
	return names
}
