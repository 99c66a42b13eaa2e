package layer

import (
	"errors"
	"fmt"
	"io"
	"sync"
)

const (
	blockSize   = 512
	writeBuffer = 256 << 10
)

// Writer writes a layer tar entry by entry. Its bytes are those of archive/tar
// for the same headers; it makes no garbage for a plain entry, and writes to
// the writer below in large pieces only. It is not safe for concurrent use.
type Writer struct {
	w      io.Writer
	buf    []byte // not yet handed on: buf[:n]
	n      int
	remain int64 // content of the current entry still to come
	pad    int   // zeros after that content
	total  int64 // bytes of tar so far
	pax    []byte
	name   []byte
	err    error // sticky
}

// NewWriter makes a Writer on w. Close completes the tar; it does not close w.
func NewWriter(w io.Writer) *Writer {
	return &Writer{w: w, buf: *writeBuffers.Get().(*[]byte)}
}

// writeBuffers are those of writers that were closed.
var writeBuffers = sync.Pool{New: func() any { b := make([]byte, writeBuffer); return &b }}

// WriteHeader begins the entry e. The e.Size bytes of a regular file must
// follow by Write or ReadFrom; other types have none, whatever e.Size says.
// Times are written in whole seconds, rounded down. It keeps no reference to e.
func (t *Writer) WriteHeader(e *Entry) error {
	if err := t.endEntry(); err != nil {
		return err
	}
	if err := t.encode(e); err != nil {
		return t.fail(fmt.Errorf("write header of %q: %w", e.Path, err))
	}
	if e.Type == TypeFile {
		t.remain = e.Size
		t.pad = int(-e.Size & (blockSize - 1))
	}
	return nil
}

// Write appends to the content of the current file.
func (t *Writer) Write(p []byte) (int, error) {
	if t.err != nil {
		return 0, t.err
	}
	if int64(len(p)) > t.remain {
		return 0, t.fail(errors.New("write more than the size of the entry"))
	}
	t.remain -= int64(len(p))
	return t.write(p)
}

// ReadFrom copies the whole content of the current file from r. Content
// that is shorter or longer than the entry's size is an error.
func (t *Writer) ReadFrom(r io.Reader) (int64, error) {
	return t.copyContent(r, nil)
}

// copyContent is ReadFrom that also shows each piece to tee. A piece is only
// valid during the call.
func (t *Writer) copyContent(r io.Reader, tee func([]byte) error) (int64, error) {
	var done int64
	for t.remain > 0 {
		p, err := t.window()
		if err != nil {
			return done, err
		}
		n, err := readSome(r, p)
		if n > 0 && tee != nil {
			if terr := tee(p[:n]); terr != nil {
				return done, t.fail(terr)
			}
		}
		t.advance(n)
		done += int64(n)
		if err == io.EOF {
			return done, t.fail(fmt.Errorf("content ended %d bytes before its size: %w", t.remain, io.ErrUnexpectedEOF))
		}
		if err != nil {
			return done, t.fail(err)
		}
	}
	return done, nil
}

// readSome reads once, retrying empty reads; EOF only when nothing was read.
func readSome(r io.Reader, p []byte) (int, error) {
	for range 100 {
		n, err := r.Read(p)
		if n > 0 {
			if err == io.EOF {
				err = nil
			}
			return n, err
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

// window is a place in the buffer for the next bytes of content, never empty.
func (t *Writer) window() ([]byte, error) {
	if t.err != nil {
		return nil, t.err
	}
	// A nearly full buffer would cut the next read into crumbs.
	if free := len(t.buf) - t.n; int64(free) < t.remain && free < len(t.buf)/2 {
		if err := t.flush(); err != nil {
			return nil, err
		}
	}
	p := t.buf[t.n:]
	if int64(len(p)) > t.remain {
		p = p[:t.remain]
	}
	return p, nil
}

func (t *Writer) advance(n int) {
	t.n += n
	t.total += int64(n)
	t.remain -= int64(n)
}

// Size is the number of bytes written so far, those not yet handed on included.
func (t *Writer) Size() int64 { return t.total }

// Close ends the tar with its two zero blocks and hands everything on. A file
// whose content is incomplete is an error. It does not close the writer below.
func (t *Writer) Close() error {
	if err := t.endEntry(); err != nil {
		return err
	}
	if err := t.zeros(2 * blockSize); err != nil {
		return err
	}
	if err := t.flush(); err != nil {
		return err
	}
	t.err = errors.New("write to a closed layer tar")
	buf := t.buf
	t.buf = nil
	writeBuffers.Put(&buf)
	return nil
}

func (t *Writer) endEntry() error {
	if t.err != nil {
		return t.err
	}
	if t.remain > 0 {
		return t.fail(fmt.Errorf("%d bytes of content missing", t.remain))
	}
	n := t.pad
	t.pad = 0
	return t.zeros(n)
}

func (t *Writer) fail(err error) error {
	if t.err == nil {
		t.err = err
	}
	return err
}

func (t *Writer) write(p []byte) (int, error) {
	done := 0
	for len(p) > 0 {
		if t.n == len(t.buf) || (t.n > 0 && len(p) >= len(t.buf)) {
			if err := t.flush(); err != nil {
				return done, err
			}
		}
		if len(p) >= len(t.buf) { // large pieces are not copied
			n, err := t.w.Write(p)
			t.total += int64(n)
			if err != nil {
				return done + n, t.fail(err)
			}
			return done + n, nil
		}
		n := copy(t.buf[t.n:], p)
		t.n += n
		t.total += int64(n)
		done += n
		p = p[n:]
	}
	return done, nil
}

func (t *Writer) flush() error {
	if t.n == 0 {
		return nil
	}
	n, err := t.w.Write(t.buf[:t.n])
	if err == nil && n < t.n {
		err = io.ErrShortWrite
	}
	if err != nil {
		return t.fail(err)
	}
	t.n = 0
	return nil
}

func (t *Writer) zeros(n int) error {
	for n > 0 {
		if t.n == len(t.buf) {
			if err := t.flush(); err != nil {
				return err
			}
		}
		m := min(n, len(t.buf)-t.n)
		clear(t.buf[t.n : t.n+m])
		t.n += m
		t.total += int64(m)
		n -= m
	}
	return nil
}

// block reserves one zeroed block in the buffer.
func (t *Writer) block() ([]byte, error) {
	if len(t.buf)-t.n < blockSize {
		if err := t.flush(); err != nil {
			return nil, err
		}
	}
	b := t.buf[t.n : t.n+blockSize]
	clear(b)
	t.n += blockSize
	t.total += blockSize
	return b, nil
}
