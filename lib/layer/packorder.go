package layer

import (
	"fmt"
	"slices"
	"strings"
)

// packItem is what is written at one path.
type packItem struct {
	index   int    // entry that gives the path
	content int    // entry that gives all the rest; another one only among hard links
	link    string // not empty: a hard link to that path, which comes before
}

// packOrder puts entries into the order of a layer, one for each path. With
// closed, parents and link targets must be among them.
func packOrder(entries []Source, closed bool) ([]packItem, error) {
	items := make([]packItem, len(entries))
	hasLinks := false
	for i := range entries {
		e := &entries[i].Entry
		if err := checkEntry(e, closed); err != nil {
			return nil, err
		}
		items[i] = packItem{index: i, content: i}
		hasLinks = hasLinks || e.Type == TypeLink
	}
	slices.SortStableFunc(items, func(a, b packItem) int {
		return ComparePaths(entries[a.index].Path, entries[b.index].Path)
	})
	items = lastOfEach(items, entries)
	if err := checkParents(items, entries); err != nil {
		return nil, err
	}
	if hasLinks {
		if err := orderLinks(items, entries, closed); err != nil {
			return nil, err
		}
	}
	return items, nil
}

func checkEntry(e *Entry, closed bool) error {
	switch {
	case !isClean(e.Path):
		return fmt.Errorf("%q: not a clean relative path", e.Path)
	case e.Type == TypeLink && !isClean(e.Linkname):
		return fmt.Errorf("%q: link target %q is not a clean relative path", e.Path, e.Linkname)
	case e.Path == "." && e.Type != TypeDir && e.Type != TypeOpaque:
		return fmt.Errorf("the root must be a directory, not a %s", e.Type)
	case closed && (e.Type == TypeWhiteout || e.Type == TypeOpaque):
		return fmt.Errorf("%q: a %s cannot be made in a tree", e.Path, e.Type)
	}
	if _, base := splitPath(e.Path); strings.HasPrefix(base, WhiteoutPrefix) {
		return fmt.Errorf("%q: a name that begins with %q would be read as a deletion", e.Path, WhiteoutPrefix)
	}
	return nil
}

// isClean tells whether p is relative, without empty, "." and ".." elements and NUL; or the root, ".".
func isClean(p string) bool {
	if p == "." {
		return true
	}
	if strings.IndexByte(p, 0) >= 0 {
		return false
	}
	for name := range strings.SplitSeq(p, "/") {
		if name == "" || name == "." || name == ".." {
			return false
		}
	}
	return true
}

// lastOfEach keeps the last of several sorted items with one path and kind of
// name: an opaque mark stands beside its directory.
func lastOfEach(items []packItem, entries []Source) []packItem {
	kept := items[:0]
	for i, it := range items {
		if i+1 < len(items) {
			e, next := &entries[it.index].Entry, &entries[items[i+1].index].Entry
			if e.Path == next.Path && (e.Type == TypeOpaque) == (next.Type == TypeOpaque) {
				continue
			}
		}
		kept = append(kept, it)
	}
	return kept
}

// checkParents refuses what lies below something that is not a directory.
func checkParents(items []packItem, entries []Source) error {
	file := ""
	for _, it := range items {
		e := &entries[it.index].Entry
		if file != "" && strings.HasPrefix(e.Path, file) && e.Path[len(file)] == '/' {
			return fmt.Errorf("%q: %q is not a directory", e.Path, file)
		}
		if e.Type != TypeDir && e.Type != TypeOpaque {
			file = e.Path
		}
	}
	return nil
}

// orderLinks makes the first name of a hard-linked file the one with the content.
func orderLinks(items []packItem, entries []Source, closed bool) error {
	at := make(map[string]int, len(items)) // path -> position
	for pos, it := range items {
		at[entries[it.index].Path] = pos
	}
	groups := make(map[int][]int) // position of the content -> positions of its links
	for pos, it := range items {
		if entries[it.index].Type != TypeLink {
			continue
		}
		target, err := finalTarget(pos, items, entries, at)
		switch {
		case err != nil:
			return err
		case target >= 0:
			groups[target] = append(groups[target], pos)
		case closed:
			e := &entries[it.index].Entry
			return fmt.Errorf("%q: target %q of the hard link is not among the entries", e.Path, e.Linkname)
		default:
			items[pos].link = entries[it.index].Linkname
		}
	}
	for target, links := range groups {
		content := items[target].index
		all := append(links, target)
		slices.Sort(all)
		first := entries[items[all[0]].index].Path
		for i, pos := range all {
			items[pos].content = content
			if i > 0 {
				items[pos].link = first
			}
		}
	}
	return nil
}

// finalTarget follows a hard link, and links to links, to the position of a
// file; -1 if that is not among the entries.
func finalTarget(pos int, items []packItem, entries []Source, at map[string]int) (int, error) {
	start := &entries[items[pos].index].Entry
	for range len(items) {
		e := &entries[items[pos].index].Entry
		if e.Type != TypeLink {
			if e.Type == TypeDir {
				return 0, fmt.Errorf("%q: hard link to the directory %q", start.Path, e.Path)
			}
			return pos, nil
		}
		next, ok := at[e.Linkname]
		if !ok {
			return -1, nil
		}
		pos = next
	}
	return 0, fmt.Errorf("%q: hard link to itself", start.Path)
}
