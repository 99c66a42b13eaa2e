package archive

import (
	stdtar "archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"

	"docksmith/lib/layer"
)

// tar is a plain tar and where its files are in it.
type tar struct {
	file    *os.File
	members map[string]member
}

type member struct {
	offset, size int64
	link         string // the name that a link means
}

const (
	maxMembers = 100_000 // in an archive that holds images
	maxLinks   = 8       // on the way to a file
)

func openTar(ctx context.Context, name string, o Options) (*tar, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	plain, err := seekable(ctx, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	if plain != f {
		f.Close() // only read from
	}
	t := &tar{file: plain, members: map[string]member{}}
	if err := t.index(ctx, o); err != nil {
		plain.Close() // only read from, or without a name
		return nil, err
	}
	return t, nil
}

// seekable is f itself if that is a plain file, else a temporary file that has no
// name any more, with what is in it.
func seekable(ctx context.Context, f *os.File) (_ *os.File, err error) {
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	plain, codec, err := layer.Decompress(f, layer.DecompressOptions{})
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	if codec == layer.None && info.Mode().IsRegular() {
		return f, nil
	}
	temp, err := os.CreateTemp("", "docksmith-")
	if err != nil {
		return nil, err
	}
	err = os.Remove(temp.Name())
	if err == nil {
		_, err = io.Copy(temp, untilDone{ctx, plain})
	}
	if err != nil {
		return nil, errors.Join(err, temp.Close())
	}
	return temp, nil
}

// untilDone is a reader that the end of a context stops.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

func (u untilDone) Read(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(p)
}

// index finds the members. The reader seeks over contents, so the file's
// position after a header is where the content begins.
func (t *tar) index(ctx context.Context, o Options) error {
	if _, err := t.file.Seek(0, io.SeekStart); err != nil {
		return err
	}
	form := form{file: t.file}
	r := stdtar.NewReader(t.file)
	for {
		h, err := r.Next()
		if err == io.EOF && o.Strict {
			return form.end()
		}
		if err == io.EOF {
			return nil
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
		m, err := t.add(h, at)
		if err == nil && o.Strict {
			err = form.header(at, m.size)
		}
		if err != nil {
			return fmt.Errorf("%q: %w", h.Name, err)
		}
	}
}

// clean is the name of a member that is looked up: relative to the top, and below it.
func clean(name string) string { return path.Clean("/" + name)[1:] }

// add notes a member whose content begins at a byte.
func (t *tar) add(h *stdtar.Header, at int64) (m member, err error) {
	name := clean(h.Name)
	switch h.Typeflag {
	case stdtar.TypeReg:
		m.offset, m.size = at, h.Size
	case stdtar.TypeSymlink:
		m.link = clean(path.Join(path.Dir(name), h.Linkname))
	case stdtar.TypeLink:
		m.link = clean(h.Linkname)
	case stdtar.TypeGNUSparse:
		return m, errors.New("is sparse")
	default:
		return m, nil
	}
	if _, twice := t.members[name]; twice {
		return m, errors.New("is there twice")
	}
	if len(t.members) >= maxMembers {
		return m, fmt.Errorf("is one of more than %d files", maxMembers)
	}
	t.members[name] = m
	return m, nil
}

func (t *tar) Open(name string) (io.ReadCloser, int64, error) {
	at := path.Clean(name)
	for range maxLinks {
		m, ok := t.members[at]
		switch {
		case !ok:
			return nil, 0, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
		case m.link == "":
			return io.NopCloser(io.NewSectionReader(t.file, m.offset, m.size)), m.size, nil
		}
		at = m.link
	}
	return nil, 0, fmt.Errorf("%q: too many links", name)
}

func (t *tar) Names() ([]string, error) {
	list := make([]string, 0, len(t.members))
	for name, m := range t.members {
		if m.link == "" {
			list = append(list, name)
		}
	}
	return list, nil
}

func (t *tar) Close() error { return t.file.Close() }
