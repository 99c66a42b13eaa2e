package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

// NameFile is a file that is written when a name gets another image, or is
// removed, and at no other time: what a makefile's rule depends on for a base
// image. Its content is the digest. It is made here when it is asked for first,
// and is older than everything then.
func (s *Store) NameFile(ctx context.Context, name oci.Ref) (path string, err error) {
	lock, err := flock.Open(ctx, s.path(fileIndexLock), flock.Exclusive)
	if err != nil {
		return "", err
	}
	defer lock.Close()
	idx, err := s.readIndex()
	if err != nil {
		return "", err
	}
	path = s.nameFile(nameOf(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return "", fmt.Errorf("keep name %s: %w", name, err)
	}
	content := digestsByName(idx.Manifests)[nameOf(name)].String()
	if had, err := os.ReadFile(path); err == nil && string(had) == content {
		return path, nil
	}
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		return "", err
	}
	old := time.Unix(1, 0)
	return path, os.Chtimes(path, old, old)
}

func (s *Store) nameFile(name string) string {
	sum := sha256.Sum256([]byte(name))
	return s.path(dirNames, hex.EncodeToString(sum[:]))
}

// renewNameFiles writes those of the names that changed, where there is one. The
// caller has the index's lock.
func (s *Store) renewNameFiles(old, new []oci.Descriptor) error {
	if _, err := os.Lstat(s.path(dirNames)); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	before, after := digestsByName(old), digestsByName(new)
	for name := range before {
		if _, ok := after[name]; !ok {
			after[name] = ""
		}
	}
	for name, d := range after {
		if before[name] == d {
			continue
		}
		f, err := os.OpenFile(s.nameFile(name), os.O_WRONLY|os.O_TRUNC, 0)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		_, err = f.WriteString(d.String())
		if err := errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}

func digestsByName(entries []oci.Descriptor) map[string]digest.Digest {
	m := make(map[string]digest.Digest, len(entries))
	for _, d := range entries {
		if n := entryName(d); n != "" {
			m[n] = d.Digest
		}
	}
	return m
}
