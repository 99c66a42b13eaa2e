package verify

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"docksmith/lib/archive"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// blobFiles are the blobs among files.
type blobFiles struct{ files archive.Files }

func blobName(d oci.Descriptor) string { return "blobs/sha256/" + d.Digest.Encoded() }

// Open gives a blob whose reader proves it at its end.
func (b blobFiles) Open(d oci.Descriptor) (io.ReadCloser, error) {
	if err := oci.ValidDescriptor(d); err != nil {
		return nil, err
	}
	r, size, err := b.files.Open(blobName(d))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("blob %s: %w", d.Digest, oci.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	if size != d.Size {
		r.Close()
		return nil, fmt.Errorf("blob %s: %w: %d bytes where %d were announced", d.Digest, store.ErrCorrupt, size, d.Size)
	}
	return store.Verify(r, d), nil
}
