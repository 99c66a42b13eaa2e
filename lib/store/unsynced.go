package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

// Power loss. Syncing each file is five to ten times as dear as one sync before
// a name is published, so blobs and snapshots are renamed into place unsynced,
// and what is unsynced is written down: an empty file
//
//	state/unsynced/BOOT-ID/blob-HEX    or    snapshot-HEX
//
// made before the rename. File systems keep the order of such changes, though
// not of contents with them, which is why the note is a name and not a line in
// a file. Publishing syncs the file system and removes the notes it covered. A
// boot ID that is not the running one means that the machine went down with
// unsynced work: it is dropped at the next Open, and nothing published needs it.

const (
	kindBlob     = "blob"
	kindSnapshot = "snapshot"
)

// bootID names this boot of the machine.
func (s *Store) bootID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.boot == "" {
		s.boot = readBootID()
	}
	return s.boot
}

// markUnsynced notes that something is about to appear under its final name.
func (s *Store) markUnsynced(kind string, d digest.Digest) error {
	dir := s.path(dirUnsynced, s.bootID())
	name := filepath.Join(dir, kind+"-"+d.Encoded())
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return fmt.Errorf("note unsynced %s: %w", kind, err)
		}
		f, err = os.OpenFile(name, os.O_WRONLY|os.O_CREATE, 0o600)
	}
	if err != nil {
		return fmt.Errorf("note unsynced %s: %w", kind, err)
	}
	return f.Close()
}

// markedPath is where the thing that a note speaks of is, "" for a foreign file.
func (s *Store) markedPath(note string) string {
	kind, hex, _ := strings.Cut(note, "-")
	if oci.ValidDigest(digest.Digest("sha256:"+hex)) != nil {
		return ""
	}
	switch kind {
	case kindBlob:
		return s.path(dirBlobs, hex)
	case kindSnapshot:
		return s.path(dirSnapshots, hex)
	}
	return ""
}

// unsynced lists the notes whose thing is in place: a sync that starts now
// covers them. A note without its thing is of a rename still to come.
func (s *Store) unsynced() ([]string, error) {
	dir := s.path(dirUnsynced, s.bootID())
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var notes []string
	for _, n := range names {
		if path := s.markedPath(n.Name()); path != "" {
			if _, err := os.Lstat(path); err == nil {
				notes = append(notes, filepath.Join(dir, n.Name()))
			}
		}
	}
	return notes, nil
}

// syncWritten makes durable everything that is in place, with f, which is about
// to be renamed; the notes it returns may be removed once that is done.
func (s *Store) syncWritten(f *os.File) ([]string, error) {
	notes, err := s.unsynced()
	if err != nil {
		return nil, err
	}
	if len(notes) == 0 {
		return nil, f.Sync()
	}
	return notes, syncFileSystem(f)
}

// recover drops what was unsynced when the machine went down.
func (s *Store) recover() error {
	boots, err := os.ReadDir(s.path(dirUnsynced))
	if err != nil {
		return err
	}
	for _, b := range boots {
		if b.Name() != s.bootID() {
			return s.dropUnsynced()
		}
	}
	return nil
}

func (s *Store) dropUnsynced() (err error) {
	bin, err := s.newTrash()
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, bin.empty()) }()
	lock, err := flock.Open(context.Background(), s.path(fileGCLock), flock.Exclusive)
	if err != nil {
		return err
	}
	defer lock.Close()
	boots, err := os.ReadDir(s.path(dirUnsynced)) // again: another process may have done it
	if err != nil {
		return err
	}
	for _, b := range boots {
		if b.Name() != s.bootID() {
			if err := s.dropBoot(s.path(dirUnsynced, b.Name()), bin); err != nil {
				return fmt.Errorf("drop unsynced: %w", err)
			}
		}
	}
	return nil
}

// dropBoot drops what the notes in dir speak of, then the notes.
func (s *Store) dropBoot(dir string, bin *trash) error {
	notes, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range notes {
		if path := s.markedPath(n.Name()); path != "" {
			if err := bin.take(path); err != nil {
				return err
			}
		}
	}
	return removeAll(dir)
}

// sweepNotes removes notes of things that are not there: of writers that were
// killed, or of what a collection removed. The caller has gc.lock exclusively, so
// nobody is between a note and its thing.
func (s *Store) sweepNotes() error {
	dir := s.path(dirUnsynced, s.bootID())
	names, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for _, n := range names {
		path := s.markedPath(n.Name())
		if path == "" {
			continue
		}
		if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(filepath.Join(dir, n.Name())); err != nil {
				return err
			}
		}
	}
	return err
}
