package keep

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// leasedBy is what holds things that a living process has leased.
const leasedBy = "in use by a running program"

// tagged is what holds images with a name that may not go.
const tagged = "tagged"

// layerText is the text of a blob that is known to be a layer.
const layerText = "layer"

// storeItems makes items of the store's contents, once those of the cache are
// there: they say when layers were of use.
func (inv *Inventory) storeItems(ctx context.Context, tagsToo bool) error {
	blobs := map[digest.Digest]*Item{}
	for _, b := range inv.contents.Blobs {
		blobs[b.Digest] = inv.add(&Item{Kind: KindBlob, Name: b.Digest.String(), Bytes: b.Bytes, Used: b.Used})
	}
	snapshots := map[digest.Digest]*Item{}
	for _, c := range inv.contents.Snapshots {
		snapshots[c.Digest] = inv.add(&Item{Kind: KindSnapshot, Name: c.Digest.String(), Used: c.Used})
	}
	for _, n := range inv.contents.Images {
		inv.imageItem(n, blobs, snapshots, tagsToo)
	}
	inv.recordRefs(blobs)
	inv.bundleRefs(snapshots)
	for d := range inv.contents.Leased {
		for _, i := range []*Item{blobs[d], snapshots[d]} {
			if i != nil {
				i.Held = leasedBy
			}
		}
	}
	return inv.measureSnapshots(ctx, snapshots)
}

// imageItem adds a name and tells its parts that it refers to them. What has no
// name goes as if it were the least of names.
func (inv *Inventory) imageItem(n store.NamedImage, blobs, snapshots map[digest.Digest]*Item, tagsToo bool) {
	name := cmp.Or(n.Name, n.Descriptor.Digest.String())
	i := inv.add(&Item{Kind: KindImage, Name: name, Text: n.Descriptor.Digest.String(), Used: n.Used, entry: n.Descriptor})
	switch {
	case inv.contents.Leased[n.Descriptor.Digest]:
		i.Held = leasedBy
	case n.Name != "" && !tagsToo:
		i.Held = tagged
	}
	for _, d := range n.Blobs {
		if b := blobs[d]; b != nil {
			i.hold(b)
			if b.Text == "" && n.Layers != nil {
				b.Text = "config" // unless it is one of those below
			}
			b.Refs = append(b.Refs, "image "+name)
			b.Used = later(b.Used, n.Used)
		}
	}
	for _, c := range n.Snapshots {
		if s := snapshots[c]; s != nil {
			s.Refs = append(s.Refs, "image "+name)
		}
	}
	if b := blobs[n.Descriptor.Digest]; b != nil {
		b.Text = "manifest"
	}
	var chain digest.Digest
	for _, l := range n.Layers {
		if b := blobs[l.Digest]; b != nil {
			b.Text = layerText
		}
		chain = oci.NextChainID(chain, l.DiffID)
		if b, s := blobs[l.Digest], snapshots[chain]; b != nil && s != nil && !slices.Contains(b.Refs, "snapshot "+chain.String()) {
			b.Refs = append(b.Refs, "snapshot "+chain.String())
		}
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// bundleRefs tells snapshots which containers stand on them. Those of failed
// commands can go.
func (inv *Inventory) bundleRefs(snapshots map[digest.Digest]*Item) {
	own := map[string]*Item{}
	for _, i := range inv.Items {
		if i.Kind == KindContainer || i.Kind == KindFailed {
			own[inv.path(i.Name)] = i
		}
	}
	for _, b := range inv.contents.Bundles {
		who := "bundle " + b.Dir
		i := own[b.Dir]
		if i != nil {
			who = i.Kind + " " + cmp.Or(i.Text, filepath.Base(i.Name))
		}
		for _, c := range b.Snapshots {
			s := snapshots[c]
			if s == nil {
				continue
			}
			s.Refs = append(s.Refs, who)
			if i != nil && i.Kind == KindFailed {
				i.hold(s)
			} else {
				s.Held = "under " + who
			}
		}
	}
}

// measureSnapshots fills in the sizes: those that were measured before are
// remembered, since a snapshot does not change.
func (inv *Inventory) measureSnapshots(ctx context.Context, snapshots map[digest.Digest]*Item) error {
	known, now := inv.known, inv.sizes
	var unknown []digest.Digest
	for d, i := range snapshots {
		k, ok := known[d.Encoded()]
		if stamp := inv.store.SnapshotStamp(d); ok && k.Stamp == stamp {
			i.Bytes, now[d.Encoded()] = k.Bytes, k
			continue
		}
		unknown = append(unknown, d)
	}
	var mu sync.Mutex
	var all sync.WaitGroup
	var failed error
	queue := make(chan digest.Digest)
	for range runtime.GOMAXPROCS(0) {
		all.Go(func() {
			for d := range queue {
				n, stamp, err := inv.store.Measure(d)
				mu.Lock()
				snapshots[d].Bytes = n
				switch {
				case err != nil && !errors.Is(err, fs.ErrNotExist):
					failed = errors.Join(failed, inv.noteDenied(err))
				case stamp != "":
					now[d.Encoded()] = size{stamp, n}
				}
				mu.Unlock()
			}
		})
	}
	for _, d := range unknown {
		if ctx.Err() == nil {
			queue <- d
		}
	}
	close(queue)
	all.Wait()
	if !maps.Equal(known, now) {
		now.save(inv.path("state"))
	}
	return errors.Join(failed, ctx.Err())
}
