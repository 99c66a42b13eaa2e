package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"docksmith/lib/flock"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// A snapshot is an unpacked layer on top of exactly the layers below it, as a
// directory for overlayfs, named by the chain ID of the stack it ends.

// SnapshotPath is where the snapshot of chain is or would be.
func (s *Store) SnapshotPath(chain digest.Digest) string {
	return s.path(dirSnapshots, chain.Encoded())
}

// HasSnapshot reports whether the snapshot of chain is there.
func (s *Store) HasSnapshot(chain digest.Digest) bool {
	_, ok := s.statSnapshot(chain)
	return ok
}

func (s *Store) statSnapshot(chain digest.Digest) (fs.FileInfo, bool) {
	if oci.ValidDigest(chain) != nil {
		return nil, false
	}
	st, err := os.Lstat(s.SnapshotPath(chain))
	return st, err == nil && st.IsDir()
}

// HasSnapshots reports whether a stack of layers, bottom first, is unpacked
// whole: Snapshots will then only look.
func (s *Store) HasSnapshots(layers []oci.Layer) bool {
	var chain digest.Digest
	for _, l := range layers {
		chain = oci.NextChainID(chain, l.DiffID)
		if !s.HasSnapshot(chain) {
			return false
		}
	}
	return true
}

// Snapshots returns the directories of a stack of layers, which are given
// bottom first, top first: the lower directories of an overlay. Those that are
// missing are unpacked from their blobs, and only one whose content has its diff
// ID becomes visible. They are leased until Close.
//
// Unpacking needs the privilege to own files: see sandbox.EnterUserNamespace.
func (s *Store) Snapshots(ctx context.Context, layers []oci.Layer) ([]string, error) {
	var chain digest.Digest
	chains := make([]digest.Digest, len(layers))
	for i, l := range layers {
		chain = oci.NextChainID(chain, l.DiffID)
		chains[i] = chain
	}
	if err := s.Hold(chains...); err != nil {
		return nil, err
	}
	var lowers []string
	for i, l := range layers {
		if info, ok := s.statSnapshot(chains[i]); ok {
			s.useSnapshot(chains[i], info)
		} else if err := s.unpack(ctx, l, chains[i], lowers); err != nil {
			return nil, fmt.Errorf("unpack layer %s: %w", l.Digest, err)
		}
		lowers = slices.Insert(lowers, 0, s.SnapshotPath(chains[i]))
	}
	return lowers, nil
}

// unpack makes the snapshot chain. Processes that want the same one wait for
// each other: doing it twice at once costs more than it saves.
func (s *Store) unpack(ctx context.Context, l oci.Layer, chain digest.Digest, lowers []string) error {
	lock, err := flock.Open(ctx, s.path(dirTemp, "unpack-"+chain.Encoded()), flock.Exclusive)
	if err != nil {
		return err
	}
	defer lock.Close()
	defer os.Remove(lock.Name()) // who waits for the removed file finds the snapshot, or does the work twice
	if s.HasSnapshot(chain) {
		return nil
	}
	temp, err := s.TempDir("snapshot")
	if err != nil {
		return err
	}
	defer temp.Close()
	dir := filepath.Join(temp.Path, "x")
	if err := os.Mkdir(dir, 0o755); err != nil {
		return err
	}
	if err := s.ApplyLayer(ctx, l, dir, layer.ApplyOptions{Form: layer.Overlay, Lowers: lowers}); err != nil {
		return err
	}
	return s.AddSnapshot(chain, dir)
}

// ApplyLayer applies a layer's tar to dir and then proves its diff ID. On an
// error what was made stays in dir for the caller to remove.
func (s *Store) ApplyLayer(ctx context.Context, l oci.Layer, dir string, o layer.ApplyOptions) error {
	blob, err := s.openBlob(l.Descriptor)
	if err != nil {
		return err
	}
	defer blob.Close()
	tar, _, err := layer.Decompress(blob, layer.DecompressOptions{})
	if err != nil {
		return err
	}
	defer tar.Close()
	// The diff ID proves the content, so the compressed bytes are not hashed too.
	sum := newSummer(-1)
	defer sum.close()
	all := io.TeeReader(tar, sum)
	if err := layer.Apply(ctx, all, dir, o); err != nil {
		return err
	}
	// Apply stops at the end mark or after it; the diff ID is of everything.
	if err := drain(ctx, all); err != nil {
		return err
	}
	if got := sum.digest(); got != l.DiffID {
		return fmt.Errorf("diff ID %s: %w: it is %s", l.DiffID, ErrCorrupt, got)
	}
	return nil
}

// AddSnapshot takes over dir, an overlay upper directory or a tree unpacked in
// the overlay form, as the snapshot chain, by renaming it: dir must be on the
// file system of the store, as a Temp is, and complete. When the snapshot is
// there already it stays and dir is removed. It is leased until Close.
func (s *Store) AddSnapshot(chain digest.Digest, dir string) error {
	if err := oci.ValidDigest(chain); err != nil {
		return fmt.Errorf("add snapshot: %w", err)
	}
	added, err := s.placeSnapshot(chain, dir)
	if err != nil || added {
		return err
	}
	return removeAll(dir)
}

// placeSnapshot is false when the snapshot was there already.
func (s *Store) placeSnapshot(chain digest.Digest, dir string) (bool, error) {
	if err := s.shared.lock(context.Background()); err != nil {
		return false, err
	}
	defer s.shared.unlock()
	if err := s.hold(chain); err != nil {
		return false, err
	}
	if s.HasSnapshot(chain) {
		return false, nil
	}
	if err := s.markUnsynced(kindSnapshot, chain); err != nil {
		return false, err
	}
	err := renameNew(dir, s.SnapshotPath(chain))
	if errors.Is(err, fs.ErrExist) || errors.Is(err, unix.ENOTEMPTY) {
		return false, nil
	}
	return err == nil, err
}

// HasAnySnapshot reports whether anything is unpacked.
func (s *Store) HasAnySnapshot() bool {
	names, err := os.ReadDir(s.path(dirSnapshots))
	return err != nil || len(names) > 0
}
