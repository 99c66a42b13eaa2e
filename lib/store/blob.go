package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// Has returns the size of the blob d and whether it is there. It does not read
// it, and does not keep it from a collection: see Hold.
func (s *Store) Has(d digest.Digest) (int64, bool) {
	if oci.ValidDigest(d) != nil {
		return 0, false
	}
	st, err := os.Lstat(s.BlobPath(d))
	if err != nil || !st.Mode().IsRegular() {
		return 0, false
	}
	return st.Size(), true
}

// Open reads a blob and proves it: instead of io.EOF the reader returns
// ErrCorrupt when the bytes are not those of desc, and it never returns more
// than desc.Size bytes. The caller must close it.
func (s *Store) Open(desc oci.Descriptor) (io.ReadCloser, error) {
	f, err := s.openBlob(desc)
	if err != nil {
		return nil, err
	}
	return Verify(f, desc), nil
}

// openBlob opens a blob of the right size without proving its content.
func (s *Store) openBlob(desc oci.Descriptor) (*os.File, error) {
	if err := oci.ValidDescriptor(desc); err != nil {
		return nil, fmt.Errorf("open blob: %w", err)
	}
	f, err := os.Open(s.BlobPath(desc.Digest))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("open blob %s: %w", desc.Digest, oci.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("open blob %s: %w", desc.Digest, err)
	}
	st, err := f.Stat()
	if err == nil && st.Size() != desc.Size {
		err = fmt.Errorf("%w: %d bytes where %d were announced", ErrCorrupt, st.Size(), desc.Size)
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("open blob %s: %w", desc.Digest, err)
	}
	return f, nil
}

// ReadDocument reads a small blob whole, proven. Blobs over oci.MaxDocument are
// refused.
func (s *Store) ReadDocument(desc oci.Descriptor) ([]byte, error) {
	if desc.Size > oci.MaxDocument {
		return nil, fmt.Errorf("read %s: a document of %d bytes, at most %d are read", desc.Digest, desc.Size, oci.MaxDocument)
	}
	r, err := s.Open(desc)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	raw, err := io.ReadAll(r)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", desc.Digest, err)
	}
	return raw, nil
}

// Put stores what r has until its end and returns its descriptor. With want the
// bytes must be those it announces, else nothing is stored and the error is
// ErrCorrupt; a blob that is there already is not read again.
func (s *Store) Put(r io.Reader, want *oci.Descriptor) (oci.Descriptor, error) {
	mediaType := "application/octet-stream"
	if want != nil {
		if err := oci.ValidDescriptor(*want); err != nil {
			return oci.Descriptor{}, fmt.Errorf("put: %w", err)
		}
		if want.MediaType != "" {
			mediaType = want.MediaType
		}
		if ok, err := s.refresh(*want); ok || err != nil {
			return *want, err
		}
		proof := Verify(io.NopCloser(r), *want)
		defer proof.Close()
		r = proof
	}
	w, err := s.newBlob()
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("put: %w", err)
	}
	defer w.abort()
	if _, err := copyTo(context.Background(), w, r); err != nil {
		return oci.Descriptor{}, fmt.Errorf("put: %w", err)
	}
	desc, err := w.commit(mediaType)
	if err != nil {
		return oci.Descriptor{}, fmt.Errorf("put: %w", err)
	}
	return desc, nil
}

// putDocument stores a small document that is in memory.
func (s *Store) putDocument(raw []byte, mediaType string) (oci.Descriptor, error) {
	desc := oci.Descriptor{MediaType: mediaType, Digest: digest.FromBytes(raw), Size: int64(len(raw))}
	_, err := s.Put(bytes.NewReader(raw), &desc)
	return desc, err
}

// blobWriter takes the bytes of a blob whose digest is not known yet.
type blobWriter struct {
	store *Store
	file  *os.File
	hash  hash.Hash
	size  int64
	fan   *fan
}

func (s *Store) newBlob() (*blobWriter, error) {
	f, err := s.tempFile("blob")
	if err != nil {
		return nil, err
	}
	w := &blobWriter{store: s, file: f, hash: sha256.New()}
	w.fan = newFan(hashSink(w.hash), hashSink(f))
	return w, nil
}

func (w *blobWriter) Write(p []byte) (int, error) {
	n, err := w.fan.Write(p)
	w.size += int64(n)
	return n, err
}

// finish waits for the bytes to be hashed and written.
func (w *blobWriter) finish() error {
	if w.fan == nil {
		return nil
	}
	err := w.fan.Close()
	w.fan = nil
	return err
}

// commit puts the blob under its digest.
func (w *blobWriter) commit(mediaType string) (oci.Descriptor, error) {
	if err := w.finish(); err != nil {
		return oci.Descriptor{}, err
	}
	d := digest.NewDigest(digest.SHA256, w.hash)
	desc := oci.Descriptor{MediaType: mediaType, Digest: d, Size: w.size}
	if err := w.store.install(w.file, d, w.size); err != nil {
		return oci.Descriptor{}, err
	}
	w.abort()
	return desc, nil
}

// abort gives everything up. After commit, and twice, it does nothing more.
func (w *blobWriter) abort() {
	if w.file == nil {
		return
	}
	_ = w.finish() // the bytes are dropped, and so is what went wrong with them
	os.Remove(w.file.Name())
	w.file.Close()
	w.file = nil
}

// install renames a complete temporary file to the place of the blob d and
// leases it. One that is there stays: an identical file is not worth a write,
// unless its size says that it is not identical.
func (s *Store) install(f *os.File, d digest.Digest, size int64) error {
	if err := s.shared.lock(context.Background()); err != nil {
		return err
	}
	defer s.shared.unlock()
	if err := s.hold(d); err != nil {
		return err
	}
	if have, ok := s.Has(d); ok && have == size {
		s.touch(d)
		return nil
	}
	if err := f.Chmod(0o444); err != nil {
		return err
	}
	if err := s.markUnsynced(kindBlob, d); err != nil {
		return err
	}
	return os.Rename(f.Name(), s.BlobPath(d))
}

// refresh leases a blob that is there and makes it young again; false when it is
// not there.
func (s *Store) refresh(d oci.Descriptor) (bool, error) {
	if size, ok := s.Has(d.Digest); !ok || size != d.Size {
		return false, nil
	}
	if err := s.Hold(d.Digest); err != nil {
		return false, err
	}
	s.touch(d.Digest)
	_, ok := s.Has(d.Digest) // a collection may have been faster than the lease
	return ok, nil
}

// touch makes a blob young for GCOptions.Grace. That it could not be is no
// reason to fail: the store may be somebody else's, read-only.
func (s *Store) touch(d digest.Digest) {
	now := time.Now()
	_ = os.Chtimes(s.BlobPath(d), now, now)
}
