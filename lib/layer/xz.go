package layer

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/crc64"
	"io"

	"github.com/ulikunitz/xz/lzma"
)

// xzReader reads .xz files, version 1.2.1 of the format, with the one filter
// that archives use: LZMA2. The container is read here and not by the library,
// whose reader makes a dictionary of any size that a block asks for, up to
// 4 GiB, and keeps a record of every block until the end.
type xzReader struct {
	in    *countReader // over r
	r     *bufio.Reader
	begun bool // a stream has been read
	check byte // kind of check of this stream's blocks; valid if open
	open  bool // inside a stream
	seen  xzIndex

	block *xzBlock // nil between blocks
	err   error
}

// xzBlock is a block being read.
type xzBlock struct {
	data         io.Reader
	sum          hash.Hash // nil without a check
	start, size  int64     // where it began, what came out
	headerSize   int64
	packed, want int64 // sizes that its header states; -1: none
}

// xzIndex is what the index at the end of a stream must say: the number of
// blocks, and a hash over their sizes instead of a list that could be long.
type xzIndex struct {
	n   uint64
	sum hash.Hash
}

func (x *xzIndex) add(unpadded, size uint64) {
	if x.sum == nil {
		x.sum = sha256.New()
	}
	x.n++
	x.sum.Write(binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, unpadded), size))
}

func (x *xzIndex) equal(y *xzIndex) bool {
	return x.n == y.n && (x.n == 0 || bytes.Equal(x.sum.Sum(nil), y.sum.Sum(nil)))
}

var (
	magicXz      = []byte("\xfd7zXZ\x00")
	errXzBroken  = errors.New("malformed stream")
	errXzFilter  = errors.New("a filter other than LZMA2")
	errXzTrailer = errors.New("bytes after the end")
)

// newXzReader begins with the first stream's header.
func newXzReader(r io.Reader) (*xzReader, error) {
	in := &countReader{r: r}
	x := &xzReader{in: in, r: bufio.NewReaderSize(in, 64<<10)}
	if err := x.header(); err != nil {
		return nil, noEOF(err)
	}
	return x, nil
}

// at is how many bytes were taken from the input.
func (x *xzReader) at() int64 { return x.in.n - int64(x.r.Buffered()) }

func (x *xzReader) Read(p []byte) (int, error) {
	for x.err == nil {
		if x.block == nil {
			x.err = x.next()
			continue
		}
		n, err := x.block.read(p)
		if err == io.EOF {
			err = x.endBlock()
		}
		x.err = err
		if n > 0 || len(p) == 0 {
			return n, nil // an error comes with the next call
		}
	}
	return 0, x.err
}

// next begins a block, or ends the stream and begins the next. Its error is
// io.EOF at the clean end of the input alone.
func (x *xzReader) next() error {
	if !x.open {
		return x.header()
	}
	size, err := x.r.ReadByte()
	if err != nil {
		return noEOF(err)
	}
	if size != 0 {
		return noEOF(x.beginBlock(size))
	}
	return noEOF(x.endStream())
}

// header reads a stream's header, and before a further one the padding: zeros
// in groups of four.
func (x *xzReader) header() error {
	buf := make([]byte, 12)
	for {
		if _, err := io.ReadFull(x.r, buf[:4]); err != nil {
			if err == io.EOF && x.begun {
				return io.EOF
			}
			return noEOF(err)
		}
		if !x.begun || !bytes.Equal(buf[:4], make([]byte, 4)) {
			break
		}
	}
	if !bytes.Equal(buf[:4], magicXz[:4]) {
		return errXzTrailer
	}
	if _, err := io.ReadFull(x.r, buf[4:]); err != nil {
		return noEOF(err)
	}
	if !bytes.Equal(buf[:6], magicXz) || binary.LittleEndian.Uint32(buf[8:]) != crc32.ChecksumIEEE(buf[6:8]) {
		return fmt.Errorf("header: %w", errXzBroken)
	}
	if buf[6] != 0 || xzCheckSize(buf[7]) < 0 {
		return fmt.Errorf("header: unknown flags %x", buf[6:8])
	}
	x.check, x.open, x.begun, x.seen = buf[7], true, true, xzIndex{}
	return nil
}

// xzCheckSize is how long a kind of check is; -1 for those that are not used.
func xzCheckSize(kind byte) int {
	switch kind {
	case 0:
		return 0
	case 1:
		return 4
	case 4:
		return 8
	case 10:
		return sha256.Size
	}
	return -1
}

func (x *xzReader) beginBlock(sizeByte byte) error {
	b := &xzBlock{start: x.at() - 1, headerSize: (int64(sizeByte) + 1) * 4, packed: -1, want: -1}
	buf := make([]byte, b.headerSize)
	buf[0] = sizeByte
	if _, err := io.ReadFull(x.r, buf[1:]); err != nil {
		return noEOF(err)
	}
	body, sum := buf[:len(buf)-4], buf[len(buf)-4:]
	if binary.LittleEndian.Uint32(sum) != crc32.ChecksumIEEE(body) {
		return fmt.Errorf("block header: %w", errXzBroken)
	}
	window, err := b.parse(body[1:])
	if err != nil {
		return fmt.Errorf("block header: %w", err)
	}
	if b.data, err = (lzma.Reader2Config{DictCap: window}).NewReader2(x.r); err != nil {
		return err
	}
	switch x.check {
	case 1:
		b.sum = crc32.NewIEEE()
	case 4:
		b.sum = crc64.New(crc64.MakeTable(crc64.ECMA)) // made once, but not at every program's start
	case 10:
		b.sum = sha256.New()
	}
	x.block = b
	return nil
}

