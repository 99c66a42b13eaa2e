package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
)

// Finding is one thing that is wrong with a store.
type Finding struct {
	Area    string `json:"area"` // "blob", "image", "layer", "snapshot" or "layout"
	Name    string `json:"name"` // digest, reference or path
	Problem string `json:"problem"`
}

func (f Finding) String() string { return f.Area + " " + f.Name + ": " + f.Problem }

// Fsck reads the whole store and returns what is wrong, sorted: blobs that are
// not what their digest says, images of which something is missing or does not
// fit together, layers whose content does not have its diff ID, files that are
// nobody's. Work of other processes, running or dead, is not a fault. The error
// is for a store that could not be read.
func (s *Store) Fsck(ctx context.Context, o FsckOptions) ([]Finding, error) {
	c := &checker{store: s, o: o, diffIDs: map[digest.Digest][]digest.Digest{}}
	if err := c.images(ctx); err != nil {
		return nil, fmt.Errorf("check images: %w", err)
	}
	if err := c.layout(); err != nil {
		return nil, fmt.Errorf("check layout: %w", err)
	}
	if err := c.blobs(ctx); err != nil {
		return nil, fmt.Errorf("check blobs: %w", err)
	}
	slices.SortFunc(c.found, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Area, b.Area), cmp.Compare(a.Name, b.Name), cmp.Compare(a.Problem, b.Problem))
	})
	return slices.Compact(c.found), nil
}

// FsckOptions are the options of Fsck.
type FsckOptions struct {
	// Read is told, from several goroutines, of each piece of a blob that was read.
	Read func(bytes int)
	// Layer is told of each layer of an image, before blobs are read.
	Layer func(oci.Layer)
}

type checker struct {
	store   *Store
	o       FsckOptions
	diffIDs map[digest.Digest][]digest.Digest // of a layer's blob, by what configs say

	mu    sync.Mutex
	found []Finding
}

func (c *checker) add(area, name, format string, args ...any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.found = append(c.found, Finding{Area: area, Name: name, Problem: fmt.Sprintf(format, args...)})
}

// images checks what index.json leads to, without reading layers. It keeps
// collections out meanwhile, not for the long work on blobs.
func (c *checker) images(ctx context.Context) error {
	if err := c.store.shared.lock(ctx); err != nil {
		return err
	}
	defer c.store.shared.unlock()
	raw, err := os.ReadFile(c.store.path(fileIndex))
	if err != nil {
		return err
	}
	for _, problem := range IndexProblems(raw) {
		c.add("layout", fileIndex, "%s", problem)
	}
	idx, err := c.store.readIndex()
	if err != nil {
		c.add("layout", fileIndex, "%v", err)
		return nil
	}
	names := map[string]bool{}
	for _, d := range idx.Manifests {
		name := entryOrDigest(d)
		if names[name] {
			c.add("image", name, "is there twice")
		}
		names[name] = true
		c.image(name, d)
	}
	return nil
}

func (c *checker) image(name string, desc oci.Descriptor) {
	blobs := map[digest.Digest]oci.Descriptor{}
	if err := c.store.closure(desc, blobs); err != nil {
		c.add("image", name, "%v", err)
		return
	}
	for _, b := range blobs {
		size, ok := c.store.Has(b.Digest)
		switch {
		case !ok:
			c.add("image", name, "blob %s is missing", b.Digest)
		case size != b.Size:
			c.add("image", name, "blob %s has %d bytes, not %d", b.Digest, size, b.Size)
		case oci.IsManifest(b.MediaType):
			c.manifest(name, b)
		}
	}
}

func (c *checker) manifest(name string, desc oci.Descriptor) {
	raw, err := c.store.ReadDocument(desc)
	if err != nil {
		c.add("image", name, "%v", err)
		return
	}
	m, err := oci.DecodeManifest(raw, desc.MediaType)
	if err != nil {
		c.add("image", name, "%v", err)
		return
	}
	if !oci.IsConfig(m.Config.MediaType) {
		return // not an image; its blobs were looked at
	}
	raw, err = c.store.ReadDocument(m.Config)
	if err != nil {
		c.add("image", name, "config: %v", err)
		return
	}
	cfg, err := oci.DecodeImage(raw)
	if err != nil {
		c.add("image", name, "config: %v", err)
		return
	}
	layers, err := PairLayers(m, cfg)
	if err != nil {
		c.add("image", name, "%v", err)
		return
	}
	for _, l := range layers {
		if !slices.Contains(c.diffIDs[l.Digest], l.DiffID) {
			c.diffIDs[l.Digest] = append(c.diffIDs[l.Digest], l.DiffID)
			if c.o.Layer != nil {
				c.o.Layer(l)
			}
		}
	}
}

