package layer

import (
	"bufio"
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

const (
	defaultRatio = 1100     // gzip cannot do more than 1032
	xzRatio      = 8000     // zeros make 6900
	freeBytes    = 16 << 30 // above which the ratio counts: zeros of a sparse file are no bomb
	maxWindow    = 128 << 20
	aheadSize    = 256 << 10
	aheadCount   = 4
)

// ErrTooLarge is the error of a compressed stream that expands beyond the limits.
var ErrTooLarge = errors.New("expands beyond the limit")

// DecompressOptions bound what a compressed stream may cost.
type DecompressOptions struct {
	// MaxRatio is how many bytes may come out for one that went in, once more than
	// Free have come out. Default 1100, which a gzip stream cannot reach, for xz 8000; negative: no limit.
	MaxRatio int64
	// Free is the plain size below which no ratio is suspicious. Default 16 GiB.
	Free int64
	// MaxBytes is the largest plain size. Default: no limit.
	MaxBytes int64
}

// Decompress gives the plain bytes of r, whose format it tells by its first bytes: gzip,
// zstd, bzip2, xz, or none of them. A cut stream is io.ErrUnexpectedEOF, never a clean
// end; bytes after the end of a compressed stream are an error, except a
// further gzip member, zstd frame, bzip2 or xz stream. An empty r is plain and empty.
//
// Compressed streams are read and expanded ahead by a goroutine, in bounded memory. Close
// waits for it, and so for a Read of r that is under way; it does not close r.
func Decompress(r io.Reader, o DecompressOptions) (io.ReadCloser, Compression, error) {
	in := &countReader{r: r}
	br := bufio.NewReaderSize(in, 64<<10)
	magic, err := br.Peek(6)
	if err != nil && err != io.EOF {
		return nil, None, err
	}
	c := detect(magic)
	var plain io.Reader
	var end func()
	switch c {
	case None:
		return io.NopCloser(&limitReader{r: br, in: in, o: o.withDefaults(c)}), None, nil
	case Gzip:
		plain, err = gzip.NewReader(br)
	case Zstd:
		var d *zstd.Decoder
		d, err = zstd.NewReader(br, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true),
			zstd.WithDecoderMaxWindow(maxWindow))
		if err == nil {
			plain, end = d, d.Close
		}
	case Bzip2:
		plain = bzip2.NewReader(br)
	case Xz:
		plain, err = newXzReader(br)
	}
	if err != nil {
		return nil, c, decompressError(c, err)
	}
	plain = &limitReader{r: plain, in: in, o: o.withDefaults(c), format: c}
	return readAhead(plain, end), c, nil
}

// detect tells a format by the first bytes of a stream.
func detect(b []byte) Compression {
	switch {
	case bytes.HasPrefix(b, []byte{0x1f, 0x8b}):
		return Gzip
	case bytes.HasPrefix(b, []byte{0x28, 0xb5, 0x2f, 0xfd}):
		return Zstd
	case len(b) >= 4 && b[0]&0xf0 == 0x50 && b[1] == 0x2a && b[2] == 0x4d && b[3] == 0x18:
		return Zstd // a skippable frame comes first
	case len(b) >= 4 && bytes.HasPrefix(b, []byte("BZh")) && b[3] >= '1' && b[3] <= '9':
		return Bzip2
	case bytes.HasPrefix(b, magicXz):
		return Xz
	}
	return None
}

func decompressError(c Compression, err error) error {
	if err == nil || c == None {
		return err
	}
	if err == io.EOF { // inside a header
		err = io.ErrUnexpectedEOF
	}
	return fmt.Errorf("decompress %s: %w", c, err)
}

func (o DecompressOptions) withDefaults(c Compression) DecompressOptions {
	if o.MaxRatio == 0 {
		o.MaxRatio = defaultRatio
		if c == Xz {
			o.MaxRatio = xzRatio
		}
	}
	if o.Free == 0 {
		o.Free = freeBytes
	}
	if c == None {
		o.MaxRatio = -1
	}
	return o
}

type countReader struct {
	r io.Reader
	n int64
}

func (c *countReader) Read(p []byte) (int, error) {
	n, err := c.r.Read(p)
	c.n += int64(n)
	return n, err
}

// limitReader ends a stream that grows too much, with an error.
type limitReader struct {
	r      io.Reader
	in     *countReader
	o      DecompressOptions
	format Compression
	n      int64
}

func (l *limitReader) Read(p []byte) (int, error) {
	n, err := l.r.Read(p)
	l.n += int64(n)
	switch {
	case l.o.MaxBytes > 0 && l.n > l.o.MaxBytes:
		return 0, decompressError(l.format, fmt.Errorf("more than %d bytes: %w", l.o.MaxBytes, ErrTooLarge))
	case l.o.MaxRatio > 0 && l.n > l.o.Free && l.n/l.o.MaxRatio > l.in.n:
		return 0, decompressError(l.format, fmt.Errorf("more than %d bytes from %d: %w", l.n, l.in.n, ErrTooLarge))
	}
	if err != nil && err != io.EOF {
		err = decompressError(l.format, err)
	}
	return n, err
}

// aheadReader reads another reader in a goroutine, some buffers ahead.
type aheadReader struct {
	full chan []byte // filled buffers; closed at the end, with err set
	free chan []byte
	stop chan struct{}
	done chan struct{}
	err  error
	cur  []byte // what is left of buf
	buf  []byte
	shut bool
}

// readAhead starts reading r; end, if not nil, is called by Close when that is over.
func readAhead(r io.Reader, end func()) io.ReadCloser {
	a := &aheadReader{
		full: make(chan []byte, aheadCount), free: make(chan []byte, aheadCount),
		stop: make(chan struct{}), done: make(chan struct{}),
	}
	for range aheadCount {
		a.free <- nil // made at its first use
	}
	go func() {
		defer close(a.done)
		if end != nil {
			defer end()
		}
		defer close(a.full)
		a.err = a.run(r)
	}()
	return a
}

func (a *aheadReader) run(r io.Reader) error {
	for {
		select {
		case <-a.stop:
			return io.ErrClosedPipe
		case buf := <-a.free:
			if buf == nil {
				buf = make([]byte, aheadSize)
			}
			n, err := fillBuffer(r, buf, a.stop)
			if n > 0 {
				a.full <- buf[:n] // never blocks: there are no more buffers than places
			}
			if err != nil {
				return err
			}
		}
	}
}

// fillBuffer is io.ReadFull that keeps the error of a partial read as it is, and
// gives up early when stop is closed.
func fillBuffer(r io.Reader, p []byte, stop <-chan struct{}) (n int, err error) {
	for n < len(p) && err == nil {
		select {
		case <-stop:
			return n, io.ErrClosedPipe
		default:
		}
		var m int
		m, err = readSome(r, p[n:])
		n += m
	}
	return n, err
}

func (a *aheadReader) Read(p []byte) (int, error) {
	if a.shut {
		return 0, errors.New("read of a closed stream")
	}
	if len(p) == 0 {
		return 0, nil
	}
	if len(a.cur) == 0 {
		if a.buf != nil {
			a.free <- a.buf[:cap(a.buf)]
			a.buf = nil
		}
		buf, ok := <-a.full
		if !ok {
			return 0, a.err
		}
		a.buf, a.cur = buf, buf
	}
	n := copy(p, a.cur)
	a.cur = a.cur[n:]
	return n, nil
}

func (a *aheadReader) Close() error {
	if !a.shut {
		a.shut = true
		close(a.stop)
		<-a.done
	}
	return nil
}
