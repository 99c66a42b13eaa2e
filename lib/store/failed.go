package store

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// The containers of commands that failed in a build are kept for somebody to
// look into, as containers/failed-ID. While one runs, ds-exec has it locked.

const failedPrefix = "failed-"

// IsFailed tells, by its name in containers/, the container that a failed command
// of a build left.
func IsFailed(name string) bool { return strings.HasPrefix(name, failedPrefix) }

// failedFor is how long one stays when no collection is asked for: long enough
// to look into it, short enough not to fill the disk.
const failedFor = 24 * time.Hour

// KeepFailed keeps a directory that is the bundle of a command that failed, and
// gives its new path. Those kept long ago are removed. Close does nothing
// afterwards but end the lock.
func (s *Store) KeepFailed(t *Temp) (string, error) {
	// What cannot be removed now is there for the next failure or collection.
	_ = s.dropFailed(time.Now().Add(-failedFor), func(l leftover) error { return l.remove() })
	var id [4]byte
	if _, err := rand.Read(id[:]); err != nil {
		return "", err
	}
	dir := filepath.Join(s.path(dirContainers), failedPrefix+hex.EncodeToString(id[:]))
	if err := os.Rename(t.Path, dir); err != nil {
		return "", fmt.Errorf("keep container: %w", err)
	}
	return dir, nil
}

// dropFailed calls drop for each kept container that is older than young and
// that nobody runs, claimed.
func (s *Store) dropFailed(young time.Time, drop func(leftover) error) error {
	list, err := os.ReadDir(s.path(dirContainers))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range list {
		info, ierr := e.Info()
		if ierr != nil || !strings.HasPrefix(e.Name(), failedPrefix) || !info.ModTime().Before(young) {
			continue
		}
		path := filepath.Join(s.path(dirContainers), e.Name())
		lock, free, cerr := claim(path)
		if cerr == nil && free {
			cerr = drop(leftover{path, lock})
		}
		err = errors.Join(err, cerr)
	}
	return err
}

// RemoveFailed removes the kept containers that nobody runs, of any age, and
// gives their names.
func (s *Store) RemoveFailed() (names []string, err error) {
	err = s.dropFailed(time.Now(), func(l leftover) error {
		names = append(names, filepath.Base(l.path))
		return l.remove()
	})
	return names, err
}

// collectFailed is the part of a collection that takes kept containers away:
// before anybody asks what snapshots bundles stand on.
func (s *Store) collectFailed(young time.Time, dryRun bool, bin *trash, res *GCResult) error {
	return s.dropFailed(young, func(l leftover) error {
		defer l.release()
		n, _ := DiskUsage(l.path) // what cannot be measured may still be removed
		res.Temps, res.Bytes = append(res.Temps, Leftover{l.path, n}), res.Bytes+n
		if dryRun {
			return nil
		}
		return bin.take(l.path)
	})
}
