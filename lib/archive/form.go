package archive

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
)

// form looks at what readers of a tar pass over: the sums of headers to their
// last byte, what fills blocks up, and what follows the end. All of it is as
// every writer makes it, or it was damaged.
type form struct {
	file *os.File
	pos  int64 // up to here all was looked at, or is content
}

const tarBlock = 512

// header looks at the headers before a content that begins at byte at.
func (t *form) header(at, size int64) error {
	for t.pos < at {
		b, err := t.block()
		if err != nil {
			return err
		}
		if err := checkSum(b); err != nil {
			return err
		}
		// A header about the next one has a content, which a size in octal
		// measures; the last header's is behind at.
		if kind := b[156]; kind == 'x' || kind == 'g' || kind == 'L' || kind == 'K' {
			n, err := strconv.ParseInt(string(bytes.Trim(b[124:136], " \x00")), 8, 32)
			if err != nil {
				return fmt.Errorf("size of a header: %w", err)
			}
			if err := t.fill(n); err != nil {
				return err
			}
		}
	}
	return t.fill(size)
}

// fill goes over a content of n bytes to the end of its last block.
func (t *form) fill(n int64) error {
	t.pos += n
	rest := make([]byte, -n&(tarBlock-1))
	if _, err := t.file.ReadAt(rest, t.pos); err != nil && len(rest) > 0 {
		return noEOF(err)
	}
	t.pos += int64(len(rest))
	if !isZero(rest) {
		return errors.New("there is something between the end of the content and that of its block")
	}
	return nil
}

// end looks at everything behind the last content.
func (t *form) end() error {
	for blocks := 0; ; blocks++ {
		b, err := t.block()
		if err == io.EOF && blocks >= 2 {
			return nil
		}
		if err != nil {
			return fmt.Errorf("end of the archive: %w", noEOF(err))
		}
		if !isZero(b) {
			return fmt.Errorf("something follows the end of the archive at byte %d", t.pos-tarBlock)
		}
	}
}

func (t *form) block() ([]byte, error) {
	b := make([]byte, tarBlock)
	n, err := t.file.ReadAt(b, t.pos)
	if n > 0 && n < tarBlock {
		return nil, io.ErrUnexpectedEOF
	}
	if n == tarBlock {
		err = nil
	}
	t.pos += int64(n)
	return b, err
}

// checkSum compares a header with its sum, whose eight bytes count as spaces:
// six octal digits, NUL and space.
func checkSum(b []byte) error {
	sum := 8 * int(' ')
	for i, c := range b {
		if i < 148 || i >= 156 {
			sum += int(c)
		}
	}
	if want := fmt.Sprintf("%06o\x00 ", sum); string(b[148:156]) != want {
		return fmt.Errorf("the sum of the header is %q, want %q", b[148:156], want)
	}
	return nil
}

func isZero(b []byte) bool { return len(bytes.Trim(b, "\x00")) == 0 }

func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
