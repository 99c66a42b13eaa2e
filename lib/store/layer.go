package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// LayerOptions say how a layer is stored. The zero value stores it plain.
type LayerOptions struct {
	// Compression of the blob: None, Gzip or Zstd. Builders default to gzip, which
	// every runtime and registry reads.
	Compression layer.Compression
	// Level of the compression. Default 0: the format's own default.
	Level int
}

// LayerMediaType is the media type of a layer compressed with c.
func LayerMediaType(c layer.Compression) string {
	switch c {
	case layer.Gzip:
		return oci.MediaTypeLayerGzip
	case layer.Zstd:
		return oci.MediaTypeLayerZstd
	}
	return oci.MediaTypeLayer
}

// LayerWriter takes the uncompressed tar of one layer. Hashing the tar,
// compressing it and writing the blob run at once, in bounded memory whatever
// the size. It is not safe for concurrent use.
type LayerWriter struct {
	store *Store
	o     LayerOptions
	ctx   context.Context
	diff  hash.Hash
	size  int64
	blob  *blobWriter
	comp  io.WriteCloser // nil for a plain layer
	fan   *fan
}

// NewLayer begins a layer. The caller ends it with Commit or Abort; Abort after
// Commit does nothing, so it can be deferred.
func (s *Store) NewLayer(ctx context.Context, o LayerOptions) (*LayerWriter, error) {
	blob, err := s.newBlob()
	if err != nil {
		return nil, fmt.Errorf("new layer: %w", err)
	}
	w := &LayerWriter{store: s, o: o, ctx: ctx, blob: blob}
	if o.Compression == layer.None {
		return w, nil // the blob's hash is the diff ID
	}
	w.comp, err = layer.NewCompressor(blob, o.Compression, o.Level)
	if err != nil {
		blob.abort()
		return nil, fmt.Errorf("new layer: %w", err)
	}
	w.diff = sha256.New()
	w.fan = newFan(hashSink(w.diff), hashSink(w.comp))
	return w, nil
}

// Write takes the next bytes of the tar.
func (w *LayerWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	w.size += int64(len(p))
	if w.fan == nil {
		return w.blob.Write(p)
	}
	return w.fan.Write(p)
}

// Size is the number of bytes of the tar so far.
func (w *LayerWriter) Size() int64 { return w.size }

// Commit ends the layer and puts its blob in place. It does not look at the tar:
// who writes one that came from elsewhere reads it as a tar as well.
func (w *LayerWriter) Commit() (oci.Layer, error) {
	defer w.Abort()
	if err := w.finish(); err != nil {
		return oci.Layer{}, fmt.Errorf("write layer: %w", err)
	}
	desc, err := w.blob.commit(LayerMediaType(w.o.Compression))
	if err != nil {
		return oci.Layer{}, fmt.Errorf("write layer: %w", err)
	}
	l := oci.Layer{Descriptor: desc, DiffID: desc.Digest}
	if w.diff != nil {
		l.DiffID = digest.NewDigest(digest.SHA256, w.diff)
		if err := w.store.remember(l, w.o); err != nil {
			return oci.Layer{}, fmt.Errorf("write layer: %w", err)
		}
	}
	return l, nil
}

// finish waits for hash and compressor. It runs once.
func (w *LayerWriter) finish() error {
	if w.fan == nil {
		return w.ctx.Err()
	}
	err := errors.Join(w.fan.Close(), w.comp.Close())
	w.fan, w.comp = nil, nil
	return errors.Join(w.ctx.Err(), err)
}

// Abort gives the layer up and removes what was written.
func (w *LayerWriter) Abort() {
	_ = w.finish() // what went wrong with dropped bytes does not matter
	w.blob.abort()
}

// Encoders change their bytes between versions and levels, so a blob cannot be
// told from a diff ID. state/layers/HEX.CODEC[-LEVEL] remembers it: a link, named
// by the diff ID, to the blob. A link that leads nowhere means nothing.

