package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path"
	"slices"
	"strings"

	"docksmith/lib/elf"
	"docksmith/lib/layer"
)

var errNotBusybox = errors.New("no table of applets in the busybox")

// sourceSet collects the entries of a closure's layer, one per path. Files are
// opened below directories that it holds open until close.
type sourceSet struct {
	byPath map[string]layer.Source
	roots  []*os.Root
}

func (s *sourceSet) close() {
	for _, r := range s.roots {
		_ = r.Close() // opened for reading only
	}
}

func (s *sourceSet) open(dir string) (*os.Root, error) {
	r, err := os.OpenRoot(dir)
	if err == nil {
		s.roots = append(s.roots, r)
	}
	return r, err
}

// entries are the collected sources in the order of a layer.
func (s *sourceSet) entries() []layer.Source {
	names := slices.SortedFunc(maps.Keys(s.byPath), layer.ComparePaths)
	out := make([]layer.Source, 0, len(names))
	for _, name := range names {
		out = append(out, s.byPath[name])
	}
	return out
}

// add takes a source in; a second one with the same path must be the same
// directory or link.
func (s *sourceSet) add(e layer.Source) error {
	old, ok := s.byPath[e.Path]
	switch {
	case !ok || e.Type == layer.TypeDir && old.Type == layer.TypeDir:
		s.byPath[e.Path] = e
	case e.Type == layer.TypeSymlink && old.Type == layer.TypeSymlink && e.Linkname == old.Linkname:
	default:
		return fmt.Errorf("/%s is wanted as two different things", e.Path)
	}
	return nil
}

// addPaths adds the files and links of a closure.
func (s *sourceSet) addPaths(dir string, paths []elf.Path) error {
	root, err := s.open(dir)
	if err != nil {
		return err
	}
	for _, p := range paths {
		if p.Kind == elf.Link {
			err = s.addLink(p.Name, p.Link)
		} else {
			err = s.addFile(root, p.Name[1:], p.Name[1:])
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (s *sourceSet) addLink(name, target string) error {
	name = strings.TrimPrefix(path.Join("/", name), "/")
	return s.add(layer.Source{Entry: layer.Entry{Path: name, Type: layer.TypeSymlink, Mode: 0o777, Linkname: target}})
}

// addFile adds the regular file from of root. Set-id bits are dropped: they
// were given for the file's owner, which here becomes root.
func (s *sourceSet) addFile(root *os.Root, from, name string) error {
	info, err := root.Lstat(from)
	if err != nil {
		return err
	}
	return s.add(layer.Source{
		Entry: layer.Entry{Path: name, Mode: uint32(info.Mode().Perm()), Size: info.Size()},
		Open:  func() (io.ReadCloser, error) { return root.Open(from) },
	})
}

// addTree adds directories, files and links below dir as they are there.
func (s *sourceSet) addTree(dir string) error {
	root, err := s.open(dir)
	if err != nil {
		return err
	}
	return fs.WalkDir(root.FS(), ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || name == "." {
			return err
		}
		switch d.Type() {
		case 0:
			return s.addFile(root, name, name)
		case fs.ModeSymlink:
			target, err := root.Readlink(name)
			if err != nil {
				return err
			}
			return s.addLink(name, target)
		case fs.ModeDir:
			info, err := d.Info()
			if err != nil {
				return err
			}
			return s.add(directory(name, info.Mode()))
		}
		return fmt.Errorf("%s/%s is neither a file, a directory nor a link", dir, name)
	})
}

func directory(name string, mode fs.FileMode) layer.Source {
	bits := uint32(mode.Perm())
	if mode&fs.ModeSticky != 0 {
		bits |= 0o1000
	}
	return layer.Source{Entry: layer.Entry{Path: name, Type: layer.TypeDir, Mode: bits}}
}

// addParents makes the directories that the other entries need.
func (s *sourceSet) addParents() error {
	for _, name := range slices.Collect(maps.Keys(s.byPath)) {
		for dir := path.Dir(name); dir != "."; dir = path.Dir(dir) {
			parent, ok := s.byPath[dir]
			if ok && parent.Type != layer.TypeDir {
				return fmt.Errorf("/%s is below /%s, which is a %s", name, dir, parent.Type)
			}
			if !ok {
				s.byPath[dir] = directory(dir, 0o755)
			}
		}
	}
	return nil
}
