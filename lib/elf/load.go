package elf

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
)

// maxLoaded bounds the libraries of one program.
const maxLoaded = 4096

// loaded is an object in the link map of a program: under which name it was
// found, and which object asked for it first.
type loaded struct {
	*object
	name   string // as found: $ORIGIN is its directory, links not followed
	loader *loaded
}

// linkMap is what the dynamic loader would build for one program.
type linkMap struct {
	*closure
	main   *loaded
	musl   bool
	dirs   []string
	byName map[string]bool // needed names and sonames already loaded
	queue  []*loaded
}

// link adds the interpreter and the libraries of the ELF program at p,
// breadth first as the loader does, so that a library that is already loaded
// under the same soname is not searched again.
func (c *closure) link(p place, o *object) error {
	if o.interp == "" && len(o.needed) == 0 {
		return nil // static
	}
	m := &linkMap{closure: c, byName: map[string]bool{}, musl: isMusl(o.interp)}
	m.main = &loaded{object: o, name: p.name}
	if o.interp != "" {
		if err := m.interpreter(o.interp); err != nil {
			c.lack(o.interp, p.name, cause(err))
			return nil // libraries without their loader tell nothing more
		}
	}
	var err error
	if m.dirs, err = c.tree.systemDirs(o.interp, o.abi); err != nil {
		return err
	}
	extra := &object{abi: o.abi, needed: c.options.Libraries, runpath: o.runpath, rpath: o.rpath}
	m.queue = []*loaded{m.main, {object: extra, name: p.name, loader: m.main}}
	for i := 0; i < len(m.queue); i++ {
		if i > maxLoaded {
			return fmt.Errorf("more than %d libraries", maxLoaded)
		}
		m.needs(m.queue[i])
		if c.tree.left < 0 {
			return errTooMuch
		}
	}
	return nil
}

// interpreter adds the program's loader, which counts as loaded.
func (m *linkMap) interpreter(name string) error {
	if !strings.HasPrefix(name, "/") {
		return errors.New("a relative path")
	}
	o, p, err := m.object(name)
	if err != nil {
		return err
	}
	if o.abi != m.main.abi {
		return fmt.Errorf("it is %s, the program %s", o.abi, m.main.abi)
	}
	m.add(p, Interpreter, m.main.name)
	m.byName[path.Base(name)] = true
	m.byName[o.soname] = true
	return nil
}

// object reads the ELF file that name leads to, once per file.
func (c *closure) object(name string) (*object, place, error) {
	p, err := c.tree.resolve(name)
	if err != nil {
		return nil, p, err
	}
	if o, ok := c.objects[p.name]; ok {
		if o == nil {
			return nil, p, errNotELF
		}
		return o, p, nil
	}
	f, p, err := c.tree.open(name)
	if err != nil {
		return nil, p, err
	}
	defer f.Close()
	o, err := readObject(f)
	if err == nil || errors.Is(err, errNotELF) {
		c.objects[p.name] = o
	}
	return o, p, err
}

// needs finds every library that l asks for.
func (m *linkMap) needs(l *loaded) {
	for _, name := range l.needed {
		if m.byName[name] || m.musl && muslBuiltin(name) {
			continue
		}
		m.byName[name] = true
		found, p, why := m.find(name, l)
		if found == nil {
			m.lack(name, l.name, why)
			continue
		}
		m.add(p, Library, l.name)
		if found.soname != "" && found.soname != name {
			if m.byName[found.soname] {
				continue
			}
			m.byName[found.soname] = true
		}
		m.queue = append(m.queue, found)
	}
}

// find searches one library. A file of another architecture is passed over, as
// the loader does, but remembered for the message.
func (m *linkMap) find(name string, l *loaded) (*loaded, place, string) {
	why := "not found"
	for _, candidate := range m.candidates(name, l) {
		m.tree.left-- // also what the tree has seen already
		o, p, err := m.object(candidate)
		switch {
		case p.info == nil || err != nil && p.err != nil:
			continue
		case err != nil:
			why = fmt.Sprintf("%s: %s", candidate, cause(err))
		case o.abi != m.main.abi:
			why = fmt.Sprintf("%s is %s, the program %s", candidate, o.abi, m.main.abi)
		default:
			return &loaded{object: o, name: candidate, loader: l}, p, ""
		}
	}
	return nil, place{}, why
}

// candidates lists where a library may be, in the loader's order.
func (m *linkMap) candidates(name string, l *loaded) []string {
	if strings.Contains(name, "/") {
		return expand(name, dirOf(l.name), l.abi)
	}
	dirs := m.searchDirs(l)
	if !l.noDef || m.musl {
		dirs = append(dirs, m.dirs...)
	}
	names := make([]string, len(dirs))
	for i, dir := range dirs {
		names[i] = dir + "/" + name // not cleaned: ".." is taken after links
	}
	return names
}

// searchDirs are the directories that come before the system's. glibc: the
// RPATH of the object and of those that loaded it, up to the program, unless
// the object has a RUNPATH; the library path; the RUNPATH. musl: the library
// path, then either path of the object and of those that loaded it.
func (m *linkMap) searchDirs(l *loaded) []string {
	var rpath []string
	for o := l; o != nil; o = o.loader {
		list := o.rpath
		switch {
		case m.musl && o.runpath != "":
			list = o.runpath
		case o.runpath != "":
			list = ""
		}
		rpath = append(rpath, expandList(list, dirOf(o.name), o.abi)...)
		if !m.musl && l.runpath != "" {
			break
		}
	}
	if m.musl {
		return slices.Concat(m.options.LibraryPath, rpath)
	}
	runpath := expandList(l.runpath, dirOf(l.name), l.abi)
	return slices.Concat(rpath, m.options.LibraryPath, runpath)
}

// dirOf is the directory part of a path, ".." and all.
func dirOf(name string) string { return name[:max(strings.LastIndexByte(name, '/'), 0)] }
