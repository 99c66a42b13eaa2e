package build

import (
	"context"
	"io"
	"path"
	"strings"

	"docksmith/lib/buildctx"
	"docksmith/lib/cache"
	"docksmith/lib/layer"
)

// place puts every source into the draft d.
func (c *copyJob) place(ctx context.Context, d *draft, o owner, m *maker) error {
	dest, err := d.resolve(strings.TrimPrefix(c.dest, "/"))
	if err != nil {
		return err
	}
	if c.picks+len(c.docs) > 1 {
		c.inside = true
	}
	if c.parents { // also where nothing matches
		if err := c.makeDir(d, dest, o); err != nil {
			return err
		}
	}
	for i := 0; i < len(c.items); {
		n := i + 1
		for n < len(c.items) && c.items[n].pick == c.items[i].pick {
			n++
		}
		if err := c.placePick(ctx, d, dest, c.items[i:n], o, m); err != nil {
			return err
		}
		i = n
	}
	for _, doc := range c.docs {
		target, err := c.fileTarget(d, dest, doc.name, o)
		if err != nil {
			return err
		}
		if err := d.put(target, c.documentNode(doc, o), false); err != nil {
			return err
		}
	}
	return nil
}

// placePick puts one source and what is in it into the draft.
func (c *copyJob) placePick(ctx context.Context, d *draft, dest string, items []item, o owner, m *maker) error {
	p := items[0].pick
	if c.unpacks && !p.whole && p.info.Type == buildctx.File {
		if done, err := c.unpack(ctx, d, dest, p, o, m); done || err != nil {
			return err
		}
	}
	target, err := c.target(d, dest, p, o)
	if err != nil {
		return err
	}
	if p.info.Type == buildctx.Dir && !c.parents {
		items = items[1:] // its content goes into a directory that need not be like it
	}
	for i := range items {
		n := c.node(d, &items[i], o)
		if err := d.put(path.Join(target, items[i].rel), n, false); err != nil {
			return err
		}
	}
	return nil
}

// target is where a pick goes; what is above it is planned then.
func (c *copyJob) target(d *draft, dest string, p *pick, o owner) (string, error) {
	switch {
	case c.parents:
		return path.Join(dest, p.below), c.placeParents(d, dest, p, o)
	case p.info.Type == buildctx.Dir:
		return dest, c.makeDir(d, dest, o)
	}
	return c.fileTarget(d, dest, p.name, o)
}

// fileTarget is where a file of that name goes: into dest if that is a
// directory, or has to be one, else it becomes dest.
func (c *copyJob) fileTarget(d *draft, dest, name string, o owner) (string, error) {
	n, err := d.at(dest)
	if err != nil {
		return "", err
	}
	if c.inside || n != nil && n.Type == layer.TypeDir {
		return path.Join(dest, name), c.makeDir(d, dest, o)
	}
	return dest, c.makeDir(d, path.Dir(dest), o)
}

// makeDir plans a directory that is made for the destination, and what lacks
// above it. An octal --chmod is their mode as well, but for its special bits.
func (c *copyJob) makeDir(d *draft, p string, o owner) error {
	mode := uint32(0o755)
	if isOctal(c.chmod) {
		mode = c.mode(0, true) & 0o777
	}
	return d.mkdirAll(p, o, mode)
}

// placeParents plans the directories between dest and a pick of --parents, like
// those they are copied from where they are new.
func (c *copyJob) placeParents(d *draft, dest string, p *pick, o owner) error {
	below := path.Dir(p.below)
	if below == "." {
		return nil
	}
	at := ""
	for name := range strings.SplitSeq(below, "/") {
		at = path.Join(at, name)
		old, err := d.at(path.Join(dest, at))
		if err != nil {
			return err
		}
		if old != nil {
			if err := c.makeDir(d, path.Join(dest, at), o); err != nil {
				return err
			}
			continue
		}
		info, err := p.tree.files.Stat(path.Join(p.start, at))
		if err != nil {
			return err
		}
		n := c.node(d, &item{pick: p, info: &info}, o)
		if err := d.put(path.Join(dest, at), n, false); err != nil {
			return err
		}
	}
	return nil
}

// node is the entry that an item becomes.
func (c *copyJob) node(d *draft, it *item, o owner) *node {
	n := &node{}
	it.node = n
	if it.link > 0 {
		d.link(n, c.items[it.link-1].node)
		return n
	}
	n.Entry = it.entry(it.pick.tree.root != nil)
	if c.chown != "" {
		n.UID, n.GID = o.uid, o.gid
	}
	if c.mode != nil && n.Type != layer.TypeSymlink {
		n.Mode = c.mode(n.Mode, n.Type == layer.TypeDir)
	}
	if n.Type == layer.TypeFile && n.Size > 0 {
		n.Open = func() (io.ReadCloser, error) { return it.pick.tree.open(it) }
	}
	return n
}

// entry describes the item as an entry of a layer.
func (it *item) entry(foreign bool) layer.Entry {
	e := layer.Entry{Mode: it.info.Mode}
	if foreign { // files of a root keep their owner, those of the context have none
		e.UID, e.GID = it.info.UID, it.info.GID
		applyXattrs(&e, it.attrs)
	}
	switch it.info.Type {
	case buildctx.File:
		e.Type, e.Size = layer.TypeFile, it.info.Size
	case buildctx.Dir:
		e.Type = layer.TypeDir
	case buildctx.Symlink:
		e.Type, e.Linkname, e.Mode = layer.TypeSymlink, it.info.Linkname, 0o777
	case buildctx.Char:
		e.Type, e.Major, e.Minor = layer.TypeChar, it.info.Major(), it.info.Minor()
	case buildctx.Block:
		e.Type, e.Major, e.Minor = layer.TypeBlock, it.info.Major(), it.info.Minor()
	default:
		e.Type = layer.TypeFifo
	}
	return e
}

// open reads a file of the tree; what is read to its end is hashed on the way.
func (t *tree) open(it *item) (io.ReadCloser, error) {
	r, err := t.files.OpenInfo(*it.info)
	if err != nil {
		return nil, err
	}
	return &summingReader{r, it}, nil
}

type summingReader struct {
	*buildctx.Reader
	it *item
}

func (r *summingReader) Close() error {
	err := r.Reader.Close()
	if err == nil && !r.it.done {
		var sum cache.Hash
		if sum, err = r.Sum(); err == nil {
			r.it.sum, r.it.done = sum, true
		}
	}
	return err
}

func (c *copyJob) documentNode(doc document, o owner) *node {
	n := &node{}
	n.Entry = layer.Entry{Type: layer.TypeFile, Mode: 0o644, UID: o.uid, GID: o.gid, Size: int64(len(doc.text))}
	if c.mode != nil {
		n.Mode = c.mode(n.Mode, false)
	}
	n.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(doc.text)), nil }
	return n
}
