package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

// maxIndex bounds index.json: some hundred thousand names.
const maxIndex = 128 << 20

// index is index.json as it was read: one entry per name, and one without a
// name for an image that was published without. Entries that other tools wrote
// are kept as they are.
type index struct {
	oci.Index
	stamp os.FileInfo // to tell whether the file is still the one read
}

// entryName is the name an index entry gives its image, "" for none. Other
// tools set only the first annotation, sometimes to a bare tag.
func entryName(d oci.Descriptor) string {
	if n := d.Annotations[oci.AnnotationImageName]; n != "" {
		return n
	}
	return d.Annotations[oci.AnnotationRefName]
}

// hasName reports whether an entry is the one of name, NAME:TAG: other tools leave
// the default tag out.
func hasName(d oci.Descriptor, name string) bool {
	n := entryName(d)
	if n == name || n == "" {
		return n == name
	}
	r, err := oci.ParseRef(n)
	return err == nil && nameOf(r) == name
}

// nameOf is NAME:TAG of a reference.
func nameOf(r oci.Ref) string {
	r.Digest = ""
	if r.Tag == "" {
		r.Tag = oci.DefaultTag
	}
	return r.String()
}

// readIndex returns the current index; it parses the file only when it changed.
// The result is shared: callers do not write to it.
func (s *Store) readIndex() (*index, error) {
	f, err := os.Open(s.path(fileIndex))
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	s.mu.Lock()
	cached := s.cached
	s.mu.Unlock()
	if cached != nil && os.SameFile(cached.stamp, st) && cached.stamp.ModTime().Equal(st.ModTime()) && cached.stamp.Size() == st.Size() {
		return cached, nil
	}
	if st.Size() > maxIndex {
		return nil, fmt.Errorf("read names: %s is longer than %d bytes", f.Name(), maxIndex)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxIndex))
	if err != nil {
		return nil, fmt.Errorf("read names: %w", err)
	}
	idx := &index{stamp: st}
	if err := json.Unmarshal(raw, &idx.Index); err != nil {
		return nil, fmt.Errorf("read names: %s: %w", f.Name(), err)
	}
	for _, d := range idx.Manifests {
		if err := oci.ValidDescriptor(d); err != nil {
			return nil, fmt.Errorf("read names: %s: %w", f.Name(), err)
		}
	}
	s.mu.Lock()
	s.cached = idx
	s.mu.Unlock()
	return idx, nil
}

// changeIndex replaces index.json by what change makes of its entries, when it
// says that it changed them. What was written before is durable by the time the
// new names are visible. The caller has gc.lock, shared or exclusively.
func (s *Store) changeIndex(ctx context.Context, change func([]oci.Descriptor) ([]oci.Descriptor, bool, error)) error {
	lock, err := flock.Open(ctx, s.path(fileIndexLock), flock.Exclusive)
	if err != nil {
		return err
	}
	defer lock.Close()
	old, err := s.readIndex()
	if err != nil {
		return err
	}
	entries, changed, err := change(slices.Clone(old.Manifests))
	if err != nil || !changed {
		return err
	}
	sort.SliceStable(entries, func(i, j int) bool {
		a, b := entryName(entries[i]), entryName(entries[j])
		if a != b {
			return a < b
		}
		return entries[i].Digest < entries[j].Digest
	})
	next := old.Index
	next.SchemaVersion, next.MediaType, next.Manifests = 2, oci.MediaTypeIndex, entries
	raw, err := oci.Marshal(next)
	if err != nil {
		return err
	}
	if err := s.replaceIndex(raw); err != nil {
		return err
	}
	return s.renewNameFiles(old.Manifests, entries)
}

func (s *Store) replaceIndex(raw []byte) (err error) {
	f, err := os.CreateTemp(s.path(dirTemp), "index-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			os.Remove(f.Name())
		}
	}()
	defer f.Close()
	if _, err := f.Write(raw); err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	if err := f.Chmod(0o644); err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	notes, err := s.syncWritten(f)
	if err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	if err := os.Rename(f.Name(), s.path(fileIndex)); err != nil {
		return fmt.Errorf("write names: %w", err)
	}
	for _, n := range notes {
		os.Remove(n) // one that stays is only dropped needlessly after a power loss
	}
	return nil
}

// Tag publishes the image desc under names, or without one: then it is listed
// by its digest, until a collection. A name that another image had moves. All
// names appear at once, after one sync of what was written before; when every
// name is as wished already, nothing is written.
func (s *Store) Tag(ctx context.Context, desc oci.Descriptor, names ...oci.Ref) error {
	for _, n := range names {
		if n.Tag == "" {
			return fmt.Errorf("tag %s: a name has a tag and no digest", n)
		}
	}
	// When the image was made, as far as a document of ours does not say: its
	// own "created" is not a wall time, so that two builds agree.
	return s.tagAt(ctx, time.Now(), taggings(desc, names)...)
}

// tagging is one image and one name for it, or none.
type tagging struct {
	desc oci.Descriptor
	name string
	at   time.Time // when the image was made; zero: now
}

