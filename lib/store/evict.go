package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

// Eviction names things that can be had again, to be removed although nothing is
// wrong with them.
type Eviction struct {
	Names     []oci.Descriptor // entries of the index
	Blobs     []digest.Digest
	Snapshots []digest.Digest // by chain ID
	Failed    []string        // bundles of commands that failed in a build
}

// Evict removes what e names, except what is needed: what a living process has
// leased, blobs that an image with a name leads to, snapshots that a bundle
// stands on, a failed command's bundle in which somebody is. It returns what it
// removed; what was not there counts as removed. Others wait while things are
// taken out of sight, not for their removal.
func (s *Store) Evict(ctx context.Context, e Eviction) (gone Eviction, err error) {
	bin, err := s.newTrash()
	if err != nil {
		return gone, fmt.Errorf("evict: %w", err)
	}
	defer func() { err = errors.Join(err, bin.empty()) }()
	lock, err := flock.Open(ctx, s.path(fileGCLock), flock.Exclusive)
	if err != nil {
		return gone, err
	}
	defer lock.Close() // before the bin is emptied
	held, err := s.leased()
	if err != nil {
		return gone, fmt.Errorf("evict: %w", err)
	}
	if gone.Names, err = s.dropNames(ctx, e.Names, held); err != nil {
		return gone, fmt.Errorf("evict: %w", err)
	}
	if gone.Failed, err = evictFailed(e.Failed, bin); err != nil {
		return gone, fmt.Errorf("evict: %w", err)
	}
	if err := s.evictPieces(e, &gone, bin); err != nil {
		return gone, fmt.Errorf("evict: %w", err)
	}
	return gone, errors.Join(s.sweepLinks(), s.sweepNotes(), s.sweepUsed())
}

// dropNames removes entries whose image nobody holds.
func (s *Store) dropNames(ctx context.Context, names []oci.Descriptor, held map[digest.Digest]bool) (gone []oci.Descriptor, err error) {
	if len(names) == 0 {
		return nil, nil
	}
	err = s.changeIndex(ctx, func(entries []oci.Descriptor) ([]oci.Descriptor, bool, error) {
		for _, n := range names {
			if held[n.Digest] {
				continue
			}
			gone = append(gone, n)
			entries = slices.DeleteFunc(entries, func(d oci.Descriptor) bool {
				return d.Digest == n.Digest && entryName(d) == entryName(n)
			})
		}
		return entries, len(gone) > 0, nil
	})
	return gone, err
}

func evictFailed(dirs []string, bin *trash) (gone []string, err error) {
	for _, dir := range dirs {
		lock, free, cerr := claim(dir)
		if cerr == nil && !free && lock != nil {
			continue // somebody looks into it
		}
		if cerr == nil {
			cerr = bin.take(dir)
			leftover{dir, lock}.release()
		}
		if err = errors.Join(err, cerr); cerr == nil {
			gone = append(gone, dir)
		}
	}
	return gone, err
}

// evictPieces takes the blobs and snapshots that nothing needs now.
func (s *Store) evictPieces(e Eviction, gone *Eviction, bin *trash) error {
	needed, err := s.roots(func(oci.Descriptor) bool { return false })
	if err != nil {
		return err
	}
	inUse, err := s.inUse() // the snapshots of an image can be unpacked again
	if err != nil {
		return err
	}
	for _, d := range e.Blobs {
		if needed.blobs[d] {
			continue
		}
		if err := bin.take(s.BlobPath(d)); err != nil {
			return err
		}
		gone.Blobs = append(gone.Blobs, d)
	}
	for _, chain := range e.Snapshots {
		if inUse.snapshots[chain] {
			continue
		}
		if err := bin.take(s.SnapshotPath(chain)); err != nil {
			return err
		}
		gone.Snapshots = append(gone.Snapshots, chain)
	}
	return nil
}

// TakeAside hands f a function that moves a path of the store's file system out
// of sight in one step, and removes afterwards what was moved.
func (s *Store) TakeAside(f func(take func(path string) error) error) (err error) {
	bin, err := s.newTrash()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bin.empty()) }()
	return f(bin.take)
}
