package build

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/opencontainers/runtime-spec/specs-go"

	"docksmith/lib/layer"
)

// Without an overlay file system, a stage's root is a copy: all its layers
// applied to one directory, which later steps bring up to date. A RUN changes a
// second one, and its layer is what differs between the two. The layers are
// those an overlay would give; only the work grows with the image.

// copied is the root of a stage in one directory.
type copied struct {
	dir    string
	layers int // how many are applied
}

// copyOf brings the stage's copy up to date and gives its directory.
func (b *builder) copyOf(ctx context.Context, s *stage) (string, error) {
	s.disk.mu.Lock()
	defer s.disk.mu.Unlock()
	if s.disk.copied == nil {
		place, err := b.placeOfCopies()
		if err != nil {
			return "", err
		}
		dir, err := os.MkdirTemp(place, "root-")
		if err == nil {
			err = os.Chmod(dir, 0o755)
		}
		if err != nil {
			return "", err
		}
		s.disk.copied = &copied{dir: dir}
	}
	c := s.disk.copied
	if err := b.o.Store.Unpack(ctx, s.layers[c.layers:], c.dir); err != nil {
		return "", fmt.Errorf("unpack layers: %w", err)
	}
	c.layers = len(s.layers)
	return c.dir, nil
}

// placeOfCopies makes the directory of all copies, once, and tells why it takes
// long.
func (b *builder) placeOfCopies() (string, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.copies == nil {
		b.warn(0, "no overlay: each stage works on a copy of its root file system, which takes time and space")
		var err error
		if b.copies, err = b.o.Store.TempDir("copies"); err != nil {
			return "", err
		}
	}
	return b.copies.Path(), nil
}

// dropCopies removes the copies at the end of the build.
func (b *builder) dropCopies() error {
	if b.copies == nil {
		return nil
	}
	return b.copies.Close()
}

// makeCopied is make without an overlay.
func (r *runJob) makeCopied(ctx context.Context, m *maker) error {
	before, err := r.b.copyOf(ctx, r.s)
	if err != nil {
		return err
	}
	after := filepath.Join(m.temp.Path(), "rootfs")
	if err := errors.Join(os.Mkdir(after, 0o755), os.Chmod(after, 0o755)); err != nil {
		return err
	}
	if err := r.b.o.Store.Unpack(ctx, r.s.layers, after); err != nil {
		return fmt.Errorf("unpack layers: %w", err)
	}
	spec, err := r.spec(m)
	if err != nil {
		return err
	}
	if err := r.provide(m, spec); err != nil {
		return err
	}
	if err := r.addMounts(ctx, m, spec); err != nil {
		return err
	}
	if err := r.run(ctx, m, spec); err != nil {
		return err
	}
	return layer.Diff(ctx, m.tar, before, after, layer.CreateOptions{Epoch: r.b.o.Epoch, Warn: m.warn})
}

// provide mounts the files of /etc that ds-exec provides on an overlay.
func (r *runJob) provide(m *maker, spec *specs.Spec) error {
	resolv := ""
	if r.network == NetworkHost {
		resolv = readOr("/etc/resolv.conf", "")
	}
	files := []document{{"hostname", spec.Hostname + "\n"}, {"resolv.conf", resolv}}
	if len(r.b.o.Hosts) == 0 { // else it is there
		files = append(files, document{"hosts", r.hosts(spec.Hostname)})
	}
	for _, f := range files {
		if err := m.mountFile(spec, f.name, f.text); err != nil {
			return err
		}
	}
	return nil
}

func readOr(name, otherwise string) string {
	text, err := os.ReadFile(name)
	if err != nil {
		return otherwise
	}
	return string(text)
}
