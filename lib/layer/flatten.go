package layer

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"time"

	"golang.org/x/sys/unix"
)

// FlattenOptions are the options of Flatten.
type FlattenOptions struct {
	Limits Limits // of each layer
}

// Flatten writes the merged view of a stack of layers, bottom first, as one tar
// without whiteouts. Compression is told by the first bytes. Each layer is read
// twice, once for the names and once for the content, so every opener is called
// at least twice; memory grows with the number of names, not with their content.
//
// The output is sorted. It may be unsorted, but is still the same every time, if the
// layers are so far from sorted that they would have to be read again and again.
func Flatten(ctx context.Context, w io.Writer, layers []func() (io.ReadCloser, error), o FlattenOptions) error {
	m, err := readModel(ctx, layers, o.Limits)
	if err != nil {
		return fmt.Errorf("flatten: %w", err)
	}
	f := &flattener{ctx: ctx, w: NewWriter(w), streams: make([]*stream, len(layers))}
	for i, open := range layers {
		f.streams[i] = &stream{open: open, limits: o.Limits}
	}
	err = f.write(m.items())
	for _, s := range f.streams {
		s.close()
	}
	if err == nil {
		err = f.w.Close()
	}
	if err != nil {
		return fmt.Errorf("flatten: %w", err)
	}
	return nil
}