// layout looks for files that nobody made on purpose.
func (c *checker) layout() error {
	s := c.store
	raw, err := os.ReadFile(s.path(fileLayout))
	if err != nil {
		return err
	}
	if problem := LayoutProblem(raw); problem != "" {
		c.add("layout", fileLayout, "%s", problem)
	}
	if err := c.strays("oci", "layout", func(n string) bool { return n == "oci-layout" || n == "index.json" || n == "blobs" }); err != nil {
		return err
	}
	if err := c.strays("oci/blobs", "layout", func(n string) bool { return n == "sha256" }); err != nil {
		return err
	}
	if err := c.strays(dirBlobs, "blob", isHex); err != nil {
		return err
	}
	// What waits for removal by somebody with the privilege is not a fault.
	return c.strays(dirSnapshots, "snapshot", func(n string) bool { return isHex(n) || strings.HasPrefix(n, asidePrefix) })
}

func isHex(name string) bool { return oci.ValidDigest(digest.Digest("sha256:"+name)) == nil }

func (c *checker) strays(dir, area string, known func(string) bool) error {
	names, err := os.ReadDir(c.store.path(dir))
	if err != nil {
		return err
	}
	for _, n := range names {
		switch {
		case !known(n.Name()):
			c.add(area, dir+"/"+n.Name(), "does not belong here")
		case area == "snapshot" && !n.IsDir(), area == "blob" && !n.Type().IsRegular():
			c.add(area, dir+"/"+n.Name(), "is a %s", n.Type())
		}
	}
	return nil
}

// blobs reads every blob, as many at once as there are processors.
func (c *checker) blobs(ctx context.Context) error {
	queue := make(chan oci.Descriptor)
	var workers sync.WaitGroup
	for range max(1, runtime.GOMAXPROCS(0)) {
		workers.Go(func() {
			for d := range queue {
				c.blob(ctx, d)
			}
		})
	}
	err := c.store.EachBlob(func(d digest.Digest, info fs.FileInfo) error {
		if !info.Mode().IsRegular() {
			return nil
		}
		select {
		case queue <- oci.Descriptor{Digest: d, Size: info.Size()}:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(queue)
	workers.Wait()
	return errors.Join(err, ctx.Err())
}

func (c *checker) blob(ctx context.Context, desc oci.Descriptor) {
	r, err := c.store.Open(desc)
	if errors.Is(err, oci.ErrNotFound) {
		return // removed this moment; who needs it was checked before
	}
	if err != nil {
		c.add("blob", desc.Digest.String(), "%v", err)
		return
	}
	defer r.Close()
	r = c.counted(r)
	want, isLayer := c.diffIDs[desc.Digest]
	if !isLayer {
		if err := drain(ctx, r); err != nil && ctx.Err() == nil {
			c.add("blob", desc.Digest.String(), "%v", err)
		}
		return
	}
	got, err := desc.Digest, error(nil)
	if plain := len(want) == 1 && want[0] == desc.Digest; plain {
		err = readTar(ctx, r) // its content is the blob, which is hashed already
	} else {
		got, _, err = readLayer(ctx, r)
	}
	// A decompressor stops at its own end, the blob may go on; and a wrong digest
	// says more than what the decompressor made of it.
	if err2 := drain(ctx, r); errors.Is(err2, ErrCorrupt) || err == nil && err2 != nil {
		c.add("blob", desc.Digest.String(), "%v", err2)
		return
	}
	if err != nil {
		if ctx.Err() == nil {
			c.add("layer", desc.Digest.String(), "%v", err)
		}
		return
	}
	for _, d := range want {
		if d != got {
			c.add("layer", desc.Digest.String(), "its content is %s where an image says %s", got, d)
		}
	}
}

// counted tells o.Read what is read of a blob.
func (c *checker) counted(r io.ReadCloser) io.ReadCloser {
	if c.o.Read == nil {
		return r
	}
	return &countedReader{r, c.o.Read}
}

type countedReader struct {
	io.ReadCloser
	read func(int)
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.read(n)
	return n, err
}
