package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"sync"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// Verify wraps r so that reading to the end proves the content: the reader
// returns ErrCorrupt in the place of io.EOF when size or digest differ, never
// more than desc.Size bytes, and the same error again once it has failed.
// Closing it closes r, and proves nothing. It must be closed.
func Verify(r io.ReadCloser, desc oci.Descriptor) io.ReadCloser {
	return &verifier{r: r, want: desc, left: desc.Size, sum: newSummer(desc.Size)}
}

type verifier struct {
	r    io.ReadCloser
	want oci.Descriptor
	left int64
	sum  *summer
	err  error
}

func (v *verifier) Read(p []byte) (int, error) {
	if v.err != nil {
		return 0, v.err
	}
	if v.left == 0 {
		v.err = v.end()
		return 0, v.err
	}
	if int64(len(p)) > v.left {
		p = p[:v.left]
	}
	n, err := v.r.Read(p)
	_, _ = v.sum.Write(p[:n])
	v.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && v.left > 0:
		v.err = fmt.Errorf("%s: %w: ends %d bytes early", v.want.Digest, ErrCorrupt, v.left)
	case errors.Is(err, io.EOF):
		v.err = v.prove()
	default:
		v.err = err
	}
	return n, v.err
}

// end has read all that was announced: there must be no more, and it must be it.
func (v *verifier) end() error {
	var one [1]byte
	switch n, err := io.ReadFull(v.r, one[:]); {
	case n > 0:
		return fmt.Errorf("%s: %w: longer than %d bytes", v.want.Digest, ErrCorrupt, v.want.Size)
	case !errors.Is(err, io.EOF):
		return err
	}
	return v.prove()
}

func (v *verifier) prove() error {
	if got := v.sum.digest(); got != v.want.Digest {
		return fmt.Errorf("%s: %w: it is %s", v.want.Digest, ErrCorrupt, got)
	}
	return io.EOF
}

func (v *verifier) Close() error {
	v.sum.close()
	return v.r.Close()
}

// summer hashes beside the reading of what is large: hashing is the dearest
// part of moving a blob. What is small is not worth a goroutine. It may be closed
// while somebody, who was told to stop and has not yet, still writes to it.
type summer struct {
	mu   sync.Mutex
	hash hash.Hash
	fan  *fan // nil for what is small, and when closed
}

// newSummer is for a size, negative if that is not known.
func newSummer(size int64) *summer {
	s := &summer{hash: sha256.New()}
	if size < 0 || size > 4*chunkSize {
		s.fan = newFan(hashSink(s.hash))
	}
	return s
}

// Write never fails.
func (s *summer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fan == nil {
		return s.hash.Write(p)
	}
	return s.fan.Write(p)
}

// digest ends the sum.
func (s *summer) digest() digest.Digest {
	s.close()
	s.mu.Lock()
	defer s.mu.Unlock()
	return digest.NewDigest(digest.SHA256, s.hash)
}

// close ends the goroutine. It may be called more than once.
func (s *summer) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fan != nil {
		_ = s.fan.Close() // a hash does not fail
		s.fan = nil
	}
}
