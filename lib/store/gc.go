package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

// GCOptions say what a collection spares. The zero value spares what a name, a
// bundle or a living process needs, and nothing else.
type GCOptions struct {
	// Keep lists blobs (by digest or, for layers, diff ID) and snapshots (by chain
	// ID) to keep besides, such as those that cache records speak of.
	Keep []digest.Digest
	// Grace spares blobs, snapshots, images without a name and what failed
	// commands left that are younger: a layer added by one command is there for
	// the next. Default: none.
	Grace time.Duration
	// DryRun only counts.
	DryRun bool
}

// GCResult is what a collection removed, or would remove.
type GCResult struct {
	Images    []digest.Digest // entries without a name
	Blobs     []Piece
	Snapshots []Piece
	Temps     []Leftover // work of processes that are gone, and what failed commands left
	Bytes     int64      // disk space of all of it
}

// Leftover is a directory or a file that belongs to nobody any more.
type Leftover struct {
	Path  string
	Bytes int64
}

// roots is what must stay.
type roots struct {
	blobs     map[digest.Digest]bool
	snapshots map[digest.Digest]bool
}

func newRoots() roots {
	return roots{map[digest.Digest]bool{}, map[digest.Digest]bool{}}
}

func (r roots) keep(d digest.Digest) { r.blobs[d], r.snapshots[d] = true, true }

// GC removes what nothing needs. It stops other processes for as long as it
// takes to list the store, not for the removal of what is large.
func (s *Store) GC(ctx context.Context, o GCOptions) (res GCResult, err error) {
	bin, err := s.newTrash()
	if err != nil {
		return res, fmt.Errorf("collect: %w", err)
	}
	defer func() { err = errors.Join(err, bin.empty()) }()
	dead, err := s.collect(ctx, o, bin, &res)
	for i := range res.Snapshots {
		c := &res.Snapshots[i]
		c.Bytes, _ = DiskUsage(bin.where(s.SnapshotPath(c.Digest))) // what cannot be measured may still be removed
		res.Bytes += c.Bytes
	}
	for _, l := range dead {
		n, _ := DiskUsage(l.path) // what cannot be measured may still be removed
		res.Temps, res.Bytes = append(res.Temps, Leftover{l.path, n}), res.Bytes+n
		if o.DryRun {
			l.release()
			continue
		}
		if rerr := l.remove(); err == nil {
			err = rerr
		}
	}
	if err != nil {
		return res, fmt.Errorf("collect: %w", err)
	}
	return res, nil
}

// collect is the part of GC that needs the others to wait.
func (s *Store) collect(ctx context.Context, o GCOptions, bin *trash, res *GCResult) ([]leftover, error) {
	lock, err := flock.Open(ctx, s.path(fileGCLock), flock.Exclusive)
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	young := time.Now().Add(-o.Grace)
	if err := s.dropUnnamed(ctx, young, o.DryRun, res); err != nil {
		return nil, err
	}
	if err := s.collectFailed(young, o.DryRun, bin, res); err != nil {
		return nil, err
	}
	keep, err := s.roots(func(d oci.Descriptor) bool {
		return o.DryRun && entryName(d) == "" && slices.Contains(res.Images, d.Digest)
	})
	if err != nil {
		return nil, err
	}
	for _, d := range o.Keep {
		keep.keep(d)
		s.keepLayer(d, keep)
	}
	if err := s.sweepBlobs(keep, young, o.DryRun, res); err != nil {
		return nil, err
	}
	if err := s.sweepSnapshots(keep, young, o.DryRun, bin, res); err != nil {
		return nil, err
	}
	if !o.DryRun {
		if err := errors.Join(s.sweepLinks(), s.sweepNotes(), s.sweepUsed(), s.sweepAside(bin)); err != nil {
			return nil, err
		}
	}
	return s.leftovers()
}

