package build

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cache"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

// treeStore is a store for builds that make layers: tars in memory, snapshots
// and temporary directories on disk.
type treeStore struct {
	paperStore
	dir string

	mu        sync.Mutex
	tars      map[digest.Digest][]byte
	snapshots map[digest.Digest]string
}

// newTreeStore makes a store with an image "base" of one layer, and "parent",
// which is that with triggers.
func newTreeStore(t *testing.T, triggers ...string) *treeStore {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root, who may own the files of layers")
	}
	s := &treeStore{dir: t.TempDir(), tars: map[digest.Digest][]byte{}, snapshots: map[digest.Digest]string{}}
	top := filepath.Join(s.dir, "base")
	if err := os.MkdirAll(filepath.Join(top, "etc"), 0o755); err != nil {
		t.Fatal(err)
	}
	w, err := s.NewLayer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if err := layer.Create(t.Context(), w, top, layer.CreateOptions{}); err != nil {
		t.Fatal(err)
	}
	l, err := w.Commit()
	if err != nil {
		t.Fatal(err)
	}
	s.snapshots[oci.NextChainID("", l.DiffID)] = top
	b := &Base{Image: oci.Image{Platform: oci.HostPlatform()}, Layers: []oci.Layer{l}}
	parent := *b
	parent.Image.Config.OnBuild = triggers
	s.bases = map[string]*Base{"base": b, "parent": &parent}
	return s
}

func (s *treeStore) Has(d digest.Digest) (int64, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	tar, ok := s.tars[d]
	return int64(len(tar)), ok
}

func (s *treeStore) Recompress(_ context.Context, l oci.Layer) (oci.Layer, error) { return l, nil }

func (s *treeStore) NewLayer(context.Context) (LayerWriter, error) { return &treeLayer{s: s}, nil }

type treeLayer struct {
	bytes.Buffer
	s *treeStore
}

func (w *treeLayer) Abort() {}

func (w *treeLayer) Commit() (oci.Layer, error) {
	d := digest.FromBytes(w.Bytes())
	w.s.mu.Lock()
	w.s.tars[d] = w.Bytes()
	w.s.mu.Unlock()
	return oci.Layer{Descriptor: oci.Descriptor{Digest: d, Size: int64(w.Len())}, DiffID: d}, nil
}

func (s *treeStore) Snapshots(_ context.Context, layers []oci.Layer) ([]string, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var dirs []string
	var chain digest.Digest
	for _, l := range layers {
		chain = oci.NextChainID(chain, l.DiffID)
		if s.snapshots[chain] == "" {
			return nil, fmt.Errorf("no snapshot of %s", l.DiffID)
		}
		dirs = append([]string{s.snapshots[chain]}, dirs...)
	}
	return dirs, nil
}

func (s *treeStore) Unpack(ctx context.Context, layers []oci.Layer, dir string) error {
	for _, l := range layers {
		s.mu.Lock()
		tar := s.tars[l.Digest]
		s.mu.Unlock()
		if err := layer.Apply(ctx, bytes.NewReader(tar), dir, layer.ApplyOptions{}); err != nil {
			return err
		}
	}
	return nil
}

func (s *treeStore) AddSnapshot(chain digest.Digest, dir string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.snapshots[chain] != "" {
		return os.RemoveAll(dir)
	}
	s.snapshots[chain] = filepath.Join(s.dir, chain.Encoded())
	return os.Rename(dir, s.snapshots[chain])
}

func (s *treeStore) TempDir(prefix string) (Temp, error) {
	dir, err := os.MkdirTemp(s.dir, prefix)
	return treeTemp(dir), err
}

type treeTemp string

func (t treeTemp) Path() string          { return string(t) }
func (t treeTemp) Keep() (string, error) { return string(t), nil }
func (t treeTemp) Close() error          { return os.RemoveAll(string(t)) }

