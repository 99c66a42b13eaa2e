package layer

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// Scan lists the tree at dir as Create would write it, below prefix (clean; "."
// for none), for use with Pack: to write several trees as one layer, or beside
// files. Directories that hold prefix are not listed; dir itself is, as prefix, if it is
// not "." or o.Root is set. Files are opened when Pack comes to them.
func Scan(ctx context.Context, dir, prefix string, o CreateOptions) ([]Source, error) {
	s := &scanner{ctx: ctx, dir: dir, prefix: prefix, links: make(map[inode]linkTarget)}
	s.o = o
	if err := s.scan(); err != nil {
		return nil, fmt.Errorf("scan %s: %w", dir, err)
	}
	return s.list, nil
}

type scanner struct {
	loader
	ctx         context.Context
	dir, prefix string
	links       map[inode]linkTarget
	list        []Source
}

func (s *scanner) scan() error {
	f, err := openDir(s.dir)
	if err != nil {
		return err
	}
	defer f.Close()
	root, err := s.root(int(f.Fd()))
	if err != nil {
		return err
	}
	root.Path = s.prefix
	if s.prefix != "." || s.o.Root {
		s.list = append(s.list, Source{Entry: root.Entry})
	}
	return s.walk(f, root)
}

func (s *scanner) walk(f *os.File, dir *object) error {
	names, err := readDir(f)
	if err != nil {
		return pathError("read directory", dir.Path, err)
	}
	for _, n := range names {
		if err := s.ctx.Err(); err != nil {
			return err
		}
		o, err := s.at(int(f.Fd()), n.Name(), join(dir.Path, n.Name()), dir.own, s.links)
		if err != nil {
			return err
		}
		if err := s.add(o); err != nil {
			return err
		}
	}
	return nil
}

func (s *scanner) add(o *object) error {
	defer o.close()
	if o.socket {
		s.warn("%q: sockets cannot be in a layer, left out", o.Path)
		return nil
	}
	src := Source{Entry: o.Entry}
	if o.Type == TypeFile {
		if o.nlink > 1 {
			s.links[o.id] = linkTarget{o.Path, o.UID, o.GID}
		}
		rel := strings.TrimPrefix(strings.TrimPrefix(o.Path, s.prefix), "/")
		if s.prefix == "." {
			rel = o.Path
		}
		name := filepath.Join(s.dir, rel)
		src.Open = func() (io.ReadCloser, error) { return os.Open(name) }
	}
	s.list = append(s.list, src)
	if o.Type != TypeDir {
		return nil
	}
	sub := os.NewFile(uintptr(o.fd), procPath(o.fd, ""))
	o.fd = -1
	defer sub.Close()
	return s.walk(sub, o)
}
