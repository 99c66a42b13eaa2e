package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/build"
	"docksmith/lib/buildctx"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// contexts are the named contexts of a build, and the directories among them
// that are open.
type contexts struct {
	named map[string]build.NamedContext
	open  []*buildctx.Context
}

func (c *contexts) close() {
	for _, f := range c.open {
		f.Close()
	}
}

// openContexts opens what --build-context gave to each name: a DIRECTORY,
// oci-layout://PATH[:TAG][@DIGEST] or [docker-image://]IMAGE.
func openContexts(given map[string]string, st *images, in *inputs) (_ *contexts, err error) {
	c := &contexts{named: map[string]build.NamedContext{}}
	defer func() {
		if err != nil {
			c.close()
		}
	}()
	for _, name := range slices.Sorted(maps.Keys(given)) {
		named, err := c.openContext(given[name], st, in)
		if err != nil {
			return nil, fmt.Errorf("build context %s: %w", name, err)
		}
		c.named[name] = named
	}
	return c, nil
}

func (c *contexts) openContext(value string, st *images, in *inputs) (build.NamedContext, error) {
	if path, ok := strings.CutPrefix(value, "oci-layout://"); ok {
		return layoutContext(path, st, in.deps)
	}
	if ref, ok := strings.CutPrefix(value, "docker-image://"); ok {
		return imageContext(ref, st)
	}
	if isForeign(value) {
		return build.NamedContext{}, fmt.Errorf("%s: nothing is fetched for a context: give a directory of this machine", value)
	}
	info, err := os.Stat(value)
	switch {
	case err == nil && info.IsDir():
		rules, ignore, err := readIgnore(value)
		if err != nil {
			return build.NamedContext{}, err
		}
		files, err := buildctx.Open(value, buildctx.Options{Ignore: rules, Index: in.index, Uses: in.deps.watch(value, rules, []string{ignore})})
		if err != nil {
			return build.NamedContext{}, err
		}
		c.open = append(c.open, files)
		return build.NamedContext{Files: files}, nil
	case err == nil:
		return build.NamedContext{}, fmt.Errorf("%s is not a directory", value)
	case !errors.Is(err, fs.ErrNotExist) || filepath.IsAbs(value) || strings.HasPrefix(value, "."):
		return build.NamedContext{}, err
	}
	if _, err := st.Resolve(value); err != nil {
		return build.NamedContext{}, fmt.Errorf("%s: neither a directory nor an image of the store", value)
	}
	return imageContext(value, st)
}

// isForeign tells what buildx would fetch, and the targets of its bake files.
func isForeign(value string) bool {
	for _, prefix := range []string{"http://", "https://", "git://", "ssh://", "git@", "target:", "github.com/"} {
		if strings.HasPrefix(value, prefix) {
			return true
		}
	}
	return false
}

func imageContext(ref string, st *images) (build.NamedContext, error) {
	if _, err := st.Resolve(ref); err != nil {
		return build.NamedContext{}, err
	}
	return build.NamedContext{Image: func(_ context.Context, p *oci.Platform) (*build.Base, error) {
		return st.Image(ref, p)
	}}, nil
}

// layoutContext reads PATH[:TAG][@DIGEST].
func layoutContext(path string, st *images, deps *depfile) (build.NamedContext, error) {
	var o store.LayoutOptions
	if before, d, ok := strings.Cut(path, "@"); ok {
		path, o.Digest = before, digest.Digest(d)
		if err := oci.ValidDigest(o.Digest); err != nil {
			return build.NamedContext{}, err
		}
	}
	if i := strings.LastIndexByte(path, ':'); i > strings.LastIndexByte(path, '/') {
		path, o.Tag = path[:i], path[i+1:]
	}
	if info, err := os.Stat(path); err != nil {
		return build.NamedContext{}, err
	} else if !info.IsDir() {
		return build.NamedContext{}, fmt.Errorf("%s is not a directory", path)
	}
	deps.file(filepath.Join(path, "index.json"))
	return build.NamedContext{Image: func(ctx context.Context, p *oci.Platform) (*build.Base, error) {
		o := o
		o.Platform = p
		img, err := st.LayoutImage(ctx, path, o)
		if err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
		return &build.Base{Image: img.Config, Layers: img.Layers}, nil
	}}, nil
}
