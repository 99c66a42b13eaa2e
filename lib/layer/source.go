package layer

import (
	"bytes"
	"context"
	"io"
)

const (
	chunkSize  = 256 << 10
	chunkCount = 4
)

// source hands out the bytes of a reader in the pieces they were read in, without
// copying content.
type source struct {
	fill   func() ([]byte, error) // the next chunk, never empty; the one before is given up
	cur    []byte
	offset int64 // of cur[0]
	err    error // sticky
	block  [blockSize]byte
}

// readChunks is the fill of a source that reads r itself.
func readChunks(r io.Reader) func() ([]byte, error) {
	buf := make([]byte, chunkSize)
	return func() ([]byte, error) {
		n, err := readSome(r, buf)
		return buf[:n], err
	}
}

// more makes sure that cur is not empty.
func (s *source) more() error {
	if len(s.cur) > 0 {
		return nil
	}
	if s.err == nil {
		s.cur, s.err = s.fill()
	}
	if len(s.cur) > 0 {
		return nil
	}
	return s.err
}

// take returns between 1 and n bytes, valid until the next call. The end of the
// input is io.EOF.
func (s *source) take(n int64) ([]byte, error) {
	if err := s.more(); err != nil {
		return nil, err
	}
	p := s.cur
	if int64(len(p)) > n {
		p = p[:n]
	}
	s.cur = s.cur[len(p):]
	s.offset += int64(len(p))
	return p, nil
}

// next returns one block, valid until the next call; io.EOF only where no byte follows.
func (s *source) next() ([]byte, error) {
	if len(s.cur) >= blockSize {
		return s.take(blockSize)
	}
	for n := 0; n < blockSize; {
		p, err := s.take(int64(blockSize - n))
		if err == io.EOF && n > 0 {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		n += copy(s.block[n:], p)
	}
	return s.block[:], nil
}

// skip passes over n bytes, all of which must be there.
func (s *source) skip(n int64) error {
	for n > 0 {
		p, err := s.take(n)
		if err != nil {
			return noEOF(err)
		}
		n -= int64(len(p))
	}
	return nil
}

// bytes reads n bytes and the padding after them.
func (s *source) bytes(n int64) ([]byte, error) {
	b := make([]byte, 0, n)
	for int64(len(b)) < n {
		p, err := s.take(n - int64(len(b)))
		if err != nil {
			return nil, noEOF(err)
		}
		b = append(b, p...)
	}
	return b, s.skip(-n & (blockSize - 1))
}

// drain reads to the end and tells how many bytes there were if any was not zero.
func (s *source) drain() (garbage int64, err error) {
	dirty := false
	for {
		p, err := s.take(1 << 62)
		if err == io.EOF {
			if !dirty {
				garbage = 0
			}
			return garbage, nil
		}
		if err != nil {
			return garbage, err
		}
		garbage += int64(len(p))
		dirty = dirty || !isZero(p)
	}
}

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}

// prefetcher reads ahead in a goroutine, so that decompressing and writing go on
// side by side in a fixed number of buffers.
type prefetcher struct {
	ctx  context.Context
	full chan chunk
	free chan []byte
	done chan struct{}
	last []byte
}

type chunk struct {
	buf []byte
	n   int
	err error
}

func prefetch(ctx context.Context, r io.Reader) *prefetcher {
	p := &prefetcher{
		ctx:  ctx,
		full: make(chan chunk, chunkCount),
		free: make(chan []byte, chunkCount),
		done: make(chan struct{}),
	}
	for range chunkCount {
		p.free <- make([]byte, chunkSize)
	}
	go p.read(r)
	return p
}

// read fills free buffers until the input ends or free is closed. A buffer is
// filled whole: a pipe gives 64 KiB at most, and every hand-over costs a switch.
func (p *prefetcher) read(r io.Reader) {
	defer close(p.done)
	for buf := range p.free {
		n, err := io.ReadFull(r, buf)
		if err == io.ErrUnexpectedEOF {
			err = io.EOF
		}
		p.full <- chunk{buf, n, err}
		if err != nil {
			return
		}
	}
}

// fill is the fill of a source.
func (p *prefetcher) fill() ([]byte, error) {
	if p.last != nil {
		p.free <- p.last
		p.last = nil
	}
	select {
	case c := <-p.full:
		p.last = c.buf
		return c.buf[:c.n], c.err
	case <-p.ctx.Done():
		return nil, context.Cause(p.ctx)
	}
}

// stop ends the goroutine and waits for it, unless the context is done: then a
// Read may hang for as long as the far end likes.
func (p *prefetcher) stop() {
	close(p.free)
	for {
		select {
		case <-p.full:
		case <-p.done:
			return
		case <-p.ctx.Done():
			return
		}
	}
}

// isZero tells whether p holds zeros only.
func isZero(p []byte) bool {
	for len(p) > len(zeroPage) {
		if !bytes.Equal(p[:len(zeroPage)], zeroPage[:]) {
			return false
		}
		p = p[len(zeroPage):]
	}
	return bytes.Equal(p, zeroPage[:len(p)])
}

var zeroPage [4096]byte
