package build

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"syscall"

	"docksmith/lib/layer"
	"docksmith/lib/rootfs"
)

// draft is a layer being planned: what COPY, ADD or WORKDIR will put on top of
// base. Paths are clean and relative, as in layer.Entry. Nothing is read or
// written but the base's metadata; the layer is made from the result in one
// pass.
//
// The invariant: for every node, all directories above it are nodes too.
type draft struct {
	base  *rootfs.Root // nil: an empty root
	nodes map[string]*node
	last  resolved
	inode int
}

// node is an entry of the draft.
type node struct {
	layer.Source
	// kept marks a directory of the base that is only on the way.
	kept bool
	// fresh marks a directory below which nothing of the base shows.
	fresh bool
	// coversDir says that the base has a directory here.
	coversDir bool
	// inode is the same for all names of one file; 0: no other name.
	inode int
}

// resolved remembers the last directory that was resolved: entries come sorted.
type resolved struct{ from, to string }

func newDraft(base *rootfs.Root) *draft { return &draft{base: base, nodes: map[string]*node{}} }

// at is what stands at p, whose parents are no links: a node, or, marked as
// kept and not yet part of the draft, an entry of the base; nil for nothing.
func (d *draft) at(p string) (*node, error) {
	if n := d.nodes[p]; n != nil {
		return n, nil
	}
	if p == "." {
		return &node{Source: layer.Source{Entry: layer.Entry{Path: ".", Type: layer.TypeDir, Mode: 0o755}}, kept: true}, nil
	}
	if d.base == nil || d.hidden(p) {
		return nil, nil
	}
	st, err := d.base.Lstat(p)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n := &node{kept: true}
	n.Entry = entryOf(p, uint32(st.Mode), st.Uid, st.Gid, st.Size)
	n.coversDir = n.Type == layer.TypeDir
	return n, nil
}

// hidden tells whether what the base has at p is covered by the draft.
func (d *draft) hidden(p string) bool {
	for dir := path.Dir(p); dir != "."; dir = path.Dir(dir) {
		if n := d.nodes[dir]; n != nil {
			return n.fresh || n.Type != layer.TypeDir
		}
	}
	return false
}

// entryOf is the entry for something of the base, without its content. Of what
// is neither directory, link nor file, only that it is none matters here.
func entryOf(p string, mode, uid, gid uint32, size int64) layer.Entry {
	e := layer.Entry{Path: p, Type: layer.TypeFifo, Mode: mode & 0o7777, UID: uid, GID: gid}
	switch mode & syscall.S_IFMT {
	case syscall.S_IFDIR:
		e.Type = layer.TypeDir
	case syscall.S_IFLNK:
		e.Type = layer.TypeSymlink
	case syscall.S_IFREG:
		e.Type, e.Size = layer.TypeFile, size
	}
	return e
}

// maxLinks is how many symbolic links the kernel follows in one path.
const maxLinks = 40

// resolve follows the links of p in what base and draft give together, the last
// element too. "/" and ".." stay inside. What does not exist keeps its name.
func (d *draft) resolve(p string) (string, error) {
	if d.last.from == p && p != "" {
		return d.last.to, nil
	}
	at, links := ".", 0
	todo := strings.Split(p, "/")
	for len(todo) > 0 {
		name := todo[0]
		todo = todo[1:]
		if name == "" || name == "." {
			continue
		}
		if name == ".." {
			at = path.Dir(at)
			continue
		}
		n, err := d.at(path.Join(at, name))
		if err != nil {
			return "", err
		}
		if n == nil || n.Type != layer.TypeSymlink {
			at = path.Join(at, name)
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("resolve /%s: %w", p, syscall.ELOOP)
		}
		target := n.Linkname
		if n.kept {
			if target, err = d.base.Readlink(n.Path); err != nil {
				return "", err
			}
		}
		if strings.HasPrefix(target, "/") {
			at = "."
		}
		todo = append(strings.Split(target, "/"), todo...)
	}
	d.last = resolved{p, at}
	return at, nil
}

