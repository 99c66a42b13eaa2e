package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
)

// ErrTar is the cause of every error about what a tar says, as opposed to
// reading or applying it.
var ErrTar = errors.New("malformed tar")

// ReaderOptions are the options of NewReader.
type ReaderOptions struct {
	// Plain reads an ordinary archive: names that begin with .wh. are just names.
	Plain  bool
	Limits Limits
}

// Reader reads a layer tar entry by entry: ustar, PAX, GNU and the old forms,
// sparse files among them. It is not safe for concurrent use.
//
// It is stricter than most: where programs that read tars are known to disagree
// about an archive (which of two sizes counts, which of two names, where the next
// header is, where the archive ends), the archive is refused. Names come clean and relative: a
// leading "/" is dropped, ".." is refused. An archive without an end mark is cut,
// and an error.
type Reader struct {
	src      source
	o        ReaderOptions
	err      error // sticky
	entries  int64
	bytes    int64 // sum of the sizes
	trailing int64

	// content of the current entry
	pos, size int64 // in the file, holes included
	data      int64 // still to come in the tar
	pad       int64
	sparse    []extent // nil: no holes
	ahead     []byte   // a fragment that Read has begun
	hole      int64
}

// NewReader makes a Reader of an uncompressed tar; see Decompress.
func NewReader(r io.Reader, o ReaderOptions) *Reader {
	return &Reader{src: source{fill: readChunks(r)}, o: o}
}

// Next goes to the next entry; what is left of the current one is skipped. io.EOF:
// the tar ended as it should and the input was read to its end.
func (r *Reader) Next() (*Entry, error) {
	if r.err != nil {
		return nil, r.err
	}
	at := r.src.offset
	e, err := r.next()
	if err != nil {
		r.err = err
		if err != io.EOF {
			r.err = fmt.Errorf("read entry at byte %d: %w", at, err)
		}
		return nil, r.err
	}
	return e, nil
}

func (r *Reader) next() (*Entry, error) {
	for {
		if err := r.src.skip(r.data + r.pad); err != nil {
			return nil, err
		}
		r.pos, r.size, r.data, r.pad, r.sparse, r.ahead, r.hole = 0, 0, 0, 0, nil, nil, 0
		m, err := r.member()
		if err != nil {
			return nil, err
		}
		if m == nil {
			if r.trailing, err = r.src.drain(); err != nil {
				return nil, err
			}
			return nil, io.EOF
		}
		e, err := r.entry(m)
		if err != nil {
			return nil, err
		}
		if e != nil {
			return e, nil
		}
	}
}

// entry makes an Entry of a member and sets up its content; nil if it is one to ignore.
func (r *Reader) entry(m *member) (*Entry, error) {
	e := &Entry{
		Mode: m.mode, UID: m.uid, GID: m.gid, ModTime: m.modTime(),
		Linkname: m.linkname, Major: m.major, Minor: m.minor, Xattrs: m.xattrs,
	}
	r.data, r.pad, r.size, r.sparse = m.size, -m.size&(blockSize-1), m.size, nil
	ignore, err := m.setType(e)
	if err != nil || ignore {
		return nil, err
	}
	if ignore, err := setPath(e, m.name, r.o); err != nil || ignore {
		return nil, err
	}
	if e.Type == TypeFile {
		if err := r.setSparse(m); err != nil {
			return nil, fmt.Errorf("%q: %w", e.Path, err)
		}
		e.Size = r.size
	}
	if e.Type == TypeWhiteout || e.Type == TypeOpaque {
		e.Xattrs, e.Linkname, e.Major, e.Minor = nil, "", 0, 0
	}
	return e, r.charge(e)
}

