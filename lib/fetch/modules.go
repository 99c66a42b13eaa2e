package fetch

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"docksmith/lib/dockerfile"
)

// How deep submodules may be in submodules, and how many there may be in all.
const (
	maxModuleDepth = 10
	maxModules     = 500
)

// modules checks out a repository and what it includes. Submodules are treated
// like repositories that ADD names: the same addresses are allowed, each has its
// own mirror, and git never reads .gitmodules on its own.
type modules struct {
	k     *Kept
	o     Options
	left  int64 // bytes that may be written still
	count int
}

// checkout writes the tree of one repository into dir; only is the directory
// that will be used of it.
func (m *modules) checkout(ctx context.Context, remote *dockerfile.Remote, dir, only string, depth int) (*Commit, error) {
	r, unlock, err := m.k.mirror(remote, m.o)
	if err != nil {
		return nil, err
	}
	defer unlock.Close()
	c, err := m.obtain(ctx, r, depth == 0)
	if err != nil {
		return nil, err
	}
	list, err := r.entries(ctx, c.ID)
	if err != nil {
		return nil, err
	}
	for _, e := range list {
		if m.left -= e.size; m.left < 0 {
			return nil, fmt.Errorf("its files are more than %d bytes: %w", m.o.limit(), ErrTooLarge)
		}
	}
	if err := r.writeTree(ctx, c.ID, dir); err != nil {
		return nil, err
	}
	if depth == 0 && m.o.KeepGitDir && only == "" {
		if err := r.writeGitDir(ctx, c, dir); err != nil {
			return nil, err
		}
	}
	if remote.Submodules == "false" {
		return c, nil
	}
	found, err := r.modulesOf(ctx, list)
	if err != nil {
		return nil, err
	}
	unlock.Close() // a module may be in the same repository
	return c, m.checkoutAll(ctx, found, dir, only, depth+1)
}

// obtain makes sure that the commit is in the mirror.
func (m *modules) obtain(ctx context.Context, r *repository, top bool) (*Commit, error) {
	o := m.o
	if !top {
		o.Checksum = "" // that of the one that ADD names
	}
	want, err := wantedCommit(r.remote, o)
	if err != nil {
		return nil, err
	}
	// What is told of a pinned commit must not depend on what is kept.
	pinned := &Commit{ID: want, Ref: fullRef(r.remote.Ref), Kept: true}
	if len(want) == 40 && r.has(ctx, want) {
		return pinned, nil
	}
	if o.Offline {
		return nil, ErrNotKept
	}
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	c := &Commit{ID: want}
	if r.remote.Ref != want || len(want) < 40 {
		if c, err = r.resolve(ctx, want); err != nil {
			return nil, err
		}
	}
	kept := r.has(ctx, c.ID)
	if !kept {
		err = r.fetch(ctx, c)
	}
	if len(want) == 40 {
		c = pinned
	}
	c.Kept = kept
	return c, err
}

// module is a submodule.
type module struct {
	path   string
	remote *dockerfile.Remote
}

// modulesOf finds the submodules of a tree with their addresses.
func (r *repository) modulesOf(ctx context.Context, list []entry) ([]module, error) {
	var links []entry
	file := entry{}
	for _, e := range list {
		switch {
		case e.mode == modeModule:
			links = append(links, e)
		case e.path == ".gitmodules":
			file = e
		}
	}
	if len(links) == 0 {
		return nil, nil
	}
	if file.object == "" || !strings.HasPrefix(file.mode, "100") || file.size > 1<<20 {
		return nil, errors.New("it has submodules and no .gitmodules that says where they are")
	}
	stated, err := r.readModules(ctx, file.object)
	if err != nil {
		return nil, err
	}
	var found []module
	for _, l := range links {
		s, ok := stated[l.path]
		switch {
		case !ok:
			return nil, fmt.Errorf("submodule %s: .gitmodules does not say where it is", l.path)
		case s.update == "none":
			continue
		}
		remote, err := r.moduleRemote(s.url)
		if err != nil {
			return nil, fmt.Errorf("submodule %s: %w", l.path, err)
		}
		remote.Ref = l.object
		found = append(found, module{l.path, remote})
	}
	return found, nil
}

// statedModule is a section of .gitmodules.
type statedModule struct{ path, url, update string }

