package store

import (
	"bufio"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// incoming is a foreign set of files by name, an archive's or a directory's, on
// its way into the store. Each is copied once to a temporary directory and
// hashed on the way, compressed as it is and, if it is a layer, uncompressed; the
// store sees nothing of it until all that an image needs has been proven.
type incoming struct {
	store *Store
	temp  *Temp
	dir   *os.Root // nil for an archive, whose files are all in files
	files map[string]*spooled
	count int
	// trusting takes layers that the store has without reading them again.
	trusting bool
}

// spooled is one of the files.
type spooled struct {
	path     string // where the copy is; for a blob the store had, the blob
	digest   digest.Digest
	size     int64
	link     string            // of a link in an archive: the name it means
	diffID   digest.Digest     // of a layer
	codec    layer.Compression // of a layer
	notLayer error             // why it is none
}

// maxFiles bounds the files of an archive that holds images.
const maxFiles = 100_000

func (s *Store) newIncoming() (*incoming, error) {
	temp, err := s.TempDir("import")
	if err != nil {
		return nil, err
	}
	return &incoming{store: s, temp: temp, files: map[string]*spooled{}}, nil
}

func (in *incoming) close() error {
	if in.dir != nil {
		in.dir.Close()
	}
	return in.temp.Close()
}

// readArchive spools the files of a tar.
func (in *incoming) readArchive(ctx context.Context, r io.Reader) error {
	tar := layer.NewReader(r, layer.ReaderOptions{Plain: true})
	for {
		e, err := tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(in.files) >= maxFiles {
			return fmt.Errorf("more than %d files", maxFiles)
		}
		var f *spooled
		switch e.Type {
		case layer.TypeFile:
			if f, err = in.spool(ctx, e.Path, e.Size, tar); err != nil {
				return fmt.Errorf("%q: %w", e.Path, err)
			}
		case layer.TypeSymlink:
			f = &spooled{link: path.Join(path.Dir(e.Path), e.Linkname)}
		case layer.TypeLink:
			f = &spooled{link: e.Linkname}
		default:
			continue
		}
		if in.files[e.Path] != nil {
			return fmt.Errorf("%q: is there twice", e.Path)
		}
		in.files[e.Path] = f
	}
}

// get finds a file by its name, through links; nil when there is none.
func (in *incoming) get(ctx context.Context, name string) (*spooled, error) {
	for range 8 {
		f := in.files[name]
		if f == nil && in.dir != nil {
			return in.fetch(ctx, name)
		}
		if f == nil || f.link == "" {
			return f, nil
		}
		name = f.link
	}
	return nil, fmt.Errorf("%q: too many links", name)
}

// fetch spools a file of the directory.
func (in *incoming) fetch(ctx context.Context, name string) (*spooled, error) {
	f, err := in.dir.Open(filepath.FromSlash(name))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() {
		return nil, fmt.Errorf("%q: not a regular file", name)
	}
	file, err := in.spool(ctx, name, st.Size(), f)
	if err != nil {
		return nil, fmt.Errorf("%q: %w", name, err)
	}
	in.files[name] = file
	return file, nil
}

// blobName reads blobs/sha256/HEX.
func blobName(name string) (digest.Digest, bool) {
	hex, ok := strings.CutPrefix(name, "blobs/sha256/")
	d := digest.Digest("sha256:" + hex)
	return d, ok && oci.ValidDigest(d) == nil
}

// spool copies one file and hashes it. A name that is a digest must be true.
func (in *incoming) spool(ctx context.Context, name string, size int64, r io.Reader) (*spooled, error) {
	f := &spooled{size: size}
	want, named := blobName(name)
	var write func([]byte) error
	if named {
		have, err := in.store.refresh(oci.Descriptor{Digest: want, Size: size})
		if err != nil {
			return nil, err
		}
		if have {
			f.path = in.store.BlobPath(want)
		}
	}
	if f.path == "" {
		in.count++
		f.path = filepath.Join(in.temp.Path, strconv.Itoa(in.count))
		out, err := os.OpenFile(f.path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		defer out.Close()
		write = hashSink(out)
	}
	if err := f.read(ctx, r, write); err != nil {
		return nil, err
	}
	if named && f.digest != want {
		return nil, fmt.Errorf("%w: it is %s", ErrCorrupt, f.digest)
	}
	return f, nil
}

// read hashes r as it is and as a layer, and writes it.
func (f *spooled) read(ctx context.Context, r io.Reader, write func([]byte) error) error {
	head := bufio.NewReaderSize(r, 512)
	blob := sha256.New()
	sinks := []func([]byte) error{hashSink(blob)}
	if write != nil {
		sinks = append(sinks, write)
	}
	pr, pw := io.Pipe()
	done := make(chan struct{})
	if looksJSON(head) {
		f.notLayer = errors.New("a JSON document is not a layer")
		close(done)
	} else {
		sinks = append(sinks, hashSink(pw))
		go func() {
			defer close(done)
			f.diffID, f.codec, f.notLayer = readLayer(ctx, pr)
			_, _ = io.Copy(io.Discard, pr) // its error is that of the copy below
		}()
	}
	fan := newFan(sinks...)
	n, err := copyTo(ctx, fan, head)
	err = errors.Join(err, fan.Close())
	pw.CloseWithError(err) // nil is the end of the file
	<-done
	if err != nil {
		return err
	}
	if n != f.size {
		return fmt.Errorf("%d bytes where %d were announced: %w", n, f.size, ErrCorrupt)
	}
	f.digest = digest.NewDigest(digest.SHA256, blob)
	return nil
}

// looksJSON spares documents the attempt to read them as a layer.
func looksJSON(r *bufio.Reader) bool {
	b, err := r.Peek(1)
	return err == nil && (b[0] == '{' || b[0] == '[')
}

// document reads a small file whole; nil when there is none.
func (in *incoming) document(ctx context.Context, name string) ([]byte, error) {
	f, err := in.get(ctx, name)
	if f == nil || err != nil {
		return nil, err
	}
	return f.bytes(name)
}

func (f *spooled) bytes(name string) ([]byte, error) {
	if f.size > oci.MaxDocument {
		return nil, fmt.Errorf("%q: a document of %d bytes, at most %d are read", name, f.size, oci.MaxDocument)
	}
	return os.ReadFile(f.path)
}

// blob finds the file that a descriptor of an OCI layout means, and proves it.
func (in *incoming) blob(ctx context.Context, d oci.Descriptor) (*spooled, error) {
	if err := oci.ValidDescriptor(d); err != nil {
		return nil, err
	}
	f, err := in.get(ctx, "blobs/sha256/"+d.Digest.Encoded())
	switch {
	case err != nil:
		return nil, err
	case f == nil:
		return nil, fmt.Errorf("blob %s: %w", d.Digest, oci.ErrNotFound)
	case f.digest != d.Digest:
		return nil, fmt.Errorf("blob %s: %w: it is %s", d.Digest, ErrCorrupt, f.digest)
	case f.size != d.Size:
		return nil, fmt.Errorf("blob %s: %w: %d bytes where %d were announced", d.Digest, ErrCorrupt, f.size, d.Size)
	}
	return f, nil
}

// install puts a proven file into the store.
func (in *incoming) install(f *spooled) error {
	if filepath.Dir(f.path) != in.temp.Path {
		return nil
	}
	file, err := os.Open(f.path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := in.store.install(file, f.digest, f.size); err != nil {
		return err
	}
	f.path = in.store.BlobPath(f.digest)
	if f.diffID != "" && f.codec != layer.None {
		return in.store.remember(f.layer(), LayerOptions{Compression: f.codec})
	}
	return nil
}

func (f *spooled) layer() oci.Layer {
	desc := oci.Descriptor{MediaType: LayerMediaType(f.codec), Digest: f.digest, Size: f.size}
	return oci.Layer{Descriptor: desc, DiffID: f.diffID}
}