func codecName(o LayerOptions) string {
	if o.Level == 0 {
		return o.Compression.String()
	}
	return o.Compression.String() + "-" + strconv.Itoa(o.Level)
}

// remember notes which blob holds a layer.
func (s *Store) remember(l oci.Layer, o LayerOptions) error {
	link := s.path(dirLayers, l.DiffID.Encoded()+"."+codecName(o))
	target := filepath.Join("..", "..", dirBlobs, l.Digest.Encoded())
	err := os.Symlink(target, link)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if old, err := os.Readlink(link); err == nil && old == target {
		return nil
	}
	if err := s.shared.lock(context.Background()); err != nil { // keeps sweepers out
		return err
	}
	defer s.shared.unlock()
	temp, err := os.MkdirTemp(s.path(dirTemp), "link-")
	if err != nil {
		return err
	}
	defer os.Remove(temp)
	if err := os.Symlink(target, filepath.Join(temp, "x")); err != nil {
		return err
	}
	return os.Rename(filepath.Join(temp, "x"), link)
}

// Layer finds the blob that holds the tar diffID with the wished compression.
func (s *Store) Layer(diffID digest.Digest, o LayerOptions) (oci.Layer, bool) {
	if oci.ValidDigest(diffID) != nil {
		return oci.Layer{}, false
	}
	d := diffID
	if o.Compression != layer.None {
		target, err := os.Readlink(s.path(dirLayers, diffID.Encoded()+"."+codecName(o)))
		if err != nil {
			return oci.Layer{}, false
		}
		d = digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(target))
	}
	size, ok := s.Has(d)
	if !ok {
		return oci.Layer{}, false
	}
	return oci.Layer{Descriptor: oci.Descriptor{MediaType: LayerMediaType(o.Compression), Digest: d, Size: size}, DiffID: diffID}, true
}

// FindLayer finds a layer by its diff ID, in whatever compression it is there,
// or by the digest of its blob, which is then read to learn the diff ID.
func (s *Store) FindLayer(ctx context.Context, d digest.Digest) (oci.Layer, error) {
	if err := oci.ValidDigest(d); err != nil {
		return oci.Layer{}, err
	}
	links, err := filepath.Glob(s.path(dirLayers, d.Encoded()+".*"))
	if err != nil {
		return oci.Layer{}, err
	}
	for _, link := range links {
		name, level, _ := strings.Cut(strings.TrimPrefix(filepath.Ext(link), "."), "-")
		c, err := layer.ParseCompression(name)
		if err != nil {
			continue // of a version that knows more
		}
		n, _ := strconv.Atoi(level) // "" is 0, the default
		if l, ok := s.Layer(d, LayerOptions{Compression: c, Level: n}); ok {
			return l, s.Hold(l.Digest)
		}
	}
	size, ok := s.Has(d)
	if !ok {
		return oci.Layer{}, fmt.Errorf("layer %s: %w", d, oci.ErrNotFound)
	}
	desc := oci.Descriptor{Digest: d, Size: size}
	diffID, c, err := s.inspectLayer(ctx, desc)
	if err != nil {
		return oci.Layer{}, fmt.Errorf("layer %s: %w", d, err)
	}
	desc.MediaType = LayerMediaType(c)
	return oci.Layer{Descriptor: desc, DiffID: diffID}, s.Hold(d)
}

// inspectLayer reads a blob as a layer: it must be a whole tar, in a compression
// that layers have.
func (s *Store) inspectLayer(ctx context.Context, desc oci.Descriptor) (digest.Digest, layer.Compression, error) {
	blob, err := s.Open(desc)
	if err != nil {
		return "", layer.None, err
	}
	defer blob.Close()
	return readLayer(ctx, blob)
}

