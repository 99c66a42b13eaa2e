package compare

import (
	stdtar "archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// files are the files of an archive or a directory, by clean names with "/".
type files interface {
	// open opens a file, or fails with fs.ErrNotExist.
	open(name string) (io.ReadCloser, int64, error)
	Close() error
}

// openFiles opens the directory or tar at name. A tar that is compressed is
// copied to a temporary file first, since its files are read in any order.
func openFiles(name string) (files, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		root, err := os.OpenRoot(name)
		if err != nil {
			return nil, err
		}
		return directory{root}, nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	a, err := newArchive(f)
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", name, err)
	}
	return a, nil
}

type directory struct{ *os.Root }

// open looks before it opens: to open a named pipe would wait for a writer.
func (d directory) open(name string) (io.ReadCloser, int64, error) {
	name = filepath.FromSlash(name)
	info, err := d.Stat(name)
	if err != nil {
		return nil, 0, err
	}
	if !info.Mode().IsRegular() {
		return nil, 0, fmt.Errorf("%q is not a regular file", name)
	}
	f, err := d.Open(name)
	if err != nil {
		return nil, 0, err
	}
	return f, info.Size(), nil
}

// archive is a plain tar and where its files are in it.
type archive struct {
	file    *os.File
	members map[string]place
}

type place struct {
	offset, size int64
	link         string // the name that a link means
}

// maxMembers bounds the files of an archive that holds images.
const maxMembers = 100_000

// newArchive takes f over when it succeeds.
func newArchive(f *os.File) (*archive, error) {
	plain, format, err := layer.Decompress(f, layer.DecompressOptions{})
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	a := &archive{file: f, members: map[string]place{}}
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	spooled := format != layer.None || !info.Mode().IsRegular()
	if spooled {
		if a.file, err = spool(plain); err != nil {
			return nil, err
		}
	}
	if err := a.index(); err != nil {
		if spooled {
			a.file.Close()
		}
		return nil, err
	}
	if spooled {
		f.Close() // only read from
	}
	return a, nil
}

// spool copies r to a temporary file that has no name any more.
func spool(r io.Reader) (*os.File, error) {
	f, err := os.CreateTemp("", "docksmith-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(f.Name())
	if err == nil {
		_, err = io.Copy(f, r)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// index finds the members. The tar reader skips what it does not read by
// seeking, and stands at a member's content when it has given its header.
func (a *archive) index() error {
	if _, err := a.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	tar := stdtar.NewReader(a.file)
	for {
		h, err := tar.Next()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if len(a.members) >= maxMembers {
			return fmt.Errorf("more than %d files", maxMembers)
		}
		name := path.Clean(h.Name)
		var p place
		switch h.Typeflag {
		case stdtar.TypeReg:
			p.size = h.Size
			if p.offset, err = a.file.Seek(0, io.SeekCurrent); err != nil {
				return err
			}
		case stdtar.TypeSymlink:
			p.link = path.Join(path.Dir(name), h.Linkname)
		case stdtar.TypeLink:
			p.link = path.Clean(h.Linkname)
		default:
			continue
		}
		if _, twice := a.members[name]; twice {
			return fmt.Errorf("%q: is there twice", name)
		}
		a.members[name] = p
	}
}

func (a *archive) open(name string) (io.ReadCloser, int64, error) {
	for range 8 {
		p, ok := a.members[name]
		switch {
		case !ok:
			return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		case p.link == "":
			return io.NopCloser(io.NewSectionReader(a.file, p.offset, p.size)), p.size, nil
		}
		name = p.link
	}
	return nil, 0, fmt.Errorf("%q: too many links", name)
}

func (a *archive) Close() error { return a.file.Close() }

// document reads a small file whole; nil if there is none.
func document(from files, name string) ([]byte, error) {
	in, size, err := from.open(name)
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
