package build

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
	"sync/atomic"

	"docksmith/lib/buildctx"
	"docksmith/lib/cache"
	"docksmith/lib/rootfs"
	"docksmith/lib/suggest"
)

// tree is where a COPY takes files from: the build context, or the root of a
// stage or image, whose files keep their owners and attributes.
type tree struct {
	files *buildctx.Context
	root  *rootfs.Root // nil for the build context
	close func()
	read  *atomic.Int64 // bytes of files; nil: there are none
}

// countReads notes what is read from now on.
func (t *tree) countReads() *tree {
	t.read = &atomic.Int64{}
	t.files = t.files.Counting(t.read)
	return t
}

// bytesRead is how much was read of the trees.
func bytesRead(trees ...*tree) int64 {
	n := int64(0)
	for _, t := range trees {
		if t != nil && t.read != nil {
			n += t.read.Load()
		}
	}
	return n
}

// pick is a file or directory that a source operand means.
type pick struct {
	tree  *tree
	shown string // the operand's path, for the key: what it leads to is in info
	name  string // its name in a directory
	below string // with --parents: the directories to make below the destination
	start string // with --parents: where those begin in the tree
	info  buildctx.Info
	mode  uint32 // instead of the file's own; 0: that
	whole bool   // an archive is not unpacked
}

// item is one entry to be copied: a pick, or something in it.
type item struct {
	pick  *pick
	rel   string // below the pick, "" for itself
	node  *node
	info  *buildctx.Info
	link  int // 1 + index of the item that is the same file; 0: none
	attrs map[string]string
	sum   cache.Hash
	done  bool // sum is known
}

// selectPicks finds what the operands mean. A wildcard may match nothing.
func selectPicks(t *tree, words []string, parents bool) ([]pick, error) {
	var picks []pick
	for _, w := range words {
		var more []pick
		var err error
		if parents {
			more, err = pickParents(t, w)
		} else {
			more, err = pickWord(t, w)
		}
		if err != nil {
			return nil, err
		}
		picks = append(picks, more...)
	}
	return picks, nil
}

func pickWord(t *tree, word string) ([]pick, error) {
	if !hasWildcard(word) {
		info, err := t.files.Stat(word)
		if err != nil {
			return nil, notFound(t, word, err)
		}
		shown := buildctx.Clean(word)
		return []pick{{tree: t, shown: shown, name: path.Base(shown), info: info}}, nil
	}
	matches, err := t.files.Glob(word)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	var picks []pick
	for _, m := range matches {
		info, err := t.files.Stat(m)
		if err != nil {
			return nil, notFound(t, m, err)
		}
		picks = append(picks, pick{tree: t, shown: m, name: path.Base(m), info: info})
	}
	return picks, nil
}

// pickParents is pickWord for --parents: "**" is deep, links stay links, and
// the path from "/./" on is kept below the destination.
func pickParents(t *tree, word string) ([]pick, error) {
	start, rest := ".", strings.TrimLeft(word, "/")
	if before, after, ok := strings.Cut(word, "/./"); ok {
		start, rest = buildctx.Clean(before), after
	}
	rest = buildctx.Clean(rest)
	var paths []string
	var err error
	switch {
	case strings.Contains(rest, "**"):
		paths, err = deepMatches(t, start, rest)
	case hasWildcard(rest):
		paths, err = t.files.Glob(path.Join(start, rest))
	default:
		paths = []string{path.Join(start, rest)}
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", word, err)
	}
	var picks []pick
	for _, p := range paths {
		info, err := t.files.Lstat(p)
		if err != nil {
			return nil, notFound(t, p, err)
		}
		below := strings.TrimPrefix(strings.TrimPrefix(p, start), "/")
		if start == "." {
			below = p
		}
		picks = append(picks, pick{tree: t, shown: p, name: path.Base(p), below: below, start: start, info: info})
	}
	return picks, nil
}

// deepMatches are the entries below start that pattern, in the syntax of ignore
// files, matches, without what is inside one that does.
func deepMatches(t *tree, start, pattern string) ([]string, error) {
	rules, err := buildctx.NewIgnore(pattern)
	if err != nil {
		return nil, err
	}
	var found []string
	last := ""
	for info, err := range t.files.Walk(start, buildctx.WalkOptions{}) {
		if err != nil {
			return nil, err
		}
		rel := strings.TrimPrefix(info.Path, start+"/")
		if info.Path == start || last != "" && strings.HasPrefix(info.Path, last+"/") {
			continue
		}
		if _, ok := rules.Match(rel); ok {
			found = append(found, info.Path)
			last = info.Path
		}
	}
	return found, nil
}

// hasWildcard tells whether a path holds "*", "?" or "[" that no backslash takes
// the meaning from.
func hasWildcard(word string) bool {
	for i := 0; i < len(word); i++ {
		switch word[i] {
		case '*', '?', '[':
			return true
		case '\\':
			i++
		}
	}
	return false
}

// notFound words the absence of a source by where it was looked for.
func notFound(t *tree, word string, err error) error {
	switch {
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case t.root != nil:
		return fmt.Errorf("%s: not in the stage or image it is copied from", word)
	}
	missing := &MissingSourceError{Path: word, Err: err}
	if _, ignored := errors.AsType[*buildctx.IgnoredError](err); !ignored && !hasWildcard(word) {
		missing.Near = nearFile(t, word)
	}
	return missing
}

