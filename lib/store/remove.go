package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

// RemoveOptions are the options of Remove.
type RemoveOptions struct {
	// Force removes an image given by its digest also when several names lead to
	// it: all of them go.
	Force bool
}

// RemoveResult is what Remove removed.
type RemoveResult struct {
	Names     []string // NAME:TAG, sorted
	Blobs     []digest.Digest
	Snapshots []digest.Digest
}

// Remove removes the name ref or, when ref is a digest or its beginning, the
// image with its name; then the blobs and snapshots that only it referred to.
// What other images, bundles and living processes need stays. A reference that
// is not there is an error.
func (s *Store) Remove(ctx context.Context, ref string, o RemoveOptions) (res RemoveResult, err error) {
	bin, err := s.newTrash()
	if err != nil {
		return res, fmt.Errorf("remove %s: %w", ref, err)
	}
	defer func() { err = errors.Join(err, bin.empty()) }()
	lock, err := flock.Open(ctx, s.path(fileGCLock), flock.Exclusive)
	if err != nil {
		return res, err
	}
	defer lock.Close() // before the bin is emptied
	found, err := s.Resolve(ref)
	if err != nil {
		return res, err
	}
	if err := s.untag(ctx, found, o, &res); err != nil {
		return res, fmt.Errorf("remove %s: %w", ref, err)
	}
	mine := newRoots()
	if err := s.imageRoots(found, mine); err != nil {
		return res, fmt.Errorf("remove %s: %w", ref, err)
	}
	others, err := s.roots(func(oci.Descriptor) bool { return false })
	if err != nil {
		return res, fmt.Errorf("remove %s: %w", ref, err)
	}
	if err := s.removeOnly(mine, others, bin, &res); err != nil {
		return res, fmt.Errorf("remove %s: %w", ref, err)
	}
	return res, s.sweepLinks()
}

// untag removes the index entries that found stands for.
func (s *Store) untag(ctx context.Context, found oci.Descriptor, o RemoveOptions, res *RemoveResult) error {
	name := entryName(found)
	return s.changeIndex(ctx, func(entries []oci.Descriptor) ([]oci.Descriptor, bool, error) {
		left := slices.DeleteFunc(entries, func(d oci.Descriptor) bool {
			drop := d.Digest == found.Digest && (name == "" || entryName(d) == name)
			if drop && entryName(d) != "" {
				res.Names = append(res.Names, entryName(d))
			}
			return drop
		})
		if len(res.Names) > 1 && !o.Force {
			return nil, false, fmt.Errorf("it has %d names (%s, ...)", len(res.Names), res.Names[0])
		}
		return left, true, nil
	})
}

// removeOnly removes what is in mine and not in others.
func (s *Store) removeOnly(mine, others roots, bin *trash, res *RemoveResult) error {
	for d := range mine.blobs {
		if _, ok := s.Has(d); ok && !others.blobs[d] {
			if err := os.Remove(s.BlobPath(d)); err != nil {
				return err
			}
			res.Blobs = append(res.Blobs, d)
		}
	}
	for chain := range mine.snapshots {
		if s.HasSnapshot(chain) && !others.snapshots[chain] {
			if err := bin.take(s.SnapshotPath(chain)); err != nil {
				return err
			}
			res.Snapshots = append(res.Snapshots, chain)
		}
	}
	slices.Sort(res.Blobs)
	slices.Sort(res.Snapshots)
	return nil
}
