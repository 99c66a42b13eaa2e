package cache

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Change is one component in which two pre-images differ.
type Change struct {
	// Component is its name; "order" if all components are equal and come in
	// another order, which counts too.
	Component string `json:"component"`
	// What is "changed", "added" or "removed".
	What string `json:"what"`
	Old  string `json:"old,omitempty"`
	New  string `json:"new,omitempty"`
	// Files are those that differ, of a component that is a list of files, and
	// More is how many of them Limit left out.
	Files []FileChange `json:"files,omitempty"`
	More  int          `json:"more,omitempty"`
}

// FileChange is one file in which two lists differ.
type FileChange struct {
	Path string `json:"path"`
	// What is "added", "removed", "order", or some of "content", "link", "mode",
	// "owner", "type" and "xattrs".
	What []string `json:"what"`
}

// How a component or a file of two pre-images compares.
const (
	changed = "changed"
	added   = "added"
	removed = "removed"
	order   = "order"
)

// Diff lists what makes the keys of two pre-images differ, in the order of the
// new one, what was removed last. It is empty only if the keys are equal.
func Diff(old, new *Preimage) []Change { return diff(old, new, true) }

// diffHead is Diff of what is known before any file was read.
func diffHead(old, new *Preimage) []Change { return diff(old, new, false) }

func diff(old, new *Preimage, files bool) []Change {
	var list []Change
	before := map[string][]*Component{}
	for i := range old.Components {
		c := &old.Components[i]
		before[c.Name] = append(before[c.Name], c)
	}
	for i := range new.Components {
		c := &new.Components[i]
		was := before[c.Name]
		if len(was) == 0 {
			list = append(list, Change{Component: c.Name, What: added, New: c.Value, Files: diffFiles(nil, c.Files)})
			continue
		}
		before[c.Name] = was[1:]
		change := Change{Component: c.Name, What: changed, Files: diffFiles(was[0].Files, c.Files)}
		if was[0].Value != c.Value {
			change.Old, change.New = was[0].Value, c.Value
		}
		if was[0].Value != c.Value || change.Files != nil {
			list = append(list, change)
		}
	}
	for i := range old.Components {
		c := &old.Components[i]
		if was := before[c.Name]; len(was) > 0 && was[0] == c {
			before[c.Name] = was[1:]
			list = append(list, Change{Component: c.Name, What: removed, Old: c.Value, Files: diffFiles(c.Files, nil)})
		}
	}
	if !files {
		list = slices.DeleteFunc(list, func(c Change) bool { return c.Old == c.New })
	}
	if len(list) == 0 && !slices.EqualFunc(head(old, files), head(new, files), func(a, b *Component) bool { return a.Name == b.Name }) {
		list = append(list, Change{Component: order, What: changed})
	}
	return list
}

// head lists the components that count; without files, those with a value.
func head(p *Preimage, files bool) []*Component {
	var list []*Component
	for i := range p.Components {
		if c := &p.Components[i]; files || c.Value != "" {
			list = append(list, c)
		}
	}
	return list
}

// diffFiles compares two lists; nil means that they are equal.
func diffFiles(old, new []File) []FileChange {
	before := map[string][]*File{}
	for i := range old {
		before[old[i].Path] = append(before[old[i].Path], &old[i])
	}
	var list []FileChange
	for i := range new {
		f := &new[i]
		was := before[f.Path]
		if len(was) == 0 {
			list = append(list, FileChange{f.Path, []string{added}})
			continue
		}
		before[f.Path] = was[1:]
		if what := diffFile(was[0], f); what != nil {
			list = append(list, FileChange{f.Path, what})
		}
	}
	for i := range old {
		f := &old[i]
		if was := before[f.Path]; len(was) > 0 && was[0] == f {
			before[f.Path] = was[1:]
			list = append(list, FileChange{f.Path, []string{removed}})
		}
	}
	if list == nil {
		for i := range new {
			if old[i].Path != new[i].Path {
				return []FileChange{{new[i].Path, []string{order}}}
			}
		}
	}
	return list
}

func diffFile(old, new *File) []string {
	var what []string
	for _, field := range []struct {
		name string
		same bool
	}{
		{"type", old.Type == new.Type},
		{"content", old.Hash == new.Hash},
		{"link", old.Link == new.Link},
		{"mode", old.Mode == new.Mode},
		{"owner", old.Owner == new.Owner},
		{"xattrs", maps.Equal(old.Xattrs, new.Xattrs)},
	} {
		if !field.same {
			what = append(what, field.name)
		}
	}
	return what
}

// Limit leaves the first n files of each list.
func Limit(changes []Change, n int) []Change {
	limited := slices.Clone(changes)
	for i := range limited {
		if c := &limited[i]; len(c.Files) > n {
			c.Files, c.More = c.Files[:n], len(c.Files)-n
		}
	}
	return limited
}

// shownFiles is how many files of a component a summary names.
const shownFiles = 3

// Summary says in one line what changed: the components by name, files by their
// paths with what of each changed.
func Summary(changes []Change) string {
	var words []string
	for _, c := range changes {
		if c.Files == nil {
			words = append(words, c.word())
			continue
		}
		for i, f := range c.Files {
			if i == shownFiles && len(c.Files) > shownFiles+1 {
				words = append(words, fmt.Sprintf("%d more files", len(c.Files)-i))
				break
			}
			words = append(words, fmt.Sprintf("%s (%s)", f.Path, strings.Join(f.What, ", ")))
		}
	}
	return strings.Join(words, ", ")
}

func (c *Change) word() string {
	if c.What == changed {
		return c.Component
	}
	return c.Component + " (" + c.What + ")"
}
