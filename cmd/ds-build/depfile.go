package main

import (
	"bytes"
	"context"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"docksmith/lib/buildctx"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// depfile is a rule for make: what the image depends on, in the form of gcc -MD.
// A nil depfile takes note of nothing.
type depfile struct {
	path, target string
	began        time.Time // what changes from then on has no earlier time
	inside       bool      // it, or its target, is in a directory that the image depends on
	changed      bool      // if it is inside: something has, since it began
	files        []string
	dirs         []usedDir
	plan         bool // it is the plan that counts, not the Dockerfile it was made of
}

// usedDir is a context, of which some files are used. Then its ignore file counts
// too, or that there is none.
type usedDir struct {
	dir    string
	uses   *buildctx.Uses
	rules  *buildctx.Ignore
	ignore []string
}

// newDepfile reads -MD, -MF and -MT; it is nil without -MD.
func (o *options) newDepfile(operand string) (*depfile, error) {
	switch {
	case o.deps && operand == "-":
		return nil, cli.Usagef("--deps: the context is standard input, there are no files to depend on")
	case o.deps:
		return &depfile{}, nil
	case !o.writeDeps && o.depFile == "" && o.depTarget == "":
		return nil, nil
	case operand == "-":
		return nil, cli.Usagef("-MD: the context is standard input, there are no files to depend on")
	case o.iidfile == "" && (o.depFile == "" || o.depTarget == ""):
		return nil, cli.Usagef("-MD: name the rule's target with --iidfile FILE, or with -MT TARGET and -MF FILE")
	}
	d := &depfile{path: o.depFile, target: o.depTarget, began: buildctx.FileTime(), plan: o.step != ""}
	if d.target == "" {
		d.target = o.iidfile
	}
	if d.path == "" {
		d.path = strings.TrimSuffix(o.iidfile, filepath.Ext(o.iidfile)) + ".d"
	}
	return d, nil
}

// file takes note of a file that was read.
func (d *depfile) file(name string) {
	if d != nil && name != "" {
		d.files = append(d.files, name)
	}
}

// absent takes note of a file that would have been read: its directory changes
// when it comes.
func (d *depfile) absent(name string) { d.file(filepath.Dir(name)) }

// source takes note of the Dockerfile.
func (d *depfile) source(name string) {
	if d != nil && !d.plan {
		d.file(name)
	}
}

// watch gives what a context that is opened tells of its files.
func (d *depfile) watch(dir string, rules *buildctx.Ignore, ignore []string) *buildctx.Uses {
	if d == nil {
		return nil
	}
	u := &buildctx.Uses{}
	d.dirs = append(d.dirs, usedDir{dir, u, rules, ignore})
	return u
}

// holds tells whether a file that is written now is one that the image depends on,
// or will be: then no two images are alike.
func (d *depfile) holds(name string) bool {
	if d == nil {
		return false
	}
	abs, err := filepath.Abs(name)
	for _, used := range d.dirs {
		dir, derr := filepath.Abs(used.dir)
		rel, rerr := filepath.Rel(dir, abs)
		if err != nil || derr != nil || rerr != nil || !filepath.IsLocal(rel) {
			continue
		}
		list := used.uses.List()
		if _, hidden := used.rules.Match(rel); hidden {
			continue
		}
		if parent := filepath.Dir(rel); slices.Contains(list, rel) || parent != "." && slices.Contains(list, parent) {
			return true
		}
	}
	return false
}

// write makes the file, unless it is what it shall be. The names of images stand
// for files of the store that change with them.
func (d *depfile) write(ctx context.Context, st *images) error {
	if d == nil {
		return nil
	}
	var err error
	all := d.used()
	for _, name := range st.names() {
		path, err := st.NameFile(ctx, name)
		if err != nil {
			return err
		}
		all = append(all, path)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	if d.inside, err = d.isInside(all); err != nil {
		return err
	}
	d.changed = d.inside && slices.ContainsFunc(all, d.isNewer) // before this program itself changes directories
	_, err = writeChanged(d.path, d.rule(all))
	return err
}

// isInside tells whether what is written here changes one of the directories.
func (d *depfile) isInside(used []string) (bool, error) {
	wd, err := os.Getwd()
	if err != nil {
		return false, err
	}
	abs := func(name string) string {
		if filepath.IsAbs(name) {
			return filepath.Clean(name)
		}
		return filepath.Join(wd, name)
	}
	file, target := abs(filepath.Dir(d.path)), abs(filepath.Dir(d.target))
	return slices.ContainsFunc(used, func(name string) bool {
		name = abs(name)
		return name == file || name == target
	}), nil
}

// used are the files and directories that the image depends on.
func (d *depfile) used() []string {
	all := slices.Clone(d.files)
	for _, used := range d.dirs {
		list := used.uses.List()
		for _, p := range list {
			all = append(all, filepath.Join(used.dir, p))
		}
		if len(list) > 0 {
			all = append(all, used.ignore...)
		}
	}
	return all
}

// isNewer tells whether a file may have changed since the build began.
func (d *depfile) isNewer(name string) bool {
	info, err := os.Stat(name)
	return err != nil || !info.ModTime().Before(d.began)
}

// rule has an empty rule for each file as well, so that make is not stopped by
// one that is gone.
func (d *depfile) rule(files []string) []byte {
	var b bytes.Buffer
	b.WriteString(makeName(d.target) + ":")
	for _, f := range files {
		b.WriteString(" \\\n  " + makeName(f))
	}
	b.WriteString("\n")
	for _, f := range files {
		b.WriteString("\n" + makeName(f) + ":\n")
	}
	return b.Bytes()
}

// makeName is a file's name in a makefile's rule. Where make knows no escape, a
// "?" stands for the character, which make compares with the names there are.
func makeName(name string) string {
	const quoted, unquotable = " #:*?[", "%()=;|&\t\n"
	var b strings.Builder
	if strings.HasPrefix(name, "~") {
		b.WriteString("./")
	}
	for i, c := range []byte(name) {
		rest := strings.TrimLeft(name[i:], `\`)
		switch {
		case c == '\\' && rest == "":
			b.WriteByte('?')
		case c == '\\' && strings.IndexByte(quoted+unquotable, rest[0]) >= 0:
			b.WriteString(`\\`)
		case strings.IndexByte(quoted, c) >= 0:
			b.WriteString(`\` + string(c))
		case strings.IndexByte(unquotable, c) >= 0:
			b.WriteByte('?')
		case c == '$':
			b.WriteString("$$")
		default:
			b.WriteByte(c)
		}
	}
	return b.String()
}

// stamp gives the target, which was written, the time before the build began: so
// what the image depends on is newer, and seen by the next make, if it has changed
// since. The directory that the target was written in would be newer, too: it gets
// the time of now, unless something else has changed.
func (d *depfile) stamp(name string) error {
	if d == nil {
		return nil
	}
	at := d.began.Add(-1)
	if d.inside && !d.changed {
		at = buildctx.FileTime()
	}
	return os.Chtimes(name, at, at)
}

// writeChanged leaves a file that has the content already as it is, so that what
// is made from it is not made again.
func writeChanged(name string, content []byte) (written bool, err error) {
	if had, err := os.ReadFile(name); err == nil && bytes.Equal(had, content) {
		return false, nil
	}
	return true, cli.WriteFile(name, func(w io.Writer) error {
		_, err := w.Write(content)
		return err
	})
}

// names are those of the images that the build asked for and the store has by
// name, each with its tag.
func (i *images) names() []oci.Ref {
	i.mu.Lock()
	defer i.mu.Unlock()
	var list []oci.Ref
	for ref := range i.asked {
		if r, err := oci.ParseRef(ref); err == nil && r.Digest == "" {
			list = append(list, r)
		}
	}
	return list
}
