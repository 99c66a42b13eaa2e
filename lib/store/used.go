package store

import (
	"errors"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/go-digest"
)

// When something was last used is known to the hour, so that using it again and
// again costs no write: a blob's modification time says it, and for snapshots,
// whose own times are those of the layer, that of the empty file
//
//	state/used/HEX
//
// which a snapshot that was only made and never used later has not. Of an image
// it is its manifest that is touched.
const useGrain = time.Hour

// lately reports whether a use at that time needs no note.
func lately(t time.Time) bool { return time.Since(t).Abs() < useGrain }

// useBlob notes that a blob is used. That it could not be is no reason to fail:
// it is only removed sooner.
func (s *Store) useBlob(d digest.Digest) {
	if st, err := os.Lstat(s.BlobPath(d)); err == nil && !lately(st.ModTime()) {
		s.touch(d)
	}
}

// useSnapshot is useBlob for a snapshot, of which info is.
func (s *Store) useSnapshot(chain digest.Digest, info fs.FileInfo) {
	if lately(changed(info)) {
		return
	}
	path := s.path(dirUsed, chain.Encoded())
	st, err := os.Lstat(path)
	switch {
	case err == nil && lately(st.ModTime()):
	case err == nil:
		now := time.Now()
		_ = os.Chtimes(path, now, now)
	case errors.Is(err, fs.ErrNotExist):
		if err := os.WriteFile(path, nil, 0o600); errors.Is(err, fs.ErrNotExist) && os.MkdirAll(s.path(dirUsed), 0o755) == nil {
			_ = os.WriteFile(path, nil, 0o600)
		}
	}
}

// snapshotUsed is when the snapshot of which info is was last used, or made.
func (s *Store) snapshotUsed(chain digest.Digest, info fs.FileInfo) time.Time {
	made := changed(info)
	if st, err := os.Lstat(s.path(dirUsed, chain.Encoded())); err == nil && st.ModTime().After(made) {
		return st.ModTime()
	}
	return made
}

// sweepUsed forgets the uses of snapshots that are not there. The caller has
// gc.lock exclusively.
func (s *Store) sweepUsed() error {
	names, err := os.ReadDir(s.path(dirUsed))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, n := range names {
		chain := digest.NewDigestFromEncoded(digest.SHA256, n.Name())
		if s.HasSnapshot(chain) {
			continue
		}
		if err := os.Remove(s.path(dirUsed, n.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
