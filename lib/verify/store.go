package verify

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cache"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// StoreOptions say how Store looks.
type StoreOptions struct {
	// Found is told of each finding. Nil is silent.
	Found Found
	// Progress is given, if it is not nil, how many bytes were read and about how
	// many there are, while work goes on and from several goroutines.
	Progress func(read, all int64)
}

// Store proves a whole store: every blob, every image, index.json, what the
// cache recorded, and every unpacked layer against the layer it was unpacked
// from; and that nothing is nobody's. Each core reads another file, and memory
// does not grow with their size.
func Store(ctx context.Context, s *store.Store, o StoreOptions) (Summary, error) {
	p := &storeProof{ctx: ctx, store: s, o: o, sum: Summary{Subject: s.Root()}, layers: map[digest.Digest]oci.Layer{}}
	err := p.all()
	return p.sum, err
}

type storeProof struct {
	ctx    context.Context
	store  *store.Store
	o      StoreOptions
	layers map[digest.Digest]oci.Layer // by diff ID

	read, size atomic.Int64
	mu         sync.Mutex // guards sum and Found
	sum        Summary
}

func (p *storeProof) note(f Finding) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.sum.note(p.o.Found, f)
}

// progress notes that some more bytes were read.
func (p *storeProof) progress(n int) {
	read := p.read.Add(int64(n))
	if p.o.Progress != nil && n > 0 {
		p.o.Progress(read, max(read, p.size.Load()))
	}
}

func (p *storeProof) all() error {
	if err := p.measure(); err != nil {
		return err
	}
	list, err := p.store.Fsck(p.ctx, store.FsckOptions{
		Read:  p.progress,
		Layer: func(l oci.Layer) { p.layers[l.DiffID] = l },
	})
	for _, f := range list {
		p.note(f)
	}
	if err != nil {
		return err
	}
	if err := p.cache(); err != nil {
		return err
	}
	err = p.snapshots()
	p.sum.Bytes = p.read.Load()
	return err
}

// measure finds out how much there is to read.
func (p *storeProof) measure() error {
	err := p.store.EachBlob(func(_ digest.Digest, info fs.FileInfo) error {
		p.size.Add(info.Size())
		p.sum.Blobs++
		return nil
	})
	if err != nil {
		return fmt.Errorf("list blobs: %w", err)
	}
	return nil
}

// cache proves what the cache keeps, and learns which layers records speak of.
func (p *storeProof) cache() error {
	dir := filepath.Join(p.store.Root(), "cache")
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	c, err := cache.Open(dir)
	if err != nil {
		return err
	}
	v, err := c.Verify(p.ctx, func(path, problem string) {
		p.note(Finding{Area: "cache", Name: "cache/" + filepath.ToSlash(path), Problem: problem})
	})
	p.sum.Records = v.Files
	p.progress(int(v.Bytes))
	if err != nil {
		return err
	}
	for r, err := range c.Records() {
		if err != nil {
			return err
		}
		if r.Layer == nil {
			continue
		}
		if _, known := p.layers[r.Layer.DiffID]; !known {
			p.layers[r.Layer.DiffID] = *r.Layer
		}
	}
	return nil
}

// stacked is a snapshot whose layers are known.
type stacked struct {
	chain  digest.Digest
	layer  oci.Layer
	parent *stacked
}

// snapshots compares every unpacked layer with its blob, several at once.
func (p *storeProof) snapshots() error {
	list, err := p.stacks()
	if err != nil {
		return err
	}
	p.sum.Snapshots = len(list)
	queue := make(chan *stacked)
	errs := make([]error, max(1, runtime.GOMAXPROCS(0)))
	var workers sync.WaitGroup
	for i := range errs {
		workers.Go(func() {
			for s := range queue {
				if errs[i] == nil {
					errs[i] = p.snapshot(s)
				}
			}
		})
	}
	for _, s := range list {
		queue <- s
	}
	close(queue)
	workers.Wait()
	return errors.Join(append(errs, p.ctx.Err())...)
}

// stacks finds for each snapshot the layers that it was unpacked from: its name
// is a sum of theirs. One of layers that nobody speaks of any more cannot be told.
func (p *storeProof) stacks() ([]*stacked, error) {
	there := map[digest.Digest]bool{}
	err := p.store.EachSnapshot(func(chain digest.Digest, _ fs.FileInfo) error {
		there[chain] = true
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("list snapshots: %w", err)
	}
	if err := p.store.Hold(slices.Collect(maps.Keys(there))...); err != nil {
		return nil, err
	}
	var found []*stacked
	for next := []*stacked{nil}; len(next) > 0; {
		parent := next[0]
		next = next[1:]
		for _, l := range p.layers {
			s := &stacked{layer: l, parent: parent}
			if parent != nil {
				s.chain = parent.chain
			}
			if s.chain = oci.NextChainID(s.chain, l.DiffID); there[s.chain] {
				delete(there, s.chain)
				found, next = append(found, s), append(next, s)
				p.size.Add(l.Size)
			}
		}
	}
	slices.SortFunc(found, func(a, b *stacked) int { return int(min(1, max(-1, b.layer.Size-a.layer.Size))) })
	p.sum.Unknown = len(there)
	return found, nil
}