// dropUnnamed removes the index entries that have no name and are old enough.
func (s *Store) dropUnnamed(ctx context.Context, young time.Time, dryRun bool, res *GCResult) error {
	held, err := s.leased()
	if err != nil {
		return err
	}
	return s.changeIndex(ctx, func(entries []oci.Descriptor) ([]oci.Descriptor, bool, error) {
		left := slices.DeleteFunc(entries, func(d oci.Descriptor) bool {
			created, ours := entryCreated(d)
			drop := entryName(d) == "" && ours && !held[d.Digest] && created.Before(young)
			if drop {
				res.Images = append(res.Images, d.Digest)
			}
			return drop
		})
		return left, len(res.Images) > 0 && !dryRun, nil
	})
}

// roots collects what index entries, leases and bundles need. Entries for which
// skip answers true do not count. The caller has gc.lock exclusively.
func (s *Store) roots(skip func(oci.Descriptor) bool) (roots, error) {
	keep, err := s.inUse()
	if err != nil {
		return keep, err
	}
	idx, err := s.readIndex()
	if err != nil {
		return keep, err
	}
	for _, d := range idx.Manifests {
		if !skip(d) {
			if err := s.imageRoots(d, keep); err != nil {
				return keep, fmt.Errorf("image %s: %w", entryOrDigest(d), err)
			}
		}
	}
	return keep, nil
}

// inUse collects what leases and bundles need. The caller has gc.lock
// exclusively.
func (s *Store) inUse() (roots, error) {
	keep := newRoots()
	held, err := s.leased()
	if err != nil {
		return keep, err
	}
	for d := range held {
		keep.keep(d)
	}
	return keep, s.eachBundle(func(_ string, chains []digest.Digest) error {
		for _, c := range chains {
			keep.snapshots[c] = true
		}
		return nil
	})
}

func entryOrDigest(d oci.Descriptor) string {
	if n := entryName(d); n != "" {
		return n
	}
	return d.Digest.String()
}

// imageRoots keeps the blobs of an image, or of all images of an index, and the
// snapshots of every prefix of their layers.
func (s *Store) imageRoots(desc oci.Descriptor, keep roots) error {
	blobs := map[digest.Digest]oci.Descriptor{}
	if err := s.closure(desc, blobs); err != nil {
		// An image that is torn already must not stop the rest, but what is left
		// of it stays: whoever looks into it needs it.
		if !errors.Is(err, oci.ErrNotFound) && !errors.Is(err, ErrCorrupt) {
			return err
		}
	}
	for d, b := range blobs {
		keep.blobs[d] = true
		if !oci.IsConfig(b.MediaType) {
			continue
		}
		raw, err := s.ReadDocument(b)
		if err != nil {
			continue
		}
		if cfg, err := oci.DecodeImage(raw); err == nil {
			var chain digest.Digest
			for _, diff := range cfg.RootFS.DiffIDs {
				chain = oci.NextChainID(chain, diff)
				keep.snapshots[chain] = true
			}
		}
	}
	return nil
}

// keepLayer keeps the blobs of a layer known by its diff ID.
func (s *Store) keepLayer(diffID digest.Digest, keep roots) {
	if oci.ValidDigest(diffID) != nil {
		return
	}
	links, _ := filepath.Glob(s.path(dirLayers, diffID.Encoded()+".*")) // the pattern is well formed
	for _, link := range links {
		if target, err := os.Readlink(link); err == nil {
			keep.blobs[digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(target))] = true
		}
	}
}