// parse reads the fields of a block's header and gives the size of the dictionary.
func (b *xzBlock) parse(p []byte) (window int, err error) {
	flags := p[0]
	if flags&0x3c != 0 {
		return 0, errXzBroken
	}
	r := bytes.NewReader(p[1:])
	if flags&0x40 != 0 {
		if b.packed, err = xzSize(r); err != nil {
			return 0, err
		}
	}
	if flags&0x80 != 0 {
		if b.want, err = xzSize(r); err != nil {
			return 0, err
		}
	}
	filter := make([]byte, 3)
	if _, err := io.ReadFull(r, filter); err != nil {
		return 0, errXzBroken
	}
	if flags&3 != 0 || filter[0] != 0x21 || filter[1] != 1 {
		return 0, errXzFilter
	}
	for rest := p[len(p)-r.Len():]; len(rest) > 0; rest = rest[1:] {
		if rest[0] != 0 {
			return 0, errXzBroken
		}
	}
	size, err := lzma.DecodeDictCap(filter[2])
	if err != nil {
		return 0, errXzBroken
	}
	if size > maxWindow {
		return 0, fmt.Errorf("a dictionary of %d bytes, more than %d: %w", size, maxWindow, ErrTooLarge)
	}
	return int(max(size, lzma.MinDictCap)), nil
}

// xzSize reads a number of up to nine groups of seven bits, the lowest first.
func xzSize(r io.ByteReader) (int64, error) {
	var n int64
	for shift := 0; shift < 63; shift += 7 {
		c, err := r.ReadByte()
		if err != nil {
			return 0, noEOF(err)
		}
		n |= int64(c&0x7f) << shift
		if c < 0x80 {
			if c == 0 && shift > 0 {
				return 0, errXzBroken
			}
			return n, nil
		}
	}
	return 0, errXzBroken
}

func (b *xzBlock) read(p []byte) (int, error) {
	n, err := b.data.Read(p)
	b.size += int64(n)
	if b.sum != nil {
		b.sum.Write(p[:n])
	}
	return n, err
}

// endBlock reads what follows the data of a block and compares.
func (x *xzReader) endBlock() error {
	b := x.block
	x.block = nil
	packed := x.at() - b.start - b.headerSize
	if b.packed >= 0 && b.packed != packed || b.want >= 0 && b.want != b.size {
		return fmt.Errorf("sizes of a block: %w", errXzBroken)
	}
	check := xzCheckSize(x.check)
	tail := make([]byte, int(-packed&3)+check)
	if _, err := io.ReadFull(x.r, tail); err != nil {
		return noEOF(err)
	}
	padding, want := tail[:len(tail)-check], tail[len(tail)-check:]
	if len(bytes.Trim(padding, "\x00")) > 0 {
		return errXzBroken
	}
	if b.sum != nil {
		got := b.sum.Sum(nil)
		if x.check != 10 { // the short ones are written the other way round
			for i, j := 0, len(got)-1; i < j; i, j = i+1, j-1 {
				got[i], got[j] = got[j], got[i]
			}
		}
		if !bytes.Equal(got, want) {
			return fmt.Errorf("check of a block: %w", errXzBroken)
		}
	}
	x.seen.add(uint64(b.headerSize+packed+int64(check)), uint64(b.size))
	return nil
}

// endStream reads the index, whose first byte was read, and the footer.
func (x *xzReader) endStream() error {
	start := x.at() - 1
	crc := crc32.NewIEEE()
	crc.Write([]byte{0})
	r := &summedBytes{x.r, crc}
	count, err := xzSize(r)
	if err != nil {
		return err
	}
	var listed xzIndex
	for range count {
		unpadded, err := xzSize(r)
		if err != nil {
			return err
		}
		size, err := xzSize(r)
		if err != nil {
			return err
		}
		if listed.n == x.seen.n {
			return fmt.Errorf("index: %w", errXzBroken)
		}
		listed.add(uint64(unpadded), uint64(size))
	}
	for (x.at()-start)%4 != 0 {
		if c, err := r.ReadByte(); err != nil {
			return err
		} else if c != 0 {
			return fmt.Errorf("index: %w", errXzBroken)
		}
	}
	size := x.at() - start + 4
	tail := make([]byte, 4+12)
	if _, err := io.ReadFull(x.r, tail); err != nil {
		return noEOF(err)
	}
	footer := tail[4:]
	if !listed.equal(&x.seen) || binary.LittleEndian.Uint32(tail) != crc.Sum32() ||
		binary.LittleEndian.Uint32(footer) != crc32.ChecksumIEEE(footer[4:10]) ||
		(int64(binary.LittleEndian.Uint32(footer[4:]))+1)*4 != size ||
		footer[8] != 0 || footer[9] != x.check || string(footer[10:]) != "YZ" {
		return fmt.Errorf("index: %w", errXzBroken)
	}
	x.open = false
	return nil
}

// summedBytes gives single bytes and adds them to a hash.
type summedBytes struct {
	r *bufio.Reader
	h hash.Hash
}

func (s *summedBytes) ReadByte() (byte, error) {
	c, err := s.r.ReadByte()
	if err == nil {
		s.h.Write([]byte{c})
	}
	return c, err
}