// Cat writes the file path of the merged view of a stack of layers, bottom first,
// to w. Its parents may be symbolic links, which are followed in the root, the file itself
// may not. A path that is not there is fs.ErrNotExist.
func Cat(ctx context.Context, w io.Writer, layers []func() (io.ReadCloser, error), path string) error {
	clean, err := cleanName(path, Limits{}.orDefault().Depth)
	if err != nil {
		return err
	}
	m, err := readModel(ctx, layers, Limits{})
	if err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	n, err := m.find(clean)
	if err == nil && n == nil {
		err = fs.ErrNotExist
	}
	if err == nil && n.typ != TypeFile {
		err = fmt.Errorf("it is a %v", n.typ)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	s := &stream{open: layers[n.layer]}
	defer s.close()
	if _, err = s.seek(n.ord); err == nil {
		_, err = s.r.WriteTo(w)
	}
	if err != nil {
		return fmt.Errorf("read %q: %w", path, err)
	}
	return nil
}

// readModel is the first pass: names only.
func readModel(ctx context.Context, layers []func() (io.ReadCloser, error), l Limits) (*model, error) {
	m := newModel()
	return m, m.read(ctx, layers, 0, l)
}

// read applies layers from the one with number from on.
func (m *model) read(ctx context.Context, layers []func() (io.ReadCloser, error), from int, l Limits) error {
	for i := from; i < len(layers); i++ {
		m.layer = i
		s := &stream{open: layers[i], limits: l}
		err := s.each(func(e *Entry, ord int) error {
			if err := context.Cause(ctx); err != nil {
				return err
			}
			return m.apply(e, ord)
		})
		s.close()
		if err != nil {
			return fmt.Errorf("layer %d: %w", i+1, err)
		}
	}
	return nil
}

// item is an entry to write: the body itself under its first name, a hard link under every other.
type item struct {
	path  string
	body  *body
	first string // path of the first name; equal to path for the first
	more  bool   // of a first name: others follow
}

// items lists the tree in the order of ComparePaths.
func (m *model) items() []item {
	var list []item
	first := map[*body]int{}
	var visit func(n *node, path string)
	visit = func(n *node, path string) {
		if path != "." || n.ord >= 0 {
			it := item{path: path, body: n.body, first: path}
			if i, ok := first[n.body]; ok {
				it.first, list[i].more = list[i].path, true
			} else if n.typ != TypeDir {
				first[n.body] = len(list)
			}
			list = append(list, it)
		}
		for _, c := range n.sorted() {
			visit(c, joinPath(path, c.name))
		}
	}
	visit(m.root, ".")
	return list
}

// flattener is the second pass.
type flattener struct {
	ctx     context.Context
	w       *Writer
	streams []*stream
}

// maxRewinds is how often the layers may be read from the start again for the
// sake of order.
const maxRewinds = 16

func (f *flattener) write(list []item) error {
	if rewinds(list) <= maxRewinds {
		return f.writeSorted(list)
	}
	return f.writeStreaming(list)
}

// rewinds counts how often writing in order would have to go back in a layer.
func rewinds(list []item) int {
	n := 0
	last := map[int]int{}
	for _, it := range list {
		if it.path != it.first || it.body.ord < 0 {
			continue
		}
		if it.body.ord < last[it.body.layer] {
			n++
		}
		last[it.body.layer] = it.body.ord
	}
	return n
}

func (f *flattener) writeSorted(list []item) error {
	for _, it := range list {
		e, err := f.streams[it.body.layer].seekItem(it)
		if err != nil {
			return err
		}
		if err := f.entry(it, e); err != nil {
			return err
		}
	}
	return nil
}

// writeStreaming reads every layer once and writes what comes, hard links after their file.
func (f *flattener) writeStreaming(list []item) error {
	names := map[*body][]item{}
	list, err := f.writeImplied(list)
	if err != nil {
		return err
	}
	at := make([]map[int]*body, len(f.streams))
	for i := range at {
		at[i] = map[int]*body{}
	}
	for _, it := range list {
		names[it.body] = append(names[it.body], it)
		at[it.body.layer][it.body.ord] = it.body
	}
	for i, s := range f.streams {
		err := s.each(func(e *Entry, ord int) error {
			for _, it := range names[at[i][ord]] {
				c := *e
				if err := f.entry(it, &c); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// writeImplied writes the directories that no layer mentions, and returns the rest.
func (f *flattener) writeImplied(list []item) (rest []item, err error) {
	for _, it := range list {
		if it.body.ord >= 0 {
			rest = append(rest, it)
		} else if err := f.entry(it, it.body.unwritten()); err != nil {
			return nil, err
		}
	}
	return rest, nil
}

// unwritten is the entry of a body that is in no layer.
func (b *body) unwritten() *Entry {
	if b.entry == nil {
		return impliedEntry()
	}
	c := *b.entry
	return &c
}

// impliedEntry is the directory that Apply makes where a layer does not mention one.
func impliedEntry() *Entry { return &Entry{Type: TypeDir, Mode: 0o755, ModTime: time.Unix(0, 0)} }

// entry writes one item; e is the entry of its body, at which the stream stands if
// it is the first name.
func (f *flattener) entry(it item, e *Entry) error {
	if err := context.Cause(f.ctx); err != nil {
		return err
	}
	e.Path = it.path
	if it.path != it.first {
		e.Type, e.Linkname, e.Size = TypeLink, it.first, 0
	}
	dropSteering(e)
	if err := f.w.WriteHeader(e); err != nil || e.Type != TypeFile {
		return err
	}
	_, err := f.streams[it.body.layer].r.WriteTo(f.w)
	return err
}

// stream is a layer that is read forward, and from the start again if need be.
type stream struct {
	open   func() (io.ReadCloser, error)
	limits Limits
	raw    io.ReadCloser
	plain  io.ReadCloser
	r      *Reader
	ord    int // of cur
	cur    *Entry
	links  map[*body]*Entry
}

func (s *stream) close() {
	for _, c := range []io.Closer{s.plain, s.raw} {
		if c != nil {
			c.Close() // only read from
		}
	}
	s.raw, s.plain, s.r, s.cur = nil, nil, nil, nil
}

func (s *stream) start() (err error) {
	s.close()
	s.ord = -1
	if s.raw, err = s.open(); err != nil {
		s.raw = nil
		return err
	}
	if s.plain, _, err = Decompress(s.raw, DecompressOptions{}); err != nil {
		s.plain = nil
		return err
	}
	s.r = NewReader(s.plain, ReaderOptions{Limits: s.limits})
	return nil
}

func (s *stream) next() (err error) {
	s.cur, err = s.r.Next()
	s.ord++
	return err
}

// each calls f for every entry.
func (s *stream) each(f func(e *Entry, ord int) error) error {
	if err := s.start(); err != nil {
		return err
	}
	for {
		if err := s.next(); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := f(s.cur, s.ord); err != nil {
			return err
		}
	}
}

// seek goes to the entry with number ord.
func (s *stream) seek(ord int) (*Entry, error) {
	if s.r == nil || ord < s.ord {
		if err := s.start(); err != nil {
			return nil, err
		}
	}
	for s.ord < ord {
		if err := s.next(); err != nil {
			return nil, noEOF(err)
		}
	}
	return s.cur, nil
}

// seekItem goes to the body of an item. For a further name the stream stays where it is:
// the entry was kept when it came by.
func (s *stream) seekItem(it item) (*Entry, error) {
	if e := s.links[it.body]; it.path != it.first && e != nil {
		c := *e
		return &c, nil
	}
	if it.body.ord < 0 {
		return it.body.unwritten(), nil
	}
	e, err := s.seek(it.body.ord)
	if err == nil && it.more {
		if s.links == nil {
			s.links = map[*body]*Entry{}
		}
		c := *e
		s.links[it.body] = &c
	}
	return e, err
}

// isMissing: no such name, or a name below something that is no directory.
func isMissing(err error) bool {
	return errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR)
}
