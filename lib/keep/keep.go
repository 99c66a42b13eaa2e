// Package keep knows everything in the state directory that can be had again:
// what each thing takes of the disk, when it was last used, who refers to it,
// and whether somebody needs it just now. From that it tells where the space
// went, and keeps the whole under a cap.
//
// It decides nothing about what is in use: each thing is removed by the package
// that owns it, under the locks of that package, which says no if somebody took
// it into use meanwhile. So an inventory may be old; it can only make a
// collection remove too little, or something used a moment ago.
//
// The invariant: what a living process has leased, what a container stands on,
// what a name leads to (unless names may go), and what users put there
// themselves, volumes and containers, is never removed.
//
//	inv, err := keep.Take(ctx, s)
//	for _, a := range inv.Areas { fmt.Println(a.Area, a.Bytes, a.Reclaimable) }
//	res, err := keep.Collect(ctx, s, keep.Policy{Capped: true, MaxBytes: 10 << 30})
package keep

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// Kinds of things.
const (
	KindSnapshot = "snapshot" // an unpacked layer
	KindBlob     = "blob"     // a layer, or an image's document
	KindImage    = "image"    // a name, and what only it leads to
	KindRecord   = "record"   // what a step gave, with the pre-image of its key
	KindIndex    = "index"    // the hashes of files of contexts
	KindMount    = "mount"    // a cache mount
	KindFetched  = "fetched"  // a file or a repository that ADD named by address
	KindLog      = "log"      // of a build
	KindFailed   = "failed"   // the container of a command that failed in a build
	KindLeftover = "leftover" // of a killed program

	// Those of users, which stay.
	KindContainer = "container"
	KindVolume    = "volume"
)

// Item is one thing.
type Item struct {
	Kind  string    `json:"kind"`
	Name  string    `json:"name"`           // digest, key, id or path
	Text  string    `json:"text,omitempty"` // what people know it by
	Bytes int64     `json:"bytes"`
	Used  time.Time `json:"used,omitzero"` // to the hour
	// Refs say who refers to it, such as "image app:latest" and "step RUN make".
	Refs []string `json:"refs,omitempty"`
	// Held says why it cannot go now; "" that it can.
	Held string `json:"held,omitempty"`

	entry   oci.Descriptor // of an image
	layer   digest.Digest  // that a record speaks of
	holds   []*Item        // what stays as long as this does
	holders int            // how many hold it
	gone    bool
	remove  func() (bool, error) // of what is not the store's
}

// areaOf says in which area the things of a kind lie.
var areaOf = map[string]string{
	KindSnapshot: "snapshots", KindBlob: "blobs", KindImage: "blobs", KindRecord: "cache", KindIndex: "cache", KindMount: "mounts",
	KindFetched: "fetched", KindLog: "builds", KindFailed: "failed", KindContainer: "containers", KindVolume: "volumes",
}

// Area is the name of the area in which it lies.
func (i *Item) Area() string { return areaOf[i.Kind] }

// Area is the disk space of one part of the state directory.
type Area struct {
	Area  string `json:"area"`
	Items int    `json:"items"` // of what people count there
	Bytes int64  `json:"bytes"` // what the file system has given out for it
	// Reclaimable is what a collection could remove, names staying.
	Reclaimable int64 `json:"reclaimable"`
	// Capped says that it counts for a cap. What is users' own does not, nor
	// does work in progress.
	Capped bool `json:"capped"`
}

// Inventory is everything at one moment.
type Inventory struct {
	Areas []Area
	Items []*Item
	// Denied tells that not everything could be looked into; nil: it could.
	Denied error

	store    *store.Store
	contents *store.Contents
	known    sizes // what was measured before
	sizes    sizes // what is known now
}

// The areas, in the order of listings.
var areas = []struct {
	name   string
	dirs   []string
	but    []string // below dirs, counted elsewhere
	capped bool
}{
	{"blobs", []string{"oci"}, nil, true},
	{"snapshots", []string{"snapshots"}, nil, true},
	{"cache", []string{"cache"}, []string{"cache/mounts", "cache/fetched"}, true},
	{"mounts", []string{"cache/mounts"}, nil, true},
	{"fetched", []string{"cache/fetched"}, nil, true},
	{"builds", []string{"builds"}, nil, true},
	{"failed", nil, nil, true},
	{"state", []string{"state"}, nil, true},
	{"containers", []string{"containers", "run"}, nil, false},
	{"volumes", []string{"volumes"}, nil, false},
	{"tmp", []string{"tmp"}, nil, false},
}

// Take looks at everything. It changes nothing but the notes that make the next
// look cheaper.
func Take(ctx context.Context, s *store.Store) (*Inventory, error) {
	inv, err := take(ctx, s, false)
	if err != nil {
		return nil, fmt.Errorf("look at %s: %w", s.Root(), err)
	}
	inv.settle()
	return inv, nil
}

// take is Take before it is known what is free to go; tagsToo lets names.
func take(ctx context.Context, s *store.Store, tagsToo bool) (*Inventory, error) {
	inv := &Inventory{store: s, sizes: sizes{}}
	inv.known = readSizes(inv.path("state"))
	var err error
	if inv.contents, err = s.Contents(ctx); err != nil {
		return nil, err
	}
	if err := inv.cacheItems(); err != nil {
		return nil, err
	}
	if err := inv.ownItems(); err != nil {
		return nil, err
	}
	if err := inv.storeItems(ctx, tagsToo); err != nil {
		return nil, err
	}
	if err := inv.otherItems(); err != nil {
		return nil, err
	}
	return inv, inv.measureAreas()
}

func (inv *Inventory) add(i *Item) *Item {
	inv.Items = append(inv.Items, i)
	return i
}

// hold makes i a holder of what, which cannot go before.
func (i *Item) hold(what *Item) {
	i.holds = append(i.holds, what)
	what.holders++
}

// free tells that nothing is in the way of removing it.
func (i *Item) free() bool { return i.Held == "" && i.holders == 0 && !i.gone }

// settle fills in what can be reclaimed: all that is free, and what becomes free
// with it.
func (inv *Inventory) settle() {
	sums := map[string]int64{}
	for _, v := range inv.plan(Policy{Capped: true, MaxBytes: -1}, time.Time{}) {
		sums[v.Area()] += v.Bytes
	}
	for n := range inv.Areas {
		inv.Areas[n].Reclaimable = sums[inv.Areas[n].Area]
	}
}

// Bytes is the disk space that counts for a cap.
func (inv *Inventory) Bytes() (sum int64) {
	for _, a := range inv.Areas {
		if a.Capped {
			sum += a.Bytes
		}
	}
	return sum
}

// Reclaimable is what a collection could remove of it, names staying.
func (inv *Inventory) Reclaimable() (sum int64) {
	for _, a := range inv.Areas {
		sum += a.Reclaimable
	}
	return sum
}

func (inv *Inventory) path(elem ...string) string {
	return filepath.Join(append([]string{inv.store.Root()}, elem...)...)
}

// oneLine is an instruction as a list shows it.
func oneLine(text string) string { return strings.Join(strings.Fields(text), " ") }
