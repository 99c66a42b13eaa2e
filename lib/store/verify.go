package store

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// Verify wraps r so that reading to the end proves the content: the reader
// returns ErrCorrupt in the place of io.EOF when size or digest differ, never
// more than desc.Size bytes, and the same error again once it has failed.
// Closing it closes r, and proves nothing.
func Verify(r io.ReadCloser, desc oci.Descriptor) io.ReadCloser {
	return &verifier{r: r, want: desc, left: desc.Size, hash: sha256.New()}
}

type verifier struct {
	r    io.ReadCloser
	want oci.Descriptor
	left int64
	hash hash.Hash
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
	v.hash.Write(p[:n])
	v.left -= int64(n)
	switch {
	case errors.Is(err, io.EOF) && v.left > 0:
		v.err = fmt.Errorf("%s: %w: ends %d bytes early", v.want.Digest, ErrCorrupt, v.left)
	case errors.Is(err, io.EOF):
		v.err = v.sum()
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
	return v.sum()
}

func (v *verifier) sum() error {
	if got := digest.NewDigest(digest.SHA256, v.hash); got != v.want.Digest {
		return fmt.Errorf("%s: %w: it is %s", v.want.Digest, ErrCorrupt, got)
	}
	return io.EOF
}

func (v *verifier) Close() error { return v.r.Close() }
