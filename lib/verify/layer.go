package verify

import (
	"cmp"
	"context"
	"crypto/sha256"
	"fmt"
	"hash"
	"hash/maphash"
	"io"
	"path"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
)

// LayerOptions say how Layer looks.
type LayerOptions struct {
	// Canonical also proves that the tar is the one that we would write of the
	// same entries: in our order, and without a byte that says nothing.
	Canonical bool
	// Found is told of each finding. Nil is silent.
	Found Found
}

// Layer proves the layer in r, plain or compressed: that it is one tar from its
// first byte to its last, read the same way by every program, and that no entry
// names its path twice, lies below something that is no directory, or carries
// attributes that only an overlay may make. name is what findings call it.
func Layer(ctx context.Context, r io.Reader, name string, o LayerOptions) (Summary, error) {
	sum, found := Summary{Subject: name}, o.Found
	in := &input{r: r, hash: sha256.New()}
	w := newWalk(name, found)
	if o.Canonical {
		w.canonical = newCanonical()
	}
	err := w.read(ctx, in)
	if err == nil && w.canonical != nil {
		err = w.sameForm()
	}
	if err == nil {
		_, err = io.Copy(io.Discard, in)
	}
	sum.Entries, sum.Findings, sum.Bytes = w.entries, w.findings, in.size
	if in.err != nil {
		return sum, fmt.Errorf("read %s: %w", name, in.err)
	}
	if err != nil {
		err = sum.judge(ctx, found, "layer", name, err)
		return sum, err
	}
	sum.Digest = digest.NewDigest(digest.SHA256, in.hash)
	sum.DiffID = w.diffID()
	return sum, nil
}

// input hashes what it reads, and remembers an error that is not the content's.
type input struct {
	r    io.Reader
	hash hash.Hash
	size int64
	err  error
}

func (in *input) Read(p []byte) (int, error) {
	n, err := in.r.Read(p)
	in.hash.Write(p[:n])
	in.size += int64(n)
	if err != nil && err != io.EOF {
		in.err = err
	}
	return n, err
}

// walk reads one layer. It remembers paths by a 64-bit hash with a random seed,
// so that memory stays small and nobody can prepare two paths that collide.
type walk struct {
	name        string
	found       Found
	findings    int
	hash        hash.Hash
	compression layer.Compression
	entries     int64
	seed        maphash.Seed
	seen        map[uint64]mark
	machine     *machine // nil: programs may be for any
	canonical   *canonical
}

// mark is what is known of a path.
type mark uint8

const (
	named    mark = 1 << iota // an entry has this path
	holder                    // entries lie below it
	notADir                   // it is something that holds nothing
	whiteout                  // it was removed
)

func newWalk(name string, found Found) *walk {
	return &walk{name: name, found: found, hash: sha256.New(), seed: maphash.MakeSeed(), seen: map[uint64]mark{}}
}

func (w *walk) diffID() digest.Digest { return digest.NewDigest(digest.SHA256, w.hash) }

// read decompresses the layer and looks at every entry.
func (w *walk) read(ctx context.Context, blob io.Reader) error {
	tar, c, err := layer.Decompress(blob, layer.DecompressOptions{})
	if err != nil {
		return err
	}
	defer tar.Close()
	w.compression = c
	rd := layer.NewReader(io.TeeReader(tar, w.hash), layer.ReaderOptions{})
	for {
		e, err := rd.Next()
		if err == io.EOF {
			return nil
		}
		if err = cmp.Or(err, ctx.Err()); err != nil {
			return err
		}
		w.entries++
		w.entry(e)
		if w.canonical != nil {
			if err := w.again(e, rd); err != nil {
				return err
			}
		}
		if w.machine.asks(e) {
			head := make([]byte, elfHead)
			n, err := io.ReadFull(rd, head)
			if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
				return err
			}
			w.machine.look(e, head[:n])
		}
	}
}

func (w *walk) add(format string, args ...any) {
	w.findings++
	if w.found != nil {
		w.found(Finding{Area: "layer", Name: w.name, Problem: fmt.Sprintf(format, args...)})
	}
}

func (w *walk) entry(e *layer.Entry) {
	for name := range e.Xattrs {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			w.add("%q has the attribute %s, which only an overlay makes", e.Path, name)
		}
	}
	if e.Type == layer.TypeOpaque || e.Path == "." {
		return
	}
	id := w.id(e.Path)
	old := w.seen[id]
	if e.Type == layer.TypeWhiteout {
		w.seen[id] |= whiteout
		return
	}
	isDir := e.Type == layer.TypeDir
	if old&named != 0 {
		w.add("%q is there twice", e.Path)
	} else if old&holder != 0 && !isDir {
		w.add("%q is a %s, and entries lie below it", e.Path, e.Type)
	}
	old |= named
	if !isDir {
		old |= notADir
	}
	w.seen[id] = old
	w.parents(e.Path)
}

// parents marks the directories above an entry, up to one that is marked.
func (w *walk) parents(name string) {
	for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
		id := w.id(dir)
		old := w.seen[id]
		if old&notADir != 0 {
			w.add("%q lies below %q, which is no directory", name, dir)
			return
		}
		if old&holder != 0 {
			return
		}
		w.seen[id] = old | holder
	}
}

func (w *walk) id(name string) uint64 { return maphash.String(w.seed, name) }
