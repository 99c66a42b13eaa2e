package verify

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// Search looks for canaries in every byte of images and files: as they are, in
// JSON, base64, hexadecimal, URL-encoded and backwards, and the same in what is
// compressed with gzip, zstd, xz or bzip2, in tars, and in either inside the
// other. It reads once, and memory does not grow with what is read. It is not safe
// for concurrent use.
type Search struct {
	// Found is told of each canary in each place. Nil is silent.
	Found Found

	canaries []Canary
	forms    [2][]form
	words    [2]*automaton
	sum      Summary
	buffer   []byte
}

// NewSearch makes a search for canaries.
func NewSearch(canaries []Canary, found Found) *Search {
	s := &Search{Found: found, canaries: canaries, buffer: make([]byte, 64<<10)}
	s.forms[0], s.forms[1] = forms(canaries)
	for i, list := range s.forms {
		var words [][]byte
		for _, f := range list {
			words = append(words, f.word)
		}
		skip := ""
		if i == 1 {
			skip = "\r\n"
		}
		s.words[i] = newAutomaton(words, skip)
	}
	return s
}

// nesting is how many wrappings are taken off: an image's layer in an archive
// that was compressed has three.
const nesting = 6

// Image searches manifest, config and layers of an image of the store.
func (s *Search) Image(ctx context.Context, from *store.Store, ref string, p *oci.Platform) (Summary, error) {
	s.sum = Summary{Subject: ref}
	img, err := from.Image(ref, p)
	if err != nil {
		return s.sum, err
	}
	s.sum.Digest = img.Descriptor.Digest
	s.texts("image "+ref, ref)
	for i, d := range img.Blobs() { // layers are behind manifest and config
		if err := s.file(ctx, from.BlobPath(d), d.String(), i >= 2); err != nil {
			return s.sum, fmt.Errorf("search %s: %w", ref, err)
		}
		s.sum.Blobs++
	}
	return s.sum, nil
}

// Tree searches a file, or all that is in a directory: contents, names, targets of
// links and attributes.
func (s *Search) Tree(ctx context.Context, path string) (Summary, error) {
	s.sum = Summary{Subject: path}
	err := filepath.WalkDir(path, func(name string, e fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) && name != path {
			return nil // gone meanwhile
		}
		if errors.Is(err, fs.ErrPermission) && e.IsDir() && e.Name() == "work" {
			return fs.SkipDir // overlayfs's own, empty, and closed to its owner
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		return s.visit(ctx, path, name, e)
	})
	if err != nil {
		err = fmt.Errorf("search %s: %w", path, err)
	}
	return s.sum, err
}

