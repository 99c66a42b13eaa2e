package build

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"

	"docksmith/lib/buildctx"
	"docksmith/lib/cache"
	"docksmith/lib/layer"
)

// bindFiles are the files that a mount shows, in the tree they are taken from.
type bindFiles struct {
	b    *builder
	src  source
	path string
	line int

	tree  *tree
	pick  pick
	items []item
	seen  *buildctx.Fingerprint
}

// oneFile is what a mount's file is called where it is alone in a directory.
const oneFile = "file"

// find opens the tree and finds the source in it.
func (f *bindFiles) find(ctx context.Context) error {
	if f.tree != nil {
		return nil
	}
	t, err := f.b.openTree(ctx, f.src)
	if err != nil {
		return err
	}
	f.tree = t
	info, err := t.files.Stat(f.path)
	if err != nil {
		return notFound(t, buildctx.Clean(f.path), err)
	}
	if info.Type != buildctx.File && info.Type != buildctx.Dir {
		return fmt.Errorf("%s: neither a file nor a directory", f.path)
	}
	shown := buildctx.Clean(f.path)
	// With a start the directory itself counts, not its content alone.
	f.pick = pick{tree: t, shown: shown, name: path.Base(shown), start: ".", info: info}
	if info.Path == "." && (f.src.stage == nil || len(f.src.stage.layers) == 0) {
		f.pick.info.Mode = 0o755 // whatever the user's directory is like
	}
	return nil
}

// list lists what the source holds.
func (f *bindFiles) list(ctx context.Context) error {
	if err := f.find(ctx); err != nil || f.items != nil {
		return err
	}
	f.seen = f.tree.fingerprint()
	items, err := list(ctx, nil, []pick{f.pick}, nil, f.seen, func(p string) {
		f.b.warn(f.line, "the socket "+p+" is not mounted: it is nobody's outside the context")
	})
	if err == nil && len(items) > 0 && items[0].rel == "" {
		items[0].info.Mode = f.pick.info.Mode
	}
	f.items = items
	return err
}

// keyFiles hashes the files for the key.
func (f *bindFiles) keyFiles(ctx context.Context) ([]cache.File, error) {
	if err := f.list(ctx); err != nil {
		return nil, err
	}
	if err := hashItems(ctx, f.items); err != nil {
		return nil, err
	}
	return keyFiles(f.items), nil
}

// write makes a copy in a new directory dir, which becomes the source if that is
// one, else holds it as oneFile. Owners of a root are kept, those of a directory
// are root. It gives the path of the source.
func (f *bindFiles) write(ctx context.Context, dir string) (string, error) {
	if err := f.list(ctx); err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	var entries []layer.Source
	for i := range f.items {
		entries = append(entries, f.entry(&f.items[i]))
	}
	err := layer.Pack(ctx, io.Discard, dir, entries, layer.PackOptions{Epoch: f.b.o.Epoch, Warn: func(text string) { f.b.warn(f.line, text) }})
	if f.pick.info.Type != buildctx.Dir {
		dir = filepath.Join(dir, oneFile)
	}
	return dir, err
}

func (f *bindFiles) entry(it *item) layer.Source {
	s := layer.Source{Entry: it.entry(f.tree.root != nil)}
	s.Path = f.nameOf(it)
	switch {
	case it.link > 0:
		s.Type, s.Linkname, s.Size = layer.TypeLink, f.nameOf(&f.items[it.link-1]), 0
	case s.Type == layer.TypeFile && s.Size > 0:
		s.Open = func() (io.ReadCloser, error) { return f.tree.open(it) }
	}
	return s
}

func (f *bindFiles) nameOf(it *item) string {
	switch {
	case it.rel != "":
		return it.rel
	case it.info.Type == buildctx.Dir:
		return "."
	}
	return oneFile
}

func (f *bindFiles) close() {
	if f.tree != nil && f.tree.close != nil {
		f.tree.close()
	}
	f.tree = nil
}

// fill makes dir what a new cache has to be: the content of a source, or empty,
// with the owner and mode that the mount wants.
func (m *runMount) fill(ctx context.Context, b *builder, dir string, line int) error {
	if m.src == nil || m.ownDirectory() {
		top := layer.Source{Entry: layer.Entry{Path: ".", Type: layer.TypeDir, Mode: 0o755}}
		if m.Mode != nil {
			top.Mode = *m.Mode & 0o7777
		}
		if m.UID != nil {
			top.UID = *m.UID
		}
		if m.GID != nil {
			top.GID = *m.GID
		}
		return layer.Pack(ctx, io.Discard, dir, []layer.Source{top}, layer.PackOptions{Epoch: b.o.Epoch})
	}
	f := &bindFiles{b: b, src: *m.src, path: m.Source, line: line}
	defer f.close()
	if err := f.find(ctx); err != nil {
		return err
	}
	if f.pick.info.Type != buildctx.Dir {
		return errors.New("the source of a cache must be a directory")
	}
	_, err := f.write(ctx, dir)
	return err
}

// ownDirectory tells whether a new cache is an empty directory with an owner or
// mode of its own: both go with it, but not with a source.
func (m *runMount) ownDirectory() bool {
	return m.Source == "/" && (m.UID != nil || m.GID != nil || m.Mode != nil)
}

// base says what a cache begins with. Caches of one id with another base are
// others.
func (m *runMount) base() string {
	var words []string
	switch {
	case m.src == nil:
	case m.src.stage != nil:
		words = append(words, "from="+m.src.stage.chain.String())
	default:
		words = append(words, "context="+m.From)
	}
	if m.Source != "/" {
		words = append(words, "source="+m.Source)
	} else if m.ownDirectory() {
		words = append(words, "mode="+optional(m.Mode, "%o"), "uid="+optional(m.UID, "%d"), "gid="+optional(m.GID, "%d"))
	}
	if words == nil {
		return ""
	}
	return jsonWords(words)
}