// charge counts an entry against the limits.
func (r *Reader) charge(e *Entry) error {
	l := r.o.Limits.orDefault()
	if r.entries++; r.entries > l.Entries {
		return fmt.Errorf("more than %d entries", l.Entries)
	}
	if r.bytes += e.Size; r.bytes > l.Bytes || r.bytes < 0 {
		return fmt.Errorf("%q: the files are larger than %d bytes in all", e.Path, l.Bytes)
	}
	n := 0
	for k, v := range e.Xattrs {
		n += len(k) + len(v)
	}
	if n > l.Xattrs {
		return fmt.Errorf("%q: %d bytes of extended attributes, more than %d", e.Path, n, l.Xattrs)
	}
	return nil
}

func (l Limits) orDefault() Limits {
	if l.Bytes <= 0 {
		l.Bytes = 1 << 40
	}
	if l.Entries <= 0 {
		l.Entries = 4 << 20
	}
	if l.Depth <= 0 {
		l.Depth = 1024
	}
	if l.Xattrs <= 0 {
		l.Xattrs = 128 << 10
	}
	return l
}

// Trailing is the number of bytes after the end mark, if not all were zero.
// Readers agree to ignore them. It is known when Next has returned io.EOF.
func (r *Reader) Trailing() int64 { return r.trailing }

// fragment returns the next piece of the current file: data, valid until the
// next call, or the length of a hole. io.EOF at its end.
func (r *Reader) fragment() (data []byte, hole int64, err error) {
	if r.err != nil {
		return nil, 0, r.err
	}
	for len(r.sparse) > 0 && r.pos == r.sparse[0].end() {
		r.sparse = r.sparse[1:]
	}
	if r.pos >= r.size {
		return nil, 0, io.EOF
	}
	n := r.size - r.pos
	if r.sparse != nil {
		if len(r.sparse) == 0 || r.pos < r.sparse[0].off {
			if len(r.sparse) > 0 {
				n = r.sparse[0].off - r.pos
			}
			r.pos += n
			return nil, n, nil
		}
		n = r.sparse[0].end() - r.pos
	}
	p, err := r.src.take(n)
	if err != nil {
		r.err = fmt.Errorf("read content: %w", noEOF(err))
		return nil, 0, r.err
	}
	r.pos += int64(len(p))
	r.data -= int64(len(p))
	return p, 0, nil
}

// piece makes sure that there is data or a hole at hand for Read and WriteTo.
func (r *Reader) piece() (err error) {
	if len(r.ahead) == 0 && r.hole == 0 {
		r.ahead, r.hole, err = r.fragment()
	}
	return err
}

// Read reads the content of the current entry; holes read as zeros.
func (r *Reader) Read(p []byte) (int, error) {
	if err := r.piece(); err != nil {
		return 0, err
	}
	if r.hole > 0 {
		n := min(int64(len(p)), r.hole)
		clear(p[:n])
		r.hole -= n
		return int(n), nil
	}
	n := copy(p, r.ahead)
	r.ahead = r.ahead[n:]
	return n, nil
}

// WriteTo writes the rest of the current entry's content to w.
func (r *Reader) WriteTo(w io.Writer) (int64, error) { return r.CopyTo(context.Background(), w) }

// CopyTo is WriteTo, but no longer than ctx.
func (r *Reader) CopyTo(ctx context.Context, w io.Writer) (total int64, err error) {
	var zeros []byte
	for {
		if err := context.Cause(ctx); err != nil {
			return total, err
		}
		if err := r.piece(); err == io.EOF {
			return total, nil
		} else if err != nil {
			return total, err
		}
		p := r.ahead
		if r.hole > 0 {
			if zeros == nil {
				zeros = make([]byte, chunkSize)
			}
			p = zeros[:min(r.hole, chunkSize)]
			r.hole -= int64(len(p))
		} else {
			r.ahead = nil
		}
		n, err := w.Write(p)
		total += int64(n)
		if err != nil {
			return total, err
		}
	}
}

// Entries yields the entries of an uncompressed layer tar; an error is the last
// thing it yields. It reads r to its end and can be used once.
func Entries(r io.Reader) iter.Seq2[*Entry, error] {
	return func(yield func(*Entry, error) bool) {
		rd := NewReader(r, ReaderOptions{})
		for {
			e, err := rd.Next()
			if err == io.EOF {
				return
			}
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}
