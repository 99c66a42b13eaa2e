package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"docksmith/lib/flock"

	"github.com/opencontainers/go-digest"
)

// A lease is a file below state/leases that its process keeps locked and to
// which it appends the digests of blobs and the chain IDs of snapshots it
// needs. A lease whose lock can be taken belongs to nobody any more.
type lease struct {
	file *os.File
	held map[digest.Digest]bool
}

func (l *lease) close() error {
	if l == nil {
		return nil
	}
	err := os.Remove(l.file.Name())
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	return errors.Join(err, l.file.Close())
}

// Hold leases blobs (by digest) and snapshots (by chain ID) to this Store until
// Close: no collection removes them, whether they are there now or come later.
// What Put, LayerWriter, Image, WriteImage, Snapshots and AddSnapshot return is
// held already; Has holds nothing.
func (s *Store) Hold(digests ...digest.Digest) error {
	ctx := context.Background()
	if err := s.shared.lock(ctx); err != nil {
		return err
	}
	defer s.shared.unlock()
	return s.hold(digests...)
}

// hold is Hold for who has gc.lock shared.
func (s *Store) hold(digests ...digest.Digest) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var lines []byte
	for _, d := range digests {
		if s.lease == nil || !s.lease.held[d] {
			lines = append(append(lines, d...), '\n')
		}
	}
	if len(lines) == 0 {
		return nil
	}
	if s.lease == nil {
		f, err := os.CreateTemp(s.path(dirLeases), "")
		if err != nil {
			return fmt.Errorf("lease: %w", err)
		}
		if ok, err := flock.Try(f, flock.Exclusive); err != nil || !ok {
			return errors.Join(fmt.Errorf("lease: lock %s", f.Name()), err, f.Close())
		}
		s.lease = &lease{file: f, held: map[digest.Digest]bool{}}
	}
	if _, err := s.lease.file.Write(lines); err != nil {
		return fmt.Errorf("lease: %w", err)
	}
	for _, d := range digests {
		s.lease.held[d] = true
	}
	return nil
}

// leased reads what all living processes hold, and removes the leases of dead
// ones. The caller has gc.lock exclusively, so nobody is in the middle of
// making one.
func (s *Store) leased() (map[digest.Digest]bool, error) {
	held := map[digest.Digest]bool{}
	names, err := os.ReadDir(s.path(dirLeases))
	if err != nil {
		return nil, err
	}
	for _, n := range names {
		if err := readLease(filepath.Join(s.path(dirLeases), n.Name()), held); err != nil {
			return nil, fmt.Errorf("read lease: %w", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.lease != nil {
		for d := range s.lease.held {
			held[d] = true
		}
	}
	return held, nil
}

func readLease(path string, held map[digest.Digest]bool) error {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // its process has just ended
	}
	if err != nil {
		return err
	}
	defer f.Close()
	// A shared lock is refused while the owner has its exclusive one.
	dead, err := flock.Try(f, flock.Shared)
	if err != nil {
		return err
	}
	if dead {
		err := os.Remove(path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		return err
	}
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		held[digest.Digest(lines.Text())] = true
	}
	return lines.Err()
}