func (s *Search) visit(ctx context.Context, top, name string, e fs.DirEntry) error {
	said := name
	if rel, err := filepath.Rel(top, name); err == nil && rel != "." {
		said = rel
		s.texts(said, rel)
	}
	if e.Type()&fs.ModeSymlink != 0 {
		if target, err := os.Readlink(name); err == nil {
			s.texts(said, target)
		}
	}
	s.attributes(said, name)
	if !e.Type().IsRegular() {
		return nil
	}
	err := s.file(ctx, name, said, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// attributes looks at the extended attributes of a file.
func (s *Search) attributes(said, name string) {
	list := make([]byte, 16<<10)
	n, err := unix.Llistxattr(name, list)
	if err != nil || n <= 0 {
		return
	}
	value := make([]byte, 64<<10)
	for attr := range strings.SplitSeq(string(list[:n]), "\x00") {
		if n, err := unix.Lgetxattr(name, attr, value); attr != "" && err == nil {
			s.texts(said, attr, string(value[:n]))
		}
	}
}

func (s *Search) file(ctx context.Context, path, said string, whole bool) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	s.sum.Files++
	_, err = s.stream(ctx, f, said, nesting, whole)
	return err
}

// place collects what is in one place.
type place struct {
	s     *Search
	name  string
	state [2]int32
	hits  hits
}

// hits are forms by kind and number.
type hits map[[2]int]bool

func (s *Search) place(name string) *place { return &place{s: s, name: name, hits: hits{}} }

// Write searches the next bytes; it never fails.
func (p *place) Write(b []byte) (int, error) {
	for i, a := range p.s.words {
		p.state[i] = a.step(p.state[i], b, func(word int) { p.hits[[2]int{i, word}] = true })
	}
	return len(b), nil
}

// tell tells what was found, but for what was told of a part of it.
func (p *place) tell(told hits) {
	for kind, list := range p.s.forms {
		for i, f := range list {
			if id := [2]int{kind, i}; p.hits[id] && !told[id] {
				p.s.sum.note(p.s.Found, Finding{Area: "secret", Name: p.s.redact(p.name), Problem: fmt.Sprintf("has the canary %s, %s", p.s.canaries[f.canary].Name, f.how)})
			}
		}
	}
}

// redact takes canaries out of a name that is printed.
func (s *Search) redact(name string) string {
	for _, list := range s.forms {
		for _, f := range list {
			name = strings.ReplaceAll(name, string(f.word), "***")
		}
	}
	return name
}

// texts searches texts that stand for themselves.
func (s *Search) texts(place string, texts ...string) hits {
	p := s.place(place)
	for _, t := range texts {
		p.state = [2]int32{}
		_, _ = p.Write([]byte(t))
	}
	p.tell(nil)
	return p.hits
}

// stream searches r, and what is in it if it is compressed or a tar. whole says
// that it must be one of them and not be damaged; else what only begins like
// one was searched as it is, and that is all.
func (s *Search) stream(ctx context.Context, r io.Reader, name string, depth int, whole bool) (hits, error) {
	p := s.place(name)
	in := &searched{ctx: ctx, r: r, to: p, sum: &s.sum}
	head := bufio.NewReaderSize(in, tarHead) // what is more goes past it
	inner, err := s.parts(ctx, head, name, depth, whole)
	if in.err == nil {
		_, _ = io.CopyBuffer(struct{ io.Writer }{io.Discard}, in, s.buffer)
	}
	p.tell(inner)
	maps.Copy(p.hits, inner)
	if in.err != nil {
		return p.hits, in.err
	}
	if !whole {
		err = nil
	}
	return p.hits, err
}

// parts searches what is inside a stream.
func (s *Search) parts(ctx context.Context, head *bufio.Reader, name string, depth int, whole bool) (hits, error) {
	if depth == 0 {
		return nil, nil
	}
	if isTar(head) {
		return s.tar(ctx, head, name, depth-1)
	}
	if b, _ := head.Peek(1); len(b) == 0 || bytes.IndexByte([]byte("\x1f\x28B\xfd"), b[0]) < 0 && b[0]&0xf0 != 0x50 {
		return nil, nil // nothing compressed begins so
	}
	plain, codec, err := layer.Decompress(head, layer.DecompressOptions{})
	if err != nil || codec == layer.None {
		return nil, err
	}
	s.sum.Compressed++
	found, err := s.stream(ctx, plain, name, depth-1, whole)
	return found, errors.Join(err, plain.Close())
}

// tar searches the entries of a tar.
func (s *Search) tar(ctx context.Context, r io.Reader, name string, depth int) (hits, error) {
	told := hits{}
	tar := layer.NewReader(r, layer.ReaderOptions{Plain: true})
	for {
		e, err := tar.Next()
		if err == io.EOF {
			return told, nil
		}
		if err != nil {
			return told, err
		}
		s.sum.Entries++
		where := name + ": " + e.Path
		words := []string{e.Path, e.Linkname}
		for attr, value := range e.Xattrs {
			words = append(words, attr, value)
		}
		maps.Copy(told, s.texts(where, words...))
		if e.Type != layer.TypeFile || e.Size == 0 {
			continue
		}
		found, err := s.stream(ctx, tar, where, depth, false)
		maps.Copy(told, found)
		if err != nil {
			return told, err
		}
	}
}

// searched is a reader whose bytes are searched.
type searched struct {
	ctx context.Context
	r   io.Reader
	to  *place
	sum *Summary
	err error
}

func (r *searched) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		r.err = err
		return 0, err
	}
	n, err := r.r.Read(b)
	_, _ = r.to.Write(b[:n])
	r.sum.Bytes += int64(n)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// tarHead is how much of a tar tells that it is one.
const tarHead = 512

// isTar looks for the word that every kind of tar of today has.
func isTar(r *bufio.Reader) bool {
	head, _ := r.Peek(tarHead)
	return len(head) == tarHead && bytes.Equal(head[257:262], []byte("ustar"))
}