func taggings(desc oci.Descriptor, names []oci.Ref) []tagging {
	if len(names) == 0 {
		return []tagging{{desc: desc}}
	}
	var out []tagging
	for _, n := range names {
		out = append(out, tagging{desc: desc, name: nameOf(n)})
	}
	return out
}

func (s *Store) tagAt(ctx context.Context, now time.Time, list ...tagging) error {
	idx, err := s.readIndex()
	if err != nil {
		return err
	}
	if _, changed := tagEntries(idx.Manifests, now, list); !changed {
		return nil
	}
	if err := s.shared.lock(ctx); err != nil {
		return err
	}
	defer s.shared.unlock()
	for _, t := range list {
		if err := s.complete(t.desc); err != nil {
			return fmt.Errorf("tag %s: %w", t.name, err)
		}
	}
	return s.changeIndex(ctx, func(entries []oci.Descriptor) ([]oci.Descriptor, bool, error) {
		entries, changed := tagEntries(entries, now, list)
		return entries, changed, nil
	})
}

// complete refuses to publish an image of which a blob is missing.
func (s *Store) complete(desc oci.Descriptor) error {
	blobs := map[digest.Digest]oci.Descriptor{}
	if err := s.closure(desc, blobs); err != nil {
		return err
	}
	for d, b := range blobs {
		if size, ok := s.Has(d); !ok || size != b.Size {
			return fmt.Errorf("blob %s: %w", d, oci.ErrNotFound)
		}
	}
	return nil
}

// tagEntries applies list to entries, and reports whether that changes them. It
// never writes to the slice it got.
func tagEntries(entries []oci.Descriptor, now time.Time, list []tagging) ([]oci.Descriptor, bool) {
	changed := false
	for _, t := range list {
		at := slices.IndexFunc(entries, func(d oci.Descriptor) bool {
			if t.name == "" {
				return d.Digest == t.desc.Digest
			}
			return hasName(d, t.name)
		})
		if at >= 0 && entries[at].Digest == t.desc.Digest {
			continue
		}
		next := make([]oci.Descriptor, 0, len(entries)+1)
		created := now
		if !t.at.IsZero() {
			created = t.at
		}
		for i, d := range entries {
			if d.Digest == t.desc.Digest {
				if c, ok := entryCreated(d); ok {
					created = c // known since then, under another name
				}
				if entryName(d) == "" {
					continue // it has a name now
				}
			}
			if i != at {
				next = append(next, d)
			}
		}
		entries, changed = append(next, newEntry(t, created)), true
	}
	return entries, changed
}

func newEntry(t tagging, created time.Time) oci.Descriptor {
	d := oci.Descriptor{MediaType: t.desc.MediaType, Digest: t.desc.Digest, Size: t.desc.Size, ArtifactType: t.desc.ArtifactType}
	d.Annotations = map[string]string{oci.AnnotationCreated: created.UTC().Format(time.RFC3339)}
	if t.name != "" {
		d.Annotations[oci.AnnotationRefName] = t.name
		d.Annotations[oci.AnnotationImageName] = t.name
	}
	return withSum(d)
}

func entryCreated(d oci.Descriptor) (time.Time, bool) {
	t, err := time.Parse(time.RFC3339, d.Annotations[oci.AnnotationCreated])
	return t, err == nil
}

// maxNesting bounds indexes inside indexes; real ones have one level.
const maxNesting = 8

// closure adds desc and all that it refers to to blobs. Documents are read and
// proven, layers are not looked at. A manifest of something else than an image
// is followed too, so that collections do not tear it.
func (s *Store) closure(desc oci.Descriptor, blobs map[digest.Digest]oci.Descriptor) error {
	return s.closureAt(desc, blobs, 0)
}

func (s *Store) closureAt(desc oci.Descriptor, blobs map[digest.Digest]oci.Descriptor, depth int) error {
	if _, ok := blobs[desc.Digest]; ok {
		return nil
	}
	if depth > maxNesting {
		return fmt.Errorf("index %s: nested too deep", desc.Digest)
	}
	blobs[desc.Digest] = desc
	switch {
	case oci.IsIndex(desc.MediaType):
		raw, err := s.ReadDocument(desc)
		if err != nil {
			return err
		}
		idx, err := oci.DecodeIndex(raw, desc.MediaType)
		if err != nil {
			return fmt.Errorf("%s: %w", desc.Digest, err)
		}
		for _, d := range idx.Manifests {
			err := s.closureAt(d, blobs, depth+1)
			// An index that was copied for one platform lacks the others.
			if errors.Is(err, oci.ErrNotFound) {
				delete(blobs, d.Digest)
				continue
			}
			if err != nil {
				return err
			}
		}
	case oci.IsManifest(desc.MediaType):
		raw, err := s.ReadDocument(desc)
		if err != nil {
			return err
		}
		m, err := oci.DecodeManifest(raw, desc.MediaType)
		if err != nil {
			return fmt.Errorf("%s: %w", desc.Digest, err)
		}
		for _, d := range append([]oci.Descriptor{m.Config}, m.Layers...) {
			blobs[d.Digest] = d
		}
	}
	return nil
}
