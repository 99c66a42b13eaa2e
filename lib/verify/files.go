package verify

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// files are those of an archive or a layout, by name.
type files interface {
	// open gives a regular file and its size; fs.ErrNotExist when there is none.
	open(name string) (io.ReadCloser, int64, error)
	// names lists all files, in any order.
	names() ([]string, error)
	close() error
}

// blobFiles are the blobs among files.
type blobFiles struct{ files files }

func blobName(d oci.Descriptor) string { return "blobs/sha256/" + d.Digest.Encoded() }

// Open gives a blob whose reader proves it at its end.
func (b blobFiles) Open(d oci.Descriptor) (io.ReadCloser, error) {
	if err := oci.ValidDescriptor(d); err != nil {
		return nil, err
	}
	r, size, err := b.files.open(blobName(d))
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

// dirFiles are the files of a directory. Nothing outside of it is opened.
type dirFiles struct{ root *os.Root }

func (d dirFiles) open(name string) (io.ReadCloser, int64, error) {
	st, err := d.root.Stat(filepath.FromSlash(name))
	if err == nil && !st.Mode().IsRegular() { // opening a pipe would wait
		err = fmt.Errorf("%q is a %s", name, st.Mode().Type())
	}
	if err != nil {
		return nil, 0, err
	}
	f, err := d.root.Open(filepath.FromSlash(name))
	if err != nil {
		return nil, 0, err
	}
	return f, st.Size(), nil
}

func (d dirFiles) names() ([]string, error) {
	var list []string
	err := fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, name)
		}
		return err
	})
	return list, err
}

func (d dirFiles) close() error { return d.root.Close() }

// tarFiles are the files of a tar that is on the disk uncompressed.
type tarFiles struct {
	file *os.File
	at   map[string]member
}

// member is where a file's content is.
type member struct{ offset, size int64 }

// openTar finds the files of an archive, and proves its form: see tarForm. The
// content of a compressed one is in a temporary file until close.
func openTar(ctx context.Context, name string) (*tarFiles, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	plain, codec, err := layer.Decompress(f, layer.DecompressOptions{})
	if err == nil && codec != layer.None {
		f, err = expanded(ctx, f, plain)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	t := &tarFiles{file: f, at: map[string]member{}}
	if err := t.index(ctx); err != nil {
		f.Close()
		return nil, err
	}
	return t, nil
}

// expanded moves plain to a temporary file without a name; it closes both of the others.
func expanded(ctx context.Context, old *os.File, plain io.ReadCloser) (*os.File, error) {
	defer old.Close()
	defer plain.Close()
	f, err := os.CreateTemp("", "ds-verify-")
	if err != nil {
		return old, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, &untilCancelled{ctx, plain})
	}
	if err != nil {
		f.Close()
		return old, err
	}
	return f, nil
}

// untilCancelled reads until the context ends.
type untilCancelled struct {
	ctx context.Context
	r   io.Reader
}

func (u *untilCancelled) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// index reads the headers. The reader seeks over contents, so the file's
// position after a header is where the content begins.
func (t *tarFiles) index(ctx context.Context) error {
	form := tarForm{file: t.file}
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	r := tar.NewReader(t.file)
	for {
		h, err := r.Next()
		if err == io.EOF {
			return form.end()
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
		at, err := t.file.Seek(0, io.SeekCurrent)
		if err != nil {
			return err
		}
		size := int64(0)
		if h.Typeflag == tar.TypeReg {
			size = h.Size
			name := path.Clean("/" + h.Name)[1:]
			if _, twice := t.at[name]; twice {
				return fmt.Errorf("%q is there twice", name)
			}
			t.at[name] = member{at, h.Size}
		} else if h.Typeflag == tar.TypeGNUSparse {
			return fmt.Errorf("%q is sparse", h.Name)
		}
		if err := form.header(at, size); err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

func (t *tarFiles) open(name string) (io.ReadCloser, int64, error) {
	m, ok := t.at[name]
	if !ok {
		return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	return io.NopCloser(io.NewSectionReader(t.file, m.offset, m.size)), m.size, nil
}

func (t *tarFiles) names() ([]string, error) {
	list := make([]string, 0, len(t.at))
	for name := range t.at {
		list = append(list, name)
	}
	return list, nil
}

func (t *tarFiles) close() error { return t.file.Close() }