// eachBundle calls f with each bundle and the snapshots it stands on: those in
// containers/ and those registered by registerBundle. A registered bundle that
// is gone is forgotten.
func (s *Store) eachBundle(f func(dir string, chains []digest.Digest) error) error {
	configs, err := s.bundleConfigs()
	if err != nil {
		return err
	}
	for _, c := range configs {
		lowers, err := bundleLowers(c)
		if errors.Is(err, fs.ErrNotExist) {
			continue // removed this moment
		}
		if err != nil {
			return fmt.Errorf("bundle %s: %w", filepath.Dir(c), err)
		}
		var chains []digest.Digest
		for _, l := range lowers {
			if filepath.Dir(l) == s.path(dirSnapshots) {
				chains = append(chains, digest.NewDigestFromEncoded(digest.SHA256, filepath.Base(l)))
			}
		}
		if err := f(filepath.Dir(c), chains); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) bundleConfigs() ([]string, error) {
	configs, err := filepath.Glob(s.path(dirContainers, "*", "config.json"))
	if err != nil {
		return nil, err
	}
	registered, err := os.ReadDir(s.path(dirBundles))
	if err != nil {
		return nil, err
	}
	for _, r := range registered {
		link := s.path(dirBundles, r.Name())
		dir, err := os.Readlink(link)
		if err != nil {
			continue
		}
		config := filepath.Join(dir, "config.json")
		if _, err := os.Stat(config); errors.Is(err, fs.ErrNotExist) {
			os.Remove(link)
			continue
		}
		configs = append(configs, config)
	}
	return configs, nil
}

func bundleLowers(config string) ([]string, error) {
	raw, err := os.ReadFile(config)
	if err != nil {
		return nil, err
	}
	var spec struct {
		Annotations map[string]string `json:"annotations"`
	}
	if err := json.Unmarshal(raw, &spec); err != nil {
		return nil, err
	}
	return SplitLowers(spec.Annotations[oci.AnnotationOverlayLower]), nil
}

func (s *Store) sweepBlobs(keep roots, young time.Time, dryRun bool, res *GCResult) error {
	return s.EachBlob(func(d digest.Digest, info fs.FileInfo) error {
		if keep.blobs[d] || info.ModTime().After(young) {
			return nil
		}
		res.Blobs = append(res.Blobs, Piece{d, Allocated(info), info.ModTime()})
		res.Bytes += Allocated(info)
		if dryRun {
			return nil
		}
		return os.Remove(s.BlobPath(d))
	})
}

func (s *Store) sweepSnapshots(keep roots, young time.Time, dryRun bool, bin *trash, res *GCResult) error {
	return s.EachSnapshot(func(chain digest.Digest, info fs.FileInfo) error {
		// Modification times of snapshots are those of the layer; the change time
		// is that of the rename that made them visible.
		if keep.snapshots[chain] || changed(info).After(young) {
			return nil
		}
		res.Snapshots = append(res.Snapshots, Piece{chain, 0, s.snapshotUsed(chain, info)})
		if dryRun {
			return nil
		}
		return bin.take(s.SnapshotPath(chain))
	})
}

// sweepAside removes what somebody without the privilege put aside.
func (s *Store) sweepAside(bin *trash) error {
	aside, err := filepath.Glob(s.path(dirSnapshots, asidePrefix+"*"))
	for _, path := range aside {
		err = errors.Join(err, bin.take(path))
	}
	return err
}

// sweepLinks forgets which blob held a layer when that is gone.
func (s *Store) sweepLinks() error {
	links, err := os.ReadDir(s.path(dirLayers))
	if err != nil {
		return err
	}
	for _, l := range links {
		link := s.path(dirLayers, l.Name())
		if _, err := os.Stat(link); errors.Is(err, fs.ErrNotExist) {
			if err := os.Remove(link); err != nil {
				return err
			}
		}
	}
	return nil
}

// eachDigest calls f for the entries of dir whose names are digests, in order.
func eachDigest(dir string, f func(digest.Digest, fs.FileInfo) error) error {
	names, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, n := range names {
		d := digest.NewDigestFromEncoded(digest.SHA256, n.Name())
		if oci.ValidDigest(d) != nil {
			continue
		}
		info, err := n.Info()
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := f(d, info); err != nil {
			return err
		}
	}
	return nil
}