// nearFile asks whether a neighbour of the missing file p was meant.
func nearFile(t *tree, p string) string {
	list, err := t.files.ReadDir(path.Dir(p))
	if err != nil {
		return ""
	}
	var names []string
	for _, info := range list {
		if info.Path != p { // a link that leads nowhere
			names = append(names, info.Path)
		}
	}
	return suggest.DidYouMean(p, names)
}

// MissingSourceError says that a source of COPY or ADD is not in the context.
// Err may be a *buildctx.IgnoredError, which knows why.
type MissingSourceError struct {
	Path string
	// Near asks whether a file of a name like it was meant; "": there is none.
	Near string
	Err  error
}

func (e *MissingSourceError) Error() string { return e.Path + ": not in the context" + e.Near }

func (e *MissingSourceError) Unwrap() error { return e.Err }

// excludedBy reports whether rules hide the pick itself; those of a directory are for
// what is in it.
func (p *pick) excludedBy(rules *buildctx.Ignore) bool {
	if p.info.Type == buildctx.Dir {
		return false
	}
	_, hidden := rules.Match(p.name)
	return hidden
}

// walk gives the options to walk the pick with, and notes in seen what it is called.
func (p *pick) walk(exclude *buildctx.Ignore, seen *buildctx.Fingerprint) buildctx.WalkOptions {
	seen.Note(p.shown)
	return buildctx.WalkOptions{Exclude: exclude, Fingerprint: seen}
}

// list adds what the picks hold to items, and to seen, if that is not nil.
// Sockets, which no layer can hold, are told to skip.
func list(ctx context.Context, items []item, picks []pick, exclude *buildctx.Ignore, seen *buildctx.Fingerprint, skip func(path string)) ([]item, error) {
	names := map[[2]uint64]int{}
	for i := range picks {
		p := &picks[i]
		t := p.tree
		if p.excludedBy(exclude) {
			continue
		}
		var found []*buildctx.Info
		for info, err := range t.files.Walk(p.info.Path, p.walk(exclude, seen)) {
			if err == nil {
				err = ctx.Err()
			}
			if err != nil {
				return nil, err
			}
			if info.Type == buildctx.Socket {
				skip(info.Path)
				continue
			}
			found = append(found, info)
		}
		items = slices.Grow(items, len(found))
		for _, info := range found {
			if p.mode != 0 {
				info.Mode = p.mode
			}
			it := item{pick: p, info: info, rel: relative(p.info.Path, info.Path)}
			if info.Type == buildctx.File && info.Nlink > 1 {
				id := [2]uint64{info.Dev, info.Ino}
				it.link = names[id]
				if it.link == 0 {
					names[id] = len(items) + 1
				}
			}
			if t.root != nil {
				var err error
				if it.attrs, err = t.root.Xattrs(info.Path); err != nil {
					return nil, err
				}
			}
			items = append(items, it)
		}
	}
	return items, nil
}

func relative(top, p string) string {
	switch {
	case p == top:
		return ""
	case top == ".":
		return p
	}
	return p[len(top)+1:]
}

// hashItems fills in the sums that lack.
func hashItems(ctx context.Context, items []item) error {
	for len(items) > 0 {
		n := 1
		for n < len(items) && items[n].pick.tree == items[0].pick.tree {
			n++
		}
		if err := hashTree(ctx, items[0].pick.tree, items[:n]); err != nil {
			return err
		}
		items = items[n:]
	}
	return nil
}

func hashTree(ctx context.Context, t *tree, items []item) error {
	infos, at := make([]*buildctx.Info, 0, len(items)), make([]int, 0, len(items))
	for i := range items {
		if items[i].info.Type == buildctx.File && items[i].link == 0 && !items[i].done {
			infos, at = append(infos, items[i].info), append(at, i)
		}
	}
	sums, err := t.files.HashAll(ctx, infos)
	if err != nil {
		return err
	}
	for k, i := range at {
		items[i].sum, items[i].done = sums[k], true
	}
	return nil
}

// keyFiles is what the items contribute to a step's key.
func keyFiles(items []item) []cache.File {
	files := make([]cache.File, len(items))
	for i := range items {
		it := &items[i]
		f := cache.File{Path: it.pick.shown, Type: it.info.Type.String()}
		switch {
		case it.rel == "":
		case f.Path == ".":
			f.Path = it.rel
		case f.Path == it.pick.info.Path: // no link on the way
			f.Path = it.info.Path
		default:
			f.Path = path.Join(f.Path, it.rel)
		}
		// Of a directory whose content alone is copied nothing else matters.
		if it.rel != "" || it.info.Type != buildctx.Dir || it.pick.start != "" {
			f.Mode = it.info.Mode
			if it.pick.tree.root != nil {
				f.Owner, f.Xattrs = it.owner(), it.layerXattrs()
			}
		}
		switch it.info.Type {
		case buildctx.File:
			f.Hash = it.sum
			if it.link > 0 { // the same file again
				f.Link = "=" + items[it.link-1].info.Path
			}
		case buildctx.Symlink:
			f.Link = it.info.Linkname
		case buildctx.Char, buildctx.Block:
			f.Link = fmt.Sprintf("%d:%d", it.info.Major(), it.info.Minor())
		}
		files[i] = f
	}
	return files
}

// owner is the item's owner as keys write it.
func (it *item) owner() string {
	e := it.entry(true)
	return fmt.Sprintf("%d:%d", e.UID, e.GID)
}

func (it *item) layerXattrs() map[string]string {
	e := it.entry(true)
	return e.Xattrs
}
