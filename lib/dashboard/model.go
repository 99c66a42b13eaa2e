// Package dashboard gathers what a state directory holds and what goes on in
// it, images, layers, cache, disk, containers and builds, and draws that as
// text for a terminal or as one page of HTML.
//
// It changes nothing and follows nothing: a [Model] is a moment, a [Reader]
// gives one after the other and reads again only what changed. Drawing knows
// the model alone. The one invariant: no byte of an image, a label, a command or
// a build reaches the terminal or the page but through an escaper.
//
//	r := dashboard.NewReader(root)
//	m, err := r.Read(ctx, time.Now())
//	for _, line := range m.Text(dashboard.TextOptions{Width: 80}) { ... }
//	err = m.WritePage(w)
package dashboard

import (
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/cache"
	"docksmith/lib/container"
)

// Model is what is to be seen of a state directory at one moment.
type Model struct {
	Time time.Time
	Root string

	Images []Image  // by name
	Layers []*Layer // as the images have them, each once
	Tree   []*Node  // the layers below each other, the images on them

	Disk []Area // the largest first
	// Partial says that not all of the disk could be looked at.
	Partial bool

	Cache      cache.Counts
	Builds     []*buildlog.Build // the last begun first
	Containers []Container       // those that run, then the last that ended
}

// Image is an image with a name, or the digest of one without.
type Image struct {
	Name    string
	ID      string // the first digits of its digest
	Created time.Time
	Size    int64
	Layers  []*Layer // the bottom first
	Labels  map[string]string
	Error   string // why it cannot be read
}

// Layer is a layer, with the images that have it.
type Layer struct {
	ID     string // the first digits of its diff ID
	Size   int64  // of the blob
	By     string // the instruction that made it
	Images int
}

// Container is a container and what it takes of the machine.
type Container struct {
	container.State
	Load container.Load
	// CPU is the share of one processor since the last look, 1 for all of it;
	// negative if that is not known.
	CPU float64
	// Last is the last line of its output.
	Last string
}

// Running tells whether the container has not ended.
func (c *Container) Running() bool { return c.Status != container.Stopped }

// Runs tells whether a container runs.
func (m *Model) Runs() bool { return m.running() > 0 }

// running counts the containers that have not ended.
func (m *Model) running() (n int) {
	for i := range m.Containers {
		if m.Containers[i].Running() {
			n++
		}
	}
	return n
}

// stored is the size of all layers, each once; unshared what it would be if
// every image had its own.
func (m *Model) layerSizes() (stored, unshared int64) {
	for _, l := range m.Layers {
		stored += l.Size
		unshared += l.Size * int64(l.Images)
	}
	return stored, unshared
}

// diskTotal is the space of all areas, and how much of it could be freed.
func (m *Model) diskTotal() (sum, reclaimable int64) {
	for _, u := range m.Disk {
		sum += u.Bytes
		reclaimable += u.Reclaimable
	}
	return sum, reclaimable
}

// hitRate is the share of steps that came from the cache; negative without any.
func hitRate(hits, misses int64) float64 {
	if hits+misses == 0 {
		return -1
	}
	return float64(hits) / float64(hits+misses)
}

// cacheSteps counts the steps of a build by what the cache had for them.
func cacheSteps(b *buildlog.Build) (hits, misses int64) {
	for _, s := range b.Steps {
		switch s.Cache {
		case "hit":
			hits++
		case "miss":
			misses++
		}
	}
	return hits, misses
}
