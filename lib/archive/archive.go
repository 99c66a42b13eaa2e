// Package archive gives the files of a directory or a tar by their names, in any
// order: what holds images, an OCI layout or the output of docker save. A tar
// that is compressed, or a pipe, is copied to a temporary file first.
//
// It knows nothing of images. The one invariant: no file is opened that is outside
// of the directory or the tar, wherever links lead.
//
//	from, err := archive.Open(ctx, "app.tar", archive.Options{})
//	index, err := archive.Document(from, "index.json")
package archive

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"docksmith/lib/oci"
)

// Files are those of an archive or a directory. They may be read at once.
type Files interface {
	// Open gives a regular file and its size, through links within; fs.ErrNotExist
	// when there is none.
	Open(name string) (io.ReadCloser, int64, error)
	// Names lists all files, in any order; of a tar without the links.
	Names() ([]string, error)
	// Close lets go of all.
	Close() error
}

// Options of Open.
type Options struct {
	// Strict refuses a tar with anything in it that readers pass over: what is not
	// as every writer makes it is damaged. Default: it must only be readable.
	Strict bool
}

// Open opens the directory or tar at path. The caller closes it.
func Open(ctx context.Context, path string, o Options) (Files, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(path)
		if err != nil {
			return nil, err
		}
		return directory{root}, nil
	}
	return openTar(ctx, path, o)
}

// Document reads a small file whole; nil if there is none.
func Document(from Files, name string) ([]byte, error) {
	in, size, err := from.Open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	if size > oci.MaxDocument {
		return nil, fmt.Errorf("%q: a document of %d bytes, at most %d are read", name, size, oci.MaxDocument)
	}
	raw, err := io.ReadAll(io.LimitReader(in, oci.MaxDocument))
	if err != nil {
		return nil, fmt.Errorf("read %q: %w", name, err)
	}
	return raw, nil
}

type directory struct{ root *os.Root }

// Open looks before it opens: to open a named pipe would wait for a writer.
func (d directory) Open(name string) (io.ReadCloser, int64, error) {
	name = filepath.FromSlash(path.Clean(name))
	info, err := d.root.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%q is not a regular file", name)
	}
	f, err := d.root.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

func (d directory) Names() ([]string, error) {
	var list []string
	err := fs.WalkDir(d.root.FS(), ".", func(name string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			list = append(list, name)
		}
		return err
	})
	return list, err
}

func (d directory) Close() error { return d.root.Close() }
