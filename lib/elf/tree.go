package elf

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"
)

const (
	maxLinks = 40      // as the kernel follows before ELOOP
	maxSteps = 1 << 18 // path components looked at in one closure
)

// errTooMuch stops a root whose files ask for a search without end.
var errTooMuch = errors.New("more than 250000 places to search")

// tree resolves paths the way a process with this root directory would: an
// absolute link starts at the root and ".." stops there. Every system call
// names a path without links below an os.Root, so nothing outside is reached
// even when the tree changes meanwhile.
type tree struct {
	root *os.Root
	seen map[string]place
	left int // steps
}

// place is where a path leads: its name with every link followed, and the
// links that were followed, in order.
type place struct {
	name  string
	links []link
	info  fs.FileInfo
	err   error
}

// link is a symbolic link at a path that has no other links in it.
type link struct{ name, target string }

func openTree(dir string) (*tree, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	return &tree{root: root, seen: map[string]place{}, left: maxSteps}, nil
}

// resolve follows every link of an absolute path.
func (t *tree) resolve(name string) (place, error) {
	p, ok := t.seen[name]
	if !ok {
		p = t.walk(name)
		t.seen[name] = p
	}
	return p, p.err
}

func (t *tree) walk(name string) place {
	p := place{name: "/"}
	rest := strings.Split(name, "/")
	for len(rest) > 0 {
		part := rest[0]
		rest = rest[1:]
		switch part {
		case "", ".":
			continue
		case "..":
			p.name = path.Dir(p.name)
			continue
		}
		if t.left--; t.left < 0 {
			p.err = errTooMuch
			return p
		}
		next := path.Join(p.name, part)
		if p.info, p.err = t.root.Lstat(rel(next)); p.err != nil {
			return p
		}
		if p.info.Mode().Type() != fs.ModeSymlink {
			p.name = next
			continue
		}
		target, err := t.root.Readlink(rel(next))
		if err == nil && len(p.links) >= maxLinks {
			err = &fs.PathError{Op: "resolve", Path: name, Err: syscall.ELOOP}
		}
		if err != nil {
			p.err = err
			return p
		}
		p.links = append(p.links, link{next, target})
		if strings.HasPrefix(target, "/") {
			p.name = "/"
		}
		rest = append(strings.Split(target, "/"), rest...)
	}
	p.info, p.err = t.root.Lstat(rel(p.name))
	return p
}

// open opens the regular file that name leads to.
func (t *tree) open(name string) (*os.File, place, error) {
	p, err := t.resolve(name)
	if err != nil {
		return nil, p, err
	}
	if !p.info.Mode().IsRegular() {
		return nil, p, fmt.Errorf("%s is not a regular file", name)
	}
	f, err := t.root.OpenFile(rel(p.name), os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return f, p, err
}

// text reads a small text file; one that does not exist is empty.
func (t *tree) text(name string) (string, error) {
	f, _, err := t.open(name)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
	if err == nil && len(b) > maxConfig {
		err = fmt.Errorf("%s is larger than %d bytes", name, maxConfig)
	}
	return string(b), err
}

// glob lists what matches an absolute pattern, sorted; links in the middle are
// followed inside the root.
func (t *tree) glob(pattern string) ([]string, error) {
	found := []string{"/"}
	for _, part := range strings.Split(strings.Trim(path.Clean(pattern), "/"), "/") {
		var next []string
		for _, dir := range found {
			names, err := t.match(dir, part)
			if err != nil {
				return nil, err
			}
			next = append(next, names...)
		}
		found = next
	}
	return found, nil
}

func (t *tree) match(dir, part string) ([]string, error) {
	if !strings.ContainsAny(part, `*?[\`) {
		return []string{path.Join(dir, part)}, nil
	}
	p, err := t.resolve(dir)
	if err != nil || !p.info.IsDir() {
		return nil, nil
	}
	entries, err := fs.ReadDir(t.root.FS(), rel(p.name))
	if err != nil {
		return nil, err
	}
	var names []string
	if t.left -= len(entries); t.left < 0 {
		return nil, errTooMuch
	}
	for _, e := range entries {
		ok, err := path.Match(part, e.Name())
		if err != nil {
			return nil, fmt.Errorf("pattern %q: %w", part, err)
		}
		if ok {
			names = append(names, path.Join(dir, e.Name()))
		}
	}
	return names, nil
}

// rel is an absolute path as os.Root wants it.
func rel(name string) string {
	if name == "/" {
		return "."
	}
	return name[1:]
}