// readModules reads a .gitmodules by the path of each module. Only git reads its
// own syntax right; with --file it follows no includes.
func (r *repository) readModules(ctx context.Context, object string) (map[string]statedModule, error) {
	out, err := r.git(ctx, "config", "--blob", object, "--no-includes", "-z", "--list")
	if err != nil {
		return nil, fmt.Errorf("read .gitmodules: %w", err)
	}
	sections := map[string]*statedModule{}
	for record := range strings.SplitSeq(string(out), "\x00") {
		key, value, _ := strings.Cut(record, "\n")
		rest, ok := strings.CutPrefix(key, "submodule.")
		i := strings.LastIndexByte(rest, '.')
		if !ok || i < 0 {
			continue
		}
		s := sections[rest[:i]]
		if s == nil {
			s = &statedModule{}
			sections[rest[:i]] = s
		}
		switch rest[i+1:] {
		case "path":
			s.path = strings.TrimSuffix(value, "/")
		case "url":
			s.url = value
		case "update":
			s.update = value
		}
	}
	byPath := map[string]statedModule{}
	for _, name := range slices.Sorted(maps.Keys(sections)) {
		byPath[sections[name].path] = *sections[name]
	}
	return byPath, nil
}

// moduleRemote is the repository at an address of .gitmodules, which may be
// relative to that of its parent.
func (r *repository) moduleRemote(address string) (*dockerfile.Remote, error) {
	if strings.HasPrefix(address, "./") || strings.HasPrefix(address, "../") {
		var err error
		if address, err = joinAddress(r.remote.URL, address); err != nil {
			return nil, err
		}
	}
	// Of an address here, unlike one of ADD, nothing is meant for us.
	if strings.ContainsAny(address, "?#") {
		return nil, errors.New("its address has a query or a fragment")
	}
	remote, err := dockerfile.ParseRemote(address)
	if err != nil {
		return nil, err
	}
	if remote == nil {
		return nil, fmt.Errorf("its address %q is not one of http, https, ssh or git", dockerfile.RedactURLs(address))
	}
	if !remote.Git { // git needs no ".git" at the end
		remote = &dockerfile.Remote{Git: true, URL: remote.URL}
	}
	return remote, nil
}

// joinAddress takes as many names from the end of base as relative begins with
// "../", as git does.
func joinAddress(base, relative string) (string, error) {
	base = strings.TrimRight(base, "/")
	root := strings.Index(base, "://")
	if root >= 0 {
		root += len("://")
	} else {
		root = 0
	}
	for {
		var up, stay bool
		if relative, stay = strings.CutPrefix(relative, "./"); stay {
			continue
		}
		if relative, up = strings.CutPrefix(relative, "../"); !up {
			break
		}
		i := strings.LastIndexByte(base, '/')
		if colon := strings.LastIndexByte(base, ':'); i < root && root == 0 && colon >= 0 {
			i = colon // USER@HOST:NAME
			base = base[:i+1]
			if relative, up = strings.CutPrefix(relative, "../"); up {
				return "", errors.New("its address leads above its parent's host")
			}
			return base + relative, nil
		}
		if i < root {
			return "", errors.New("its address leads above its parent's host")
		}
		base = base[:i]
	}
	return base + "/" + relative, nil
}

// checkoutAll checks out the modules of a tree in dir that only has a use for.
func (m *modules) checkoutAll(ctx context.Context, found []module, dir, only string, depth int) error {
	for _, sub := range found {
		below := ""
		switch {
		case only == "" || strings.HasPrefix(sub.path, only+"/") || sub.path == only:
		case strings.HasPrefix(only, sub.path+"/"):
			below = only[len(sub.path)+1:]
		default:
			continue
		}
		if m.count++; m.count > maxModules || depth > maxModuleDepth {
			return errors.New("too many submodules, or too deep")
		}
		if err := m.checkoutModule(ctx, sub, dir, below, depth); err != nil {
			return fmt.Errorf("submodule %s: %w", sub.path, err)
		}
	}
	return nil
}

// checkoutModule writes one module where git made an empty directory for it.
func (m *modules) checkoutModule(ctx context.Context, sub module, dir, only string, depth int) error {
	at := dir
	for name := range strings.SplitSeq(path.Clean(sub.path), "/") {
		at = filepath.Join(at, name)
		if st, err := os.Lstat(at); err != nil || !st.IsDir() {
			return errors.Join(err, errors.New("there is no directory for it"))
		}
	}
	_, err := m.checkout(ctx, sub.remote, at, only, depth)
	return err
}
