package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

// Contents are what the store has and who refers to what.
type Contents struct {
	Images    []NamedImage
	Blobs     []Piece
	Snapshots []Piece // named by chain ID
	Bundles   []BundleUse
	// Leased is what living processes hold, this one apart.
	Leased map[digest.Digest]bool
}

// Piece is a blob or a snapshot.
type Piece struct {
	Digest digest.Digest
	// Bytes is the disk space; -1 for a snapshot that was not measured.
	Bytes int64
	Used  time.Time // to the hour
}

// NamedImage is an entry of the index. An image with several names has several.
type NamedImage struct {
	Name       string // "" for none
	Descriptor oci.Descriptor
	Used       time.Time
	Blobs      []digest.Digest // all that it leads to, sorted
	Snapshots  []digest.Digest // of every prefix of its layers, sorted
	Layers     []oci.Layer     // bottom first; nil if its documents do not tell
}

// BundleUse is a bundle that stands on snapshots.
type BundleUse struct {
	Dir       string
	Snapshots []digest.Digest
}

// Contents lists the store. Others wait for as long as it takes to read what
// they hold. Snapshots are not measured: see Measure.
func (s *Store) Contents(ctx context.Context) (*Contents, error) {
	c := &Contents{}
	if err := s.heldByOthers(ctx, c); err != nil {
		return nil, fmt.Errorf("read leases: %w", err)
	}
	idx, err := s.readIndex()
	if err != nil {
		return nil, err
	}
	known := map[digest.Digest]NamedImage{}
	for _, d := range idx.Manifests {
		n, ok := known[d.Digest]
		if !ok {
			if n, err = s.imageContents(d); err != nil {
				return nil, fmt.Errorf("image %s: %w", entryOrDigest(d), err)
			}
			known[d.Digest] = n
		}
		n.Name, n.Descriptor = entryName(d), d
		c.Images = append(c.Images, n)
	}
	err = s.EachBlob(func(d digest.Digest, info fs.FileInfo) error {
		c.Blobs = append(c.Blobs, Piece{d, Allocated(info), info.ModTime()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = s.EachSnapshot(func(chain digest.Digest, info fs.FileInfo) error {
		c.Snapshots = append(c.Snapshots, Piece{chain, -1, s.snapshotUsed(chain, info)})
		return nil
	})
	return c, err
}

// heldByOthers reads leases and bundles, with everybody else outside: a lease
// that is being made must not be taken for a dead one.
func (s *Store) heldByOthers(ctx context.Context, c *Contents) error {
	lock, err := flock.Open(ctx, s.path(fileGCLock), flock.Exclusive)
	if err != nil {
		return err
	}
	defer lock.Close()
	if c.Leased, err = s.leased(); err != nil {
		return err
	}
	return s.eachBundle(func(dir string, chains []digest.Digest) error {
		c.Bundles = append(c.Bundles, BundleUse{dir, chains})
		return nil
	})
}

// EachBlob calls f with each blob that there is.
func (s *Store) EachBlob(f func(d digest.Digest, info fs.FileInfo) error) error {
	return eachDigest(s.path(dirBlobs), f)
}

// EachSnapshot calls f with the chain ID of each snapshot that there is.
func (s *Store) EachSnapshot(f func(chain digest.Digest, info fs.FileInfo) error) error {
	return eachDigest(s.path(dirSnapshots), f)
}

// imageContents is what an entry of the index leads to.
func (s *Store) imageContents(d oci.Descriptor) (n NamedImage, err error) {
	keep := newRoots()
	if n.Layers, err = s.layersOf(d, keep); err != nil { // torn, or for several platforms
		if err := s.imageRoots(d, keep); err != nil {
			return n, err
		}
	}
	if st, err := os.Lstat(s.BlobPath(d.Digest)); err == nil {
		n.Used = st.ModTime()
	}
	n.Blobs = slices.Sorted(maps.Keys(keep.blobs))
	n.Snapshots = slices.Sorted(maps.Keys(keep.snapshots))
	return n, nil
}

// layersOf is the layers of an image of one platform, without leasing them. All
// that it leads to is kept, unless there is an error.
func (s *Store) layersOf(d oci.Descriptor, keep roots) ([]oci.Layer, error) {
	if !oci.IsManifest(d.MediaType) {
		return nil, oci.ErrNotFound
	}
	raw, err := s.ReadDocument(d)
	if err != nil {
		return nil, err
	}
	m, err := oci.DecodeManifest(raw, d.MediaType)
	if err != nil {
		return nil, err
	}
	if !oci.IsConfig(m.Config.MediaType) {
		return nil, oci.ErrNotFound
	}
	if raw, err = s.ReadDocument(m.Config); err != nil {
		return nil, err
	}
	cfg, err := oci.DecodeImage(raw)
	if err != nil {
		return nil, err
	}
	layers, err := PairLayers(m, cfg)
	if err != nil {
		return nil, err
	}
	keep.blobs[d.Digest], keep.blobs[m.Config.Digest] = true, true
	var chain digest.Digest
	for _, l := range layers {
		chain = oci.NextChainID(chain, l.DiffID)
		keep.blobs[l.Digest], keep.snapshots[chain] = true, true
	}
	return layers, nil
}

// Measure is the disk space of a snapshot, and a word that changes when the
// snapshot is made anew: while it stays, so does the size.
func (s *Store) Measure(chain digest.Digest) (bytes int64, stamp string, err error) {
	if stamp = s.SnapshotStamp(chain); stamp == "" {
		return 0, "", fs.ErrNotExist
	}
	bytes, err = DiskUsage(s.SnapshotPath(chain))
	if errors.Is(err, fs.ErrPermission) {
		return bytes, "", err
	}
	return bytes, stamp, err
}

// SnapshotStamp is the word of Measure alone; "" for one that is not there.
func (s *Store) SnapshotStamp(chain digest.Digest) string {
	info, err := os.Lstat(s.SnapshotPath(chain))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", fileNumber(info), changed(info).UnixNano())
}
