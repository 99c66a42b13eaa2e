package build

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"strconv"

	"docksmith/lib/layer"
)

// unpack adds the content of a local archive to the draft, if p is one: a tar,
// plain or compressed, told by its content. Entries replace what is there and
// keep their modes, and their owners unless --chown gives one.
//
// Nothing of the archive touches a file system by name: contents go to numbered
// files, names live in the draft, where links resolve inside the root. So no
// entry can reach outside, whatever it is called.
func (c *copyJob) unpack(ctx context.Context, d *draft, dest string, p *pick, o owner, m *maker) (bool, error) {
	is, err := c.isArchive(p)
	if !is || err != nil {
		return false, err
	}
	f, err := p.tree.files.OpenInfo(p.info)
	if err != nil {
		return false, err
	}
	defer f.Close()
	plain, _, err := layer.Decompress(f, layer.DecompressOptions{})
	if err != nil {
		return false, fmt.Errorf("%s: %w", p.shown, err)
	}
	defer plain.Close()
	if err := d.mkdirAll(dest, o, 0o755); err != nil {
		return false, err
	}
	u := &unpacker{d: d, dest: dest, m: m}
	if c.chown != "" {
		u.owner = &o
	}
	if u.dir, err = m.newSpool(); err != nil {
		return false, err
	}
	r := layer.NewReader(plain, layer.ReaderOptions{Plain: true})
	for {
		e, err := r.Next()
		if err == io.EOF {
			return true, nil
		}
		if err == nil {
			err = errors.Join(ctx.Err(), u.add(e, r))
		}
		if err != nil {
			return false, fmt.Errorf("unpack %s: %w", p.shown, err)
		}
	}
}

// isArchive tells whether a file holds a tar. A file that is compressed and
// holds something else is copied as it is.
func (c *copyJob) isArchive(p *pick) (bool, error) {
	if p.info.Size == 0 {
		return false, nil
	}
	f, err := p.tree.files.OpenInfo(p.info)
	if err != nil {
		return false, err
	}
	defer f.Close()
	plain, _, err := layer.Decompress(f, layer.DecompressOptions{})
	if err != nil {
		return false, tooLarge(p, err)
	}
	defer plain.Close()
	block := make([]byte, 512)
	if _, err := io.ReadFull(plain, block); err != nil {
		return false, tooLarge(p, err)
	}
	return isTarHeader(block), nil
}

// tooLarge keeps the one error that does not say that a file is no archive.
func tooLarge(p *pick, err error) error {
	if errors.Is(err, layer.ErrTooLarge) {
		return fmt.Errorf("%s: %w", p.shown, err)
	}
	return nil
}

// isTarHeader checks the sum that every tar header carries: an octal number at
// 148, the sum of all bytes with its own field blank. Old writers added the
// bytes as signed numbers.
func isTarHeader(block []byte) bool {
	field := bytes.Trim(block[148:156], " \x00")
	want, err := strconv.ParseInt(string(field), 8, 64)
	if err != nil {
		return false
	}
	var unsigned, signed int64
	for i, c := range block {
		if i >= 148 && i < 156 {
			c = ' '
		}
		unsigned += int64(c)
		signed += int64(int8(c))
	}
	return want == unsigned || want == signed
}

// unpacker puts the entries of one archive into a draft.
type unpacker struct {
	d     *draft
	dest  string
	owner *owner // of all entries; nil: their own
	m     *maker
	dir   string // of the numbered files
	n     int
	seen  map[string]*node // regular files by their name in the archive
}

func (u *unpacker) add(e *layer.Entry, content io.Reader) error {
	if e.Path == "." {
		return nil // the destination is what it is
	}
	parent, err := u.d.resolve(path.Join(u.dest, path.Dir(e.Path)))
	if err != nil {
		return err
	}
	if err := u.d.mkdirAll(parent, owner{}, 0o755); err != nil {
		return err
	}
	n := &node{Source: layer.Source{Entry: *e}}
	if u.owner != nil {
		n.UID, n.GID = u.owner.uid, u.owner.gid
	}
	switch e.Type {
	case layer.TypeLink:
		target := u.seen[e.Linkname]
		if target == nil {
			return fmt.Errorf("hard link %s: its target %s is not in the archive before it", e.Path, e.Linkname)
		}
		u.d.link(n, target)
	case layer.TypeFile:
		if n.Open, err = u.spool(content); err != nil {
			return err
		}
	}
	if u.seen == nil {
		u.seen = map[string]*node{}
	}
	if n.Type != layer.TypeDir {
		u.seen[e.Path] = n
	}
	return u.d.put(path.Join(parent, path.Base(e.Path)), n, true)
}

// spool keeps the content of a file until the layer is written.
func (u *unpacker) spool(content io.Reader) (func() (io.ReadCloser, error), error) {
	u.n++
	name := filepath.Join(u.dir, strconv.Itoa(u.n))
	f, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Close()); err != nil {
		return nil, err
	}
	return func() (io.ReadCloser, error) { return os.Open(name) }, nil
}

// newSpool makes a directory for the contents of an archive.
func (m *maker) newSpool() (string, error) {
	return os.MkdirTemp(m.temp.Path(), "archive-")
}