// mkdirAll plans the directory p, which is resolved, and what lacks above it,
// with that owner and mode. Directories that exist stay as they are.
func (d *draft) mkdirAll(p string, owner owner, mode uint32) error {
	if p == "." || d.nodes[p] != nil && d.nodes[p].Type == layer.TypeDir {
		return nil
	}
	if err := d.mkdirAll(path.Dir(p), owner, mode); err != nil {
		return err
	}
	n, err := d.at(p)
	if err != nil {
		return err
	}
	if n == nil {
		n = &node{fresh: true}
		n.Entry = layer.Entry{Path: p, Type: layer.TypeDir, Mode: mode, UID: owner.uid, GID: owner.gid}
	} else if n.Type != layer.TypeDir {
		return fmt.Errorf("/%s: %w", p, errNotDir)
	} else if err := d.loadXattrs(n); err != nil {
		return err
	}
	d.set(p, n)
	return nil
}

func (d *draft) set(p string, n *node) {
	n.Path = p
	d.nodes[p] = n
	d.last = resolved{}
}

var (
	errNotDir = errors.New("is not a directory")
	errIsDir  = errors.New("is a directory")
)

// put plans n at p, whose parent is planned. Without replace a directory and
// something else do not take each other's place.
func (d *draft) put(p string, n *node, replace bool) error {
	old, err := d.at(p)
	if err != nil {
		return err
	}
	isDir := n.Type == layer.TypeDir
	if old != nil {
		wasDir := old.Type == layer.TypeDir
		switch {
		case wasDir && !isDir && !replace:
			return fmt.Errorf("/%s: %w that a file cannot replace", p, errIsDir)
		case !wasDir && isDir && !replace:
			return fmt.Errorf("/%s: %w", p, errNotDir)
		case wasDir && !isDir:
			d.drop(p)
		}
		n.coversDir = old.coversDir
		n.fresh = isDir && (old.fresh || !wasDir)
		if isDir && wasDir && old.kept && n.Xattrs == nil {
			if err := d.loadXattrs(old); err != nil {
				return err
			}
			n.Xattrs = old.Xattrs
		}
	} else {
		n.fresh = isDir
	}
	d.set(p, n)
	return nil
}

// drop forgets what is planned below p.
func (d *draft) drop(p string) {
	for q := range d.nodes {
		if strings.HasPrefix(q, p+"/") {
			delete(d.nodes, q)
		}
	}
}

// loadXattrs completes a directory of the base for its entry in the layer.
func (d *draft) loadXattrs(n *node) error {
	if n.Path == "." {
		return nil
	}
	attrs, err := d.base.Xattrs(n.Path)
	if err != nil {
		return err
	}
	applyXattrs(&n.Entry, attrs)
	return nil
}

// link makes n a further name of t. Names of anything but a regular file become
// entries of their own: not every system can link them.
func (d *draft) link(n, t *node) {
	if t.inode == 0 && t.Type == layer.TypeFile {
		d.inode++
		t.inode = d.inode
	}
	n.Source, n.inode = t.Source, t.inode
}

// sources is the layer, in its order: of several names of one file the first
// is the file. Directories of the base appear where something below them does.
// hides says that a directory is opaque.
func (d *draft) sources() (out []layer.Source, hides bool) {
	needed := map[string]bool{}
	for p, n := range d.nodes {
		if n.kept {
			continue
		}
		for ; p != "." && !needed[p]; p = path.Dir(p) {
			needed[p] = true
		}
	}
	out = make([]layer.Source, 0, len(needed))
	for p := range needed {
		out = append(out, d.nodes[p].Source)
	}
	slices.SortFunc(out, func(a, b layer.Source) int { return layer.ComparePaths(a.Path, b.Path) })
	first := map[int]string{}
	for i := 0; i < len(out); i++ {
		n := d.nodes[out[i].Path]
		if n.fresh && n.coversDir {
			opaque := layer.Source{Entry: layer.Entry{Path: n.Path, Type: layer.TypeOpaque}}
			i++
			out = slices.Insert(out, i, opaque)
			hides = true
			continue
		}
		if n.inode == 0 {
			continue
		}
		if target, seen := first[n.inode]; seen {
			out[i].Type, out[i].Linkname, out[i].Size, out[i].Open = layer.TypeLink, target, 0, nil
		} else {
			first[n.inode] = n.Path
		}
	}
	return out, hides
}
