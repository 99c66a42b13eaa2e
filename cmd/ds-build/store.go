package main

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/build"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// images is the store as the engine wants it.
type images struct {
	*store.Store
	compression layer.Compression

	mu    sync.Mutex
	found map[string]*build.Base // by name and platform
	asked map[string]bool        // names
}

func newImages(st *store.Store, c layer.Compression) *images {
	return &images{Store: st, compression: c, found: map[string]*build.Base{}, asked: map[string]bool{}}
}

// Image reads each image once: the checks look at the bases before the engine
// does.
func (i *images) Image(ref string, p *oci.Platform) (*build.Base, error) {
	key := ref
	if p != nil {
		key += " " + oci.PlatformString(*p)
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asked[ref] = true
	if b, ok := i.found[key]; ok {
		return b, nil
	}
	img, err := i.Store.Image(ref, p)
	if err != nil {
		return nil, err
	}
	i.found[key] = &build.Base{Image: img.Config, Layers: img.Layers}
	return i.found[key], nil
}

// Has holds the blob before it looks: what the build decides to reuse must not
// be collected meanwhile.
func (i *images) Has(d digest.Digest) (int64, bool) {
	if err := i.Hold(d); err != nil {
		return 0, false
	}
	return i.Store.Has(d)
}

func (i *images) options() store.LayerOptions {
	return store.LayerOptions{Compression: i.compression}
}

func (i *images) NewLayer(ctx context.Context) (build.LayerWriter, error) {
	return i.Store.NewLayer(ctx, i.options())
}

func (i *images) Recompress(ctx context.Context, l oci.Layer) (oci.Layer, error) {
	return i.Convert(ctx, l, i.options())
}

func (i *images) Unpack(ctx context.Context, layers []oci.Layer, dir string) error {
	for _, l := range layers {
		if err := i.ApplyLayer(ctx, l, dir, layer.ApplyOptions{}); err != nil {
			return fmt.Errorf("layer %s: %w", l.Digest, err)
		}
	}
	return nil
}

func (i *images) TempDir(prefix string) (build.Temp, error) {
	t, err := i.Store.TempDir(prefix)
	if err != nil {
		return nil, err
	}
	return &temp{t, i.Store}, nil
}

// temp is a temporary directory that can become a kept container.
type temp struct {
	*store.Temp
	store *store.Store
}

func (t *temp) Path() string { return t.Temp.Path }

func (t *temp) Keep() (string, error) { return t.store.KeepFailed(t.Temp) }
