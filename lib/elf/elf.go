// Package elf finds what a program needs to start: its interpreter, the
// libraries it loads directly and through others, and every symbolic link on
// the way to them. It is for making small images out of a root directory.
//
// It executes nothing and reads only below the root it is given: the root may
// be an image that nobody trusts. It knows what is written in the files, so a
// library that a program opens by name while it runs (dlopen) must be asked
// for with Options.Libraries.
//
//	paths, err := elf.Closure("/", []string{"sh", "/usr/bin/env"}, elf.Options{})
//	for _, p := range paths {
//		fmt.Println(p.Kind, p.Name, p.Link)
//	}
package elf

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
)

// Kind says why a path is part of a closure.
type Kind string

// The kinds of path; a file that is several of them keeps the first.
const (
	Program     Kind = "program"
	Script      Kind = "script"
	Interpreter Kind = "interpreter"
	Library     Kind = "library"
	Link        Kind = "link"
)

// Path is one file or symbolic link of a closure. Name is absolute in the root
// and has no symbolic link in its parents, so that os.Root can open it.
type Path struct {
	Kind Kind   `json:"kind"`
	Name string `json:"name"`
	Link string `json:"link,omitempty"` // target, exactly as written in the link
	For  string `json:"for,omitempty"`  // what asked for it first
}

// Options change what Closure looks for. The zero value is right for a plain
// root file system.
type Options struct {
	// Path is where programs without a slash are looked up; default the usual
	// six directories of a root's PATH.
	Path []string
	// LibraryPath is searched as LD_LIBRARY_PATH would be; default none.
	LibraryPath []string
	// Libraries are names that dynamic programs load while they run; they are
	// looked up as if every program needed them.
	Libraries []string
}

// Missing is a library or interpreter that is not in the root.
type Missing struct{ Name, For, Why string }

// MissingError lists all that a closure lacks.
type MissingError []Missing

func (e MissingError) Error() string {
	var b strings.Builder
	for i, m := range e {
		if i > 0 {
			b.WriteString("; ")
		}
		fmt.Fprintf(&b, "%s needs %s: %s", m.For, m.Name, m.Why)
	}
	return b.String()
}

// ErrNotProgram says that a file is neither ELF nor a script with "#!".
var ErrNotProgram = errors.New("neither an ELF file nor a script")

var defaultPath = []string{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"}

const maxScripts = 5 // how deep the kernel follows interpreters that are scripts

// Closure returns the programs, what they need and the links that lead there,
// sorted by name, each once. A program without a slash is searched in o.Path.
// When something is not in the root the error is a MissingError with all of it.
func Closure(root string, programs []string, o Options) ([]Path, error) {
	t, err := openTree(root)
	if err != nil {
		return nil, fmt.Errorf("closure in %s: %w", root, err)
	}
	defer t.root.Close()
	if o.Path == nil {
		o.Path = defaultPath
	}
	c := &closure{tree: t, options: o, paths: map[string]Path{}, objects: map[string]*object{}}
	for _, name := range programs {
		if err := c.program(name, Program, "", 0); err != nil {
			return nil, fmt.Errorf("closure of %s: %w", name, err)
		}
	}
	if len(c.missing) > 0 {
		return nil, c.missing
	}
	out := make([]Path, 0, len(c.paths))
	for _, p := range c.paths {
		out = append(out, p)
	}
	slices.SortFunc(out, func(a, b Path) int { return strings.Compare(a.Name, b.Name) })
	return out, nil
}

// closure is the state of one call of Closure.
type closure struct {
	tree    *tree
	options Options
	paths   map[string]Path
	objects map[string]*object // by resolved name; nil when not ELF
	missing MissingError
}

// add records a place and the links that led to it.
func (c *closure) add(p place, kind Kind, forName string) {
	for _, l := range p.links {
		if _, ok := c.paths[l.name]; !ok {
			c.paths[l.name] = Path{Kind: Link, Name: l.name, Link: l.target, For: forName}
		}
	}
	if _, ok := c.paths[p.name]; !ok {
		c.paths[p.name] = Path{Kind: kind, Name: p.name, For: forName}
	}
}

func (c *closure) lack(name, forName, why string) {
	m := Missing{name, forName, why}
	if !slices.Contains(c.missing, m) {
		c.missing = append(c.missing, m)
	}
}

// lookup finds a program's path: as given, or in the search path.
func (c *closure) lookup(name string) (string, error) {
	if strings.HasPrefix(name, "/") {
		return name, nil
	}
	if strings.Contains(name, "/") {
		return "", errors.New("a path must begin with /")
	}
	for _, dir := range c.options.Path {
		p, err := c.tree.resolve(dir + "/" + name)
		if err == nil && p.info.Mode().IsRegular() && p.info.Mode()&0o111 != 0 {
			return dir + "/" + name, nil
		}
	}
	return "", fmt.Errorf("not found in %s", strings.Join(c.options.Path, ":"))
}

// program adds a program with all it needs. What is wrong with the program
// itself is the error; what it lacks is noted in c.missing.
func (c *closure) program(name string, kind Kind, forName string, depth int) error {
	if depth > maxScripts {
		return errors.New("too many script interpreters")
	}
	full, err := c.lookup(name)
	if err != nil {
		return err
	}
	f, p, err := c.tree.open(full)
	if err != nil {
		return err
	}
	defer f.Close()
	if words := shebang(f); len(words) > 0 {
		if kind == Program {
			kind = Script
		}
		c.add(p, kind, forName)
		c.script(words, p.name, depth)
		return nil
	}
	o, err := readObject(f)
	if errors.Is(err, errNotELF) {
		return ErrNotProgram
	}
	if err != nil {
		return err
	}
	c.add(p, kind, forName)
	return c.link(p, o)
}

// script adds the interpreter of a script and, behind env, the program it finds.
func (c *closure) script(words []string, name string, depth int) {
	commands := words[:1]
	if cmd := envCommand(words); cmd != "" {
		commands = []string{words[0], cmd}
	}
	for _, cmd := range commands {
		if err := c.program(cmd, Interpreter, name, depth+1); err != nil {
			c.lack(cmd, name, cause(err))
		}
	}
}

// cause is the reason of an error without the path it names, which the message
// around it has already said.
func cause(err error) string {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err.Error()
	}
	return err.Error()
}