// mergedView merges layers none of which hides anything.
func (s *treeStore) mergedView(lowers []string) (*os.File, error) {
	dir, err := os.MkdirTemp(s.dir, "view")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	for _, lower := range lowers {
		if err := addTree(dir, lower); err != nil {
			return nil, err
		}
	}
	// As with a detached mount, what was opened stays as long as it is open.
	kept := dir + "-kept"
	if err := os.Rename(dir, kept); err != nil {
		return nil, err
	}
	return os.Open(kept)
}

// addTree copies what dir has not.
func addTree(dir, from string) error {
	return filepath.WalkDir(from, func(p string, e fs.DirEntry, err error) error {
		to := filepath.Join(dir, strings.TrimPrefix(p, from))
		if _, serr := os.Lstat(to); err != nil || serr == nil {
			return err
		}
		if e.IsDir() {
			return os.Mkdir(to, 0o755)
		}
		data, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		return os.WriteFile(to, data, 0o644)
	})
}

// fakeRunner executes "/bin/sh -c COMMAND" as one of
//
//	put FILE TEXT    a file appears
//	stamp FILE       a file appears that is another each time
//	fail STATUS
//	wait             until the build is cancelled
//
// after a random while, and watches how many run at once.
type fakeRunner struct {
	most time.Duration // of the while

	mu            sync.Mutex
	now, max, all int
	ran           []string
	started       func(command string) // optional
}

func (r *fakeRunner) Run(ctx context.Context, c Container) (RunResult, error) {
	command := c.Spec.Process.Args[len(c.Spec.Process.Args)-1]
	r.mu.Lock()
	r.now++
	r.all++
	stamp := r.all
	r.max = max(r.max, r.now)
	r.ran = append(r.ran, command)
	r.mu.Unlock()
	defer func() {
		r.mu.Lock()
		r.now--
		r.mu.Unlock()
	}()
	if r.started != nil {
		r.started(command)
	}
	if r.most > 0 {
		time.Sleep(rand.N(r.most))
	}
	root := filepath.Join(c.Dir, "upper")
	if _, err := os.Stat(root); err != nil {
		root = filepath.Join(c.Dir, "rootfs")
	}
	words := strings.SplitN(command, " ", 3)
	switch words[0] {
	case "put":
		return RunResult{}, os.WriteFile(filepath.Join(root, words[1]), []byte(words[2]), 0o644)
	case "stamp":
		return RunResult{}, os.WriteFile(filepath.Join(root, words[1]), fmt.Append(nil, stamp, time.Now().UnixNano()), 0o644)
	case "fail":
		var status int
		fmt.Sscan(words[1], &status)
		return RunResult{Status: status}, nil
	case "wait":
		<-ctx.Done()
		return RunResult{Status: 143}, ctx.Err()
	case "late": // it fails by itself when the build is over already
		<-ctx.Done()
		return RunResult{Status: 5}, nil
	}
	return RunResult{}, fmt.Errorf("unknown command %q", command)
}

// fakeJobs are n slots.
type fakeJobs chan struct{}

func (j fakeJobs) Acquire(ctx context.Context) (func(), error) {
	select {
	case j <- struct{}{}:
		return func() { <-j }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// fakeAccount writes down what is counted.
type fakeAccount struct{ lines []string }

func (a *fakeAccount) Hit(step cache.Step, p *cache.Preimage, r *cache.Record) {
	a.lines = append(a.lines, fmt.Sprint("hit ", step.ID, " ", p == nil || p.Key() == r.Key))
}

func (a *fakeAccount) Miss(step cache.Step, p *cache.Preimage, reason string) {
	a.lines = append(a.lines, fmt.Sprint("miss ", step.ID, " ", reason))
}

func (a *fakeAccount) Expect([]cache.Step) {}

func (a *fakeAccount) Changes(cache.Step, *cache.Preimage, bool) ([]cache.Change, bool) {
	return nil, false
}

// imageSum tells images apart by all that is in them.
func imageSum(t *testing.T, img oci.Image) string {
	t.Helper()
	raw, err := oci.Marshal(img)
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x", sha256.Sum256(raw))
}
