package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"slices"
	"strings"
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
	for _, d := range idx.Manifests {
		n, err := s.namedImage(d)
		if err != nil {
			return nil, fmt.Errorf("image %s: %w", entryOrDigest(d), err)
		}
		c.Images = append(c.Images, n)
	}
	err = eachDigest(s.path(dirBlobs), func(d digest.Digest, info fs.FileInfo) error {
		c.Blobs = append(c.Blobs, Piece{d, Allocated(info), info.ModTime()})
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = eachDigest(s.path(dirSnapshots), func(chain digest.Digest, info fs.FileInfo) error {
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

func (s *Store) namedImage(d oci.Descriptor) (NamedImage, error) {
	n := NamedImage{Name: entryName(d), Descriptor: d}
	keep := newRoots()
	if err := s.imageRoots(d, keep); err != nil {
		return n, err
	}
	if st, err := os.Lstat(s.BlobPath(d.Digest)); err == nil {
		n.Used = st.ModTime()
	}
	n.Blobs = slices.Sorted(maps.Keys(keep.blobs))
	n.Snapshots = slices.Sorted(maps.Keys(keep.snapshots))
	n.Layers, _ = s.layersOf(d) // one that is torn has none
	return n, nil
}

// layersOf is the layers of an image of one platform, without leasing them.
func (s *Store) layersOf(d oci.Descriptor) ([]oci.Layer, error) {
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
	if raw, err = s.ReadDocument(m.Config); err != nil {
		return nil, err
	}
	cfg, err := oci.DecodeImage(raw)
	if err != nil {
		return nil, err
	}
	return PairLayers(m, cfg)
}

// IsFailed tells, by its name in containers/, the container that a failed command
// of a build left.
func IsFailed(name string) bool { return strings.HasPrefix(name, failedPrefix) }

// DiskUsage is the disk space of the tree at path, files with several names
// counted once. What may not be looked into is left out, with an error that is
// fs.ErrPermission.
func DiskUsage(path string) (int64, error) { return diskUsage(path, map[inode]bool{}) }

// Measure is the disk space of a snapshot, and a word that changes when the
// snapshot is made anew: while it stays, so does the size.
func (s *Store) Measure(chain digest.Digest) (bytes int64, stamp string, err error) {
	if stamp = s.SnapshotStamp(chain); stamp == "" {
		return 0, "", fs.ErrNotExist
	}
	bytes, err = diskUsage(s.snapshotPath(chain), map[inode]bool{})
	if errors.Is(err, fs.ErrPermission) {
		return bytes, "", err
	}
	return bytes, stamp, err
}

// SnapshotStamp is the word of Measure alone; "" for one that is not there.
func (s *Store) SnapshotStamp(chain digest.Digest) string {
	info, err := os.Lstat(s.snapshotPath(chain))
	if err != nil {
		return ""
	}
	return fmt.Sprintf("%d-%d", fileNumber(info), changed(info).UnixNano())
}
