// Package store keeps images on disk: blobs and names in a plain OCI image
// layout that other tools can open, unpacked layers beside it as overlay lower
// directories, and the little that many processes need to use both at once
// without a daemon.
//
// It does not build, run or fetch anything. Its one invariant: what stands
// under its final name is whole. Everything appears by rename, readers never
// see half of anything, and a process killed at any moment leaves nothing but
// work in tmp/, which the next one sweeps.
//
//	s, err := store.Open(root)
//	defer s.Close()
//	w, err := s.NewLayer(ctx, store.LayerOptions{})
//	_, err = io.Copy(w, tar)
//	l, err := w.Commit()
//	desc, err := s.WriteImage(ctx, config, []oci.Layer{l}, nil)
//	err = s.Tag(ctx, desc, ref)
package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// ErrCorrupt is what reading a blob ends with when its bytes are not those its
// digest or size announced; ask with errors.Is.
var ErrCorrupt = errors.New("content does not match its digest")

// Store is an open store. It is safe for concurrent use, and any number of
// processes may have the same directory open.
//
// What a Store has handed out or taken in is leased to its process until Close:
// no collection of another process removes it meanwhile.
type Store struct {
	root string

	mu     sync.Mutex // guards the fields below
	lease  *lease
	cached *index
	boot   string
	swept  bool

	shared sharedLock
}

// The places below the root. docksmith-store(5) describes them.
const (
	dirBlobs      = "oci/blobs/sha256"
	dirSnapshots  = "snapshots"
	dirNames      = "state/names"
	dirContainers = "containers"
	dirBuilds     = "builds"  // lib/buildlog's
	dirVolumes    = "volumes" // lib/volume's
	dirCache      = "cache"
	dirTemp       = "tmp"
	dirLeases     = "state/leases"
	dirUnsynced   = "state/unsynced"
	dirLayers     = "state/layers"
	dirBundles    = "state/bundles"
	dirUsed       = "state/used"

	fileLayout    = "oci/oci-layout"
	fileIndex     = "oci/index.json"
	fileGCLock    = "state/gc.lock"
	fileIndexLock = "state/index.lock"
)

const layoutDocument = `{"imageLayoutVersion":"1.0.0"}`

// Open opens the store in the directory root and makes it, with mode 0700, when
// it is not there. After a reboot it first drops what had been written but not
// yet synced when the machine went down. It costs a few system calls otherwise:
// everything else happens at its first use.
func Open(root string) (*Store, error) {
	abs, err := filepath.Abs(root)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s := &Store{root: abs}
	s.shared.path = s.path(fileGCLock)
	if _, err := os.Lstat(s.path(fileLayout)); errors.Is(err, fs.ErrNotExist) {
		err = s.create()
		if err != nil {
			return nil, fmt.Errorf("make store: %w", err)
		}
	} else if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	err = s.recover()
	if errors.Is(err, fs.ErrNotExist) { // a copy of oci/ alone is a store, too
		err = errors.Join(s.create(), s.recover())
	}
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	return s, nil
}

// create makes what is missing: the directories and, last, the file that says they are there.
// Several processes may do it at once.
func (s *Store) create() error {
	if err := os.MkdirAll(s.root, 0o700); err != nil {
		return err
	}
	// MkdirAll obeys the umask, and the directory may have been there: a store is
	// private from its first file on.
	if err := os.Chmod(s.root, 0o700); err != nil {
		return err
	}
	for _, dir := range []string{dirBlobs, dirSnapshots, dirContainers, dirCache, dirTemp, dirLeases, dirUnsynced, dirLayers, dirBundles} {
		if err := os.MkdirAll(s.path(dir), 0o755); err != nil {
			return err
		}
	}
	empty, err := oci.Marshal(oci.NewIndex(nil))
	if err != nil {
		return err
	}
	// Somebody who made the store a moment ago may already be sweeping tmp/.
	if err := s.shared.lock(context.Background()); err != nil {
		return err
	}
	defer s.shared.unlock()
	if err := s.createFile(fileIndex, empty); err != nil {
		return err
	}
	return s.createFile(fileLayout, []byte(layoutDocument))
}

// createFile makes a file whole or, when there is one, leaves it alone.
func (s *Store) createFile(name string, content []byte) error {
	f, err := os.CreateTemp(s.path(dirTemp), "new-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.Write(content)
	err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	if err := os.Link(f.Name(), s.path(name)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

// Close gives up what the store holds leased. It is safe to call twice.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.lease
	s.lease = nil
	return l.close()
}

// Root is the absolute path of the store's directory.
func (s *Store) Root() string { return s.root }

func (s *Store) path(elem ...string) string {
	return filepath.Join(append([]string{s.root}, elem...)...)
}

// BlobPath is where the blob d is or would be; for reading only.
func (s *Store) BlobPath(d digest.Digest) string {
	return s.path(dirBlobs, d.Encoded())
}

// LayoutPath is the OCI image layout inside the store.
func (s *Store) LayoutPath() string { return s.path("oci") }
