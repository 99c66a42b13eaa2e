package buildctx

import (
	"maps"
	"path"
	"slices"
	"sync"
)

// Uses collects what was read of a context, for those who want to know when to
// read it again: the files of walks, and directories whose names were listed. The
// place of a link is its directory, for that changes when the link does, which
// itself is no file. The zero value is ready; it may be used concurrently.
type Uses struct {
	mu    sync.Mutex
	paths map[string]bool
	links map[string]bool
}

// List is sorted, of paths as the context gives them.
func (u *Uses) List() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.paths))
}

// Links are the symbolic links that were read or followed, sorted.
func (u *Uses) Links() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Sorted(maps.Keys(u.links))
}

// add notes a file or a directory that was read; a nil Uses is nobody's.
func (u *Uses) add(p string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.paths == nil {
		u.paths = map[string]bool{}
	}
	u.paths[p] = true
}

// entry notes what was found at a path.
func (u *Uses) entry(info *Info) {
	switch info.Type {
	case File:
		u.add(info.Path)
	case Symlink:
		u.add(path.Dir(info.Path))
		u.link(info.Path)
	}
}

func (u *Uses) link(p string) {
	if u == nil {
		return
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.links == nil {
		u.links = map[string]bool{}
	}
	u.links[p] = true
}