// readLayer reads a layer's blob to its end: the digest of the tar inside, which
// is checked to be one, and how it is compressed.
func readLayer(ctx context.Context, blob io.Reader) (digest.Digest, layer.Compression, error) {
	tar, c, err := layer.Decompress(blob, layer.DecompressOptions{})
	if err != nil {
		return "", layer.None, err
	}
	defer tar.Close()
	if c == layer.Bzip2 || c == layer.Xz {
		return "", layer.None, fmt.Errorf("a layer is not compressed with %s", c)
	}
	sum := newSummer(-1)
	defer sum.close()
	if err := readTar(ctx, io.TeeReader(tar, sum)); err != nil {
		return "", layer.None, err
	}
	return sum.digest(), c, nil
}

// readTar reads a tar to its end and finds out whether it is one.
func readTar(ctx context.Context, r io.Reader) error {
	for _, err := range layer.Entries(r) {
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Convert stores the layer l with another compression, unless it has it or the
// store remembers a blob that does. Codec and level of l itself do not matter.
func (s *Store) Convert(ctx context.Context, l oci.Layer, o LayerOptions) (oci.Layer, error) {
	if o.Level == 0 && l.MediaType == LayerMediaType(o.Compression) {
		return l, nil
	}
	if have, ok := s.Layer(l.DiffID, o); ok {
		return have, s.Hold(have.Digest)
	}
	tar, err := s.OpenLayer(l)
	if err != nil {
		return oci.Layer{}, err
	}
	defer tar.Close()
	w, err := s.NewLayer(ctx, o)
	if err != nil {
		return oci.Layer{}, err
	}
	defer w.Abort()
	if _, err := copyTo(ctx, w, tar); err != nil {
		return oci.Layer{}, fmt.Errorf("convert layer %s: %w", l.Digest, err)
	}
	return w.Commit()
}

// OpenLayer reads the tar inside a layer. Its end proves its diff ID: the reader
// returns ErrCorrupt instead of io.EOF when it is another. The caller closes it.
func (s *Store) OpenLayer(l oci.Layer) (io.ReadCloser, error) {
	blob, err := s.openBlob(l.Descriptor)
	if err != nil {
		return nil, err
	}
	tar, _, err := layer.Decompress(blob, layer.DecompressOptions{})
	if err != nil {
		blob.Close()
		return nil, fmt.Errorf("layer %s: %w", l.Digest, err)
	}
	return &tarReader{tar: tar, blob: blob, diffID: l.DiffID, sum: newSummer(-1)}, nil
}

// tarReader proves a diff ID, as verifier proves a blob: the size of the tar is
// nowhere announced, but a decompressor stops by itself.
type tarReader struct {
	tar, blob io.ReadCloser
	diffID    digest.Digest
	sum       *summer
	err       error
}

func (t *tarReader) Read(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	n, err := t.tar.Read(p)
	_, _ = t.sum.Write(p[:n])
	if errors.Is(err, io.EOF) {
		if got := t.sum.digest(); got != t.diffID {
			err = fmt.Errorf("diff ID %s: %w: it is %s", t.diffID, ErrCorrupt, got)
		}
	}
	t.err = err
	return n, err
}

func (t *tarReader) Close() error {
	t.sum.close()
	return errors.Join(t.tar.Close(), t.blob.Close())
}

// AddLayer stores the layer tar r, plain or compressed, and finds out on the way
// whether it is a whole tar. Its blob is compressed anew, as o says.
func (s *Store) AddLayer(ctx context.Context, r io.Reader, o LayerOptions) (oci.Layer, error) {
	tar, _, err := layer.Decompress(r, layer.DecompressOptions{})
	if err != nil {
		return oci.Layer{}, err
	}
	defer tar.Close()
	head := bufio.NewReaderSize(tar, 512)
	if _, err := head.Peek(1); errors.Is(err, io.EOF) {
		return oci.Layer{}, errors.New("the input is empty")
	}
	w, err := s.NewLayer(ctx, o)
	if err != nil {
		return oci.Layer{}, err
	}
	defer w.Abort()
	if err := readTar(ctx, io.TeeReader(head, w)); err != nil {
		return oci.Layer{}, err
	}
	return w.Commit()
}
