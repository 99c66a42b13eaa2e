package layer

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

// Source is an entry together with its content.
type Source struct {
	Entry
	// Open gives the content of a regular file: exactly Size bytes, or Pack fails.
	// nil stands for an empty file. It is called once, at the file's turn.
	Open func() (io.ReadCloser, error)
}

// PackOptions say how Pack writes.
type PackOptions struct {
	// Epoch is the time of every entry, in tar and tree. Default 1970-01-01T00:00:00Z.
	Epoch time.Time
	// KeepTimes takes the entries' own times instead, in whole seconds.
	KeepTimes bool
	// Hash, if not nil, is asked once for each regular file by its index in
	// entries; the content is written to what it returns (nil: to none).
	Hash func(i int) hash.Hash
	// Warn is told of what this user or system cannot make in the tree. Default: silence.
	Warn func(string)
}

// Pack writes entries as a layer to w and makes them in the directory dir, each
// file read once. The tar is the same whatever the tree could take: an owner that
// cannot be set is kept in OwnerXattr, a device that cannot be made is missing.
//
// The order of entries does not matter, but that the last of several with
// one path wins. Directories above an entry must be among the entries,
// except the root, whose own entry "." is optional; it applies to dir itself. The
// target of a hard link must be among them, too. dir must exist, owned by nobody
// else, and should be empty; on error what was made stays for the caller to remove.
// An empty dir makes no tree, and asks for no parents or targets.
func Pack(ctx context.Context, w io.Writer, dir string, entries []Source, o PackOptions) error {
	items, err := packOrder(entries, dir != "")
	if err != nil {
		return fmt.Errorf("pack: %w", err)
	}
	p := &packer{ctx: ctx, o: o, tw: NewWriter(w), entries: entries}
	if dir != "" {
		f, err := openDir(dir)
		if err != nil {
			return fmt.Errorf("pack: %w", err)
		}
		defer f.Close()
		if p.tree, err = newTreeMaker(f); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
		defer p.tree.abandon()
	}
	p.teeFunc = p.tee
	for _, it := range items {
		if err := p.item(it); err != nil {
			return fmt.Errorf("pack %q: %w", entries[it.index].Path, err)
		}
	}
	if p.tree != nil {
		if err := p.tree.finish(o.Warn); err != nil {
			return fmt.Errorf("pack: %w", err)
		}
	}
	return p.tw.Close()
}

// packer writes one entry after the other to tar and tree.
type packer struct {
	ctx     context.Context
	o       PackOptions
	tw      *Writer
	tree    *treeMaker // nil: the tar alone
	entries []Source

	// of the current file
	out     *holeWriter
	hash    hash.Hash
	teeFunc func([]byte) error
	probe   [1]byte
}

func (p *packer) item(it packItem) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	src := &p.entries[it.content]
	e := src.Entry
	e.Path = p.entries[it.index].Path
	if it.link != "" {
		e.Type, e.Linkname, e.Size, e.Xattrs = TypeLink, it.link, 0, nil
	}
	if !p.o.KeepTimes {
		e.ModTime = p.o.Epoch
	}
	e.ModTime = entryTime(e.ModTime)
	if err := p.tw.WriteHeader(&e); err != nil {
		return err
	}
	if e.Type == TypeFile {
		return p.file(&e, src, it.content)
	}
	if p.tree == nil {
		return nil
	}
	return p.tree.make(&e)
}

// file writes a regular file: header done, content to tar, tree and hash.
func (p *packer) file(e *Entry, src *Source, i int) (err error) {
	if p.o.Hash != nil {
		p.hash = p.o.Hash(i)
	}
	p.out = nil
	if p.tree != nil {
		if p.out, err = p.tree.create(e); err != nil {
			return err
		}
		defer p.tree.closeFile()
	}
	if src.Open != nil {
		err = p.content(src)
	} else if e.Size > 0 {
		err = errors.New("no content")
	}
	p.hash = nil
	if err != nil || p.tree == nil {
		return err
	}
	return p.tree.complete(e)
}

func (p *packer) content(src *Source) (err error) {
	r, err := src.Open()
	if err != nil {
		return err
	}
	defer func() {
		if cerr := r.Close(); err == nil {
			err = cerr
		}
	}()
	tee := p.teeFunc
	if p.out == nil && p.hash == nil {
		tee = nil
	}
	if _, err := p.tw.copyContent(r, tee); err != nil {
		return err
	}
	// A verifying reader gives its verdict at the end, and a file may have grown.
	n, err := readSome(r, p.probe[:])
	if n > 0 {
		return errors.New("more content than its size: it changed meanwhile")
	}
	if err != io.EOF {
		return err
	}
	return nil
}

func (p *packer) tee(b []byte) error {
	if err := p.ctx.Err(); err != nil {
		return err
	}
	if p.hash != nil {
		if _, err := p.hash.Write(b); err != nil {
			return err
		}
	}
	if p.out != nil {
		if _, err := p.out.Write(b); err != nil {
			return fmt.Errorf("write file: %w", err)
		}
	}
	return nil
}
