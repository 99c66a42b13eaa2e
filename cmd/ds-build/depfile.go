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
	began        time.Time
	changed      bool // something that the image depends on, since it began
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
	d := &depfile{path: o.depFile, target: o.depTarget, began: time.Now(), plan: o.step != ""}
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
	d.changed = slices.ContainsFunc(all, d.isNewer) // before this program itself changes directories
	_, err := writeChanged(d.path, d.rule(all))
	return err
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
	return err != nil || info.ModTime().After(d.began.Add(-fileTimeGrain))
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

// fileTimeGrain is by how much the times of files are behind the clock: a tick.
const fileTimeGrain = 4 * time.Millisecond

// stamp gives the target, which was written, a time after that of its directory,
// which may be one that the image depends on. If something has changed since the
// build began it is the time of that: so the change is newer, and seen by the next
// make.
func (d *depfile) stamp(name string) error {
	if d == nil {
		return nil
	}
	at := time.Now()
	if d.changed {
		at = d.began.Add(-fileTimeGrain)
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
