package cache

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/zeebo/blake3"
)

const (
	// maxPreimage bounds a decoded pre-image: over a million files.
	maxPreimage = 256 << 20
	// maxText bounds one value in it. A RUN heredoc is the longest there is.
	maxText = 16 << 20
)

var errPreimage = errors.New("not a pre-image")

// readPreimage decodes what WriteTo wrote and checks it against the key.
func readPreimage(r io.Reader, key string) (*Preimage, error) {
	h := blake3.New()
	d := newDecoder(io.TeeReader(r, h))
	p := d.preimage()
	if d.err != nil {
		return nil, d.err
	}
	if _, err := d.r.ReadByte(); err != io.EOF {
		if err == nil {
			err = fmt.Errorf("%w: data after its end", errPreimage)
		}
		return nil, err
	}
	if got := keyPrefix + hex.EncodeToString(h.Sum(nil)); got != key {
		return nil, fmt.Errorf("%w of this key: its key is %s", errPreimage, got)
	}
	return p, nil
}

// decoder keeps the first error; after it everything reads as zero. Nothing is
// allocated for a length before that many bytes are there.
type decoder struct {
	r   *bufio.Reader
	err error
}

func newDecoder(r io.Reader) *decoder {
	return &decoder{r: bufio.NewReaderSize(io.LimitReader(r, maxPreimage), 64<<10)}
}

func (d *decoder) fail(err error) {
	if err == io.EOF {
		err = io.ErrUnexpectedEOF
	}
	if d.err == nil {
		d.err = fmt.Errorf("%w: %w", errPreimage, err)
	}
}

func (d *decoder) number() uint64 {
	if d.err != nil {
		return 0
	}
	n, err := binary.ReadUvarint(d.r)
	if err != nil {
		d.fail(err)
		return 0
	}
	return n
}

func (d *decoder) text() string {
	n := d.number()
	if n > maxText {
		d.fail(fmt.Errorf("value of %d bytes", n))
	}
	if d.err != nil {
		return ""
	}
	var b strings.Builder
	if _, err := io.CopyN(&b, d.r, int64(n)); err != nil {
		d.fail(err)
		return ""
	}
	return b.String()
}

func (d *decoder) preimage() *Preimage {
	if schema := d.text(); d.err == nil && schema != PreimageSchema {
		d.fail(fmt.Errorf("schema %q, want %q", schema, PreimageSchema))
	}
	p := &Preimage{}
	for n := d.number(); n > 0 && d.err == nil; n-- {
		p.Components = append(p.Components, d.component())
	}
	return p
}

func (d *decoder) component() Component {
	c := Component{Name: d.text(), Value: d.text()}
	for n := d.number(); n > 0 && d.err == nil; n-- {
		c.Files = append(c.Files, d.file())
	}
	return c
}

func (d *decoder) file() File {
	f := File{Path: d.text(), Type: d.text()}
	mode := d.number()
	if mode > 1<<32-1 {
		d.fail(fmt.Errorf("mode %#o", mode))
	}
	f.Mode = uint32(mode)
	f.Owner, f.Link = d.text(), d.text()
	if d.err == nil {
		if _, err := io.ReadFull(d.r, f.Hash[:]); err != nil {
			d.fail(err)
		}
	}
	for n := d.number(); n > 0 && d.err == nil; n-- {
		if f.Xattrs == nil {
			f.Xattrs = Xattrs{}
		}
		name := d.text()
		f.Xattrs[name] = d.text()
	}
	return f
}
