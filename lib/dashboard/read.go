package dashboard

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/cache"
	"docksmith/lib/container"
	"docksmith/lib/store"
)

// Reader reads a state directory again and again. It is not safe for concurrent
// use.
type Reader struct {
	root string

	index   stamp // of the images
	images  []Image
	layers  []*Layer
	tree    []*Node
	builds  []*buildlog.Build
	disk    []Area
	partial bool
	measure time.Time // when to measure the disk again
	loads   map[string]load
}

// load is what a container had taken at a time.
type load struct {
	at  time.Time
	cpu time.Duration
}

// maxEnded is how many containers that ended are shown.
const maxEnded = 10

// NewReader gives a reader of the state directory root. Nothing is read yet.
func NewReader(root string) *Reader { return &Reader{root: root} }

// Read looks at everything. What cannot be read of one image is told of that
// image; the error is of what the whole needs.
func (r *Reader) Read(ctx context.Context, now time.Time) (*Model, error) {
	m := &Model{Time: now, Root: r.root}
	if err := r.readStore(ctx, now); err != nil {
		return nil, err
	}
	m.Images, m.Layers, m.Tree, m.Disk, m.Partial = r.images, r.layers, r.tree, r.disk, r.partial
	c, err := cache.Open(filepath.Join(r.root, "cache"))
	if err != nil {
		return nil, err
	}
	stats, err := c.Stats()
	if err != nil {
		return nil, err
	}
	m.Cache = stats.Counts
	if r.builds, err = buildlog.New(r.root).Again(r.builds); err != nil {
		return nil, err
	}
	m.Builds = r.builds
	m.Containers, err = r.readContainers(now)
	return m, err
}

// stamp tells one state of a file that is replaced from another.
type stamp struct {
	size int64
	time time.Time
}

// readStore reads the images if their index is another one, and measures the
// disk if it is time to. The store is closed after it: what it has read it keeps
// from being removed.
func (r *Reader) readStore(ctx context.Context, now time.Time) (err error) {
	s, err := store.Open(r.root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	var is stamp
	st, err := os.Stat(filepath.Join(s.LayoutPath(), "index.json"))
	if err == nil {
		is = stamp{st.Size(), st.ModTime()}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read images: %w", err)
	}
	if r.images == nil || is != r.index {
		if err := r.readImages(s); err != nil {
			return err
		}
		r.index = is
	}
	if now.Before(r.measure) {
		return nil
	}
	return r.readDisk(ctx, s, now)
}

// readImages reads all images and their layers.
func (r *Reader) readImages(s *store.Store) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	r.images, r.layers = make([]Image, 0, len(list)), nil
	known := map[string]*Layer{}
	for _, e := range list {
		i := Image{Name: e.Name, ID: short(e.Descriptor.Digest.Encoded()), Created: e.Created, Size: e.Size}
		if i.Name == "" {
			i.Name = i.ID
		}
		if e.Err != nil {
			i.Error = e.Err.Error()
		} else if err := i.read(s, e.Descriptor.Digest.String(), known, &r.layers); err != nil {
			i.Error = err.Error()
		}
		r.images = append(r.images, i)
	}
	r.tree = growTree(r.images)
	return nil
}

// read adds an image's layers to those that are known.
func (i *Image) read(s *store.Store, digest string, known map[string]*Layer, all *[]*Layer) error {
	img, err := s.Image(digest, nil)
	if err != nil {
		return err
	}
	i.Labels = img.Config.Config.Labels
	history := img.Config.LayerHistory()
	seen := map[*Layer]bool{}
	for n, l := range img.Layers {
		id := l.DiffID.String()
		if known[id] == nil {
			known[id] = &Layer{ID: short(l.DiffID.Encoded()), Size: l.Size}
			*all = append(*all, known[id])
		}
		layer := known[id]
		if layer.By == "" && n < len(history) {
			layer.By = history[n].CreatedBy
		}
		if !seen[layer] {
			layer.Images++
		}
		seen[layer] = true
		i.Layers = append(i.Layers, layer)
	}
	return nil
}

// short is the beginning of a hexadecimal id that people see.
func short(id string) string { return id[:min(12, len(id))] }

// readContainers gives those that run, the newest first, and then the last that
// ended.
func (r *Reader) readContainers(now time.Time) ([]Container, error) {
	table := container.Open(filepath.Join(r.root, "run"))
	states, err := table.List()
	if err != nil {
		return nil, err
	}
	gone, err := table.Ended()
	if err != nil {
		return nil, err
	}
	states = append(gone, states...)
	slices.Reverse(states)
	loads := map[string]load{}
	var running, ended []Container
	for _, s := range states {
		c := Container{State: s, CPU: -1}
		if c.Running() {
			if c.Load, err = s.Load(); err == nil {
				loads[s.ID] = load{now, c.Load.CPU}
				if was, ok := r.loads[s.ID]; ok && now.After(was.at) && c.Load.CPU >= was.cpu {
					c.CPU = float64(c.Load.CPU-was.cpu) / float64(now.Sub(was.at))
				}
			}
			running = append(running, c)
		} else {
			ended = append(ended, c)
		}
	}
	r.loads = loads
	slices.SortStableFunc(ended, func(a, b Container) int { return b.Finished.Compare(a.Finished) })
	list := append(running, ended[:min(len(ended), maxEnded)]...)
	for i := range list {
		list[i].Last = r.lastLine(&list[i].State)
	}
	return list, nil
}

// lastLine is the last line of a container's output, or nothing.
func (r *Reader) lastLine(s *container.State) string {
	if s.Log == "" {
		return ""
	}
	line, err := container.LastLine(filepath.Join(r.root, "run", s.ID, s.Log))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(line)
}
