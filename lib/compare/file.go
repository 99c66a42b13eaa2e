package compare

import (
	"maps"
	"unicode/utf8"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/layer"
)

// entryAspects is in what two entries differ, content and names aside.
func entryAspects(a, b *layer.Entry) []Aspect {
	var what []Aspect
	note := func(differs bool, aspect Aspect) {
		if differs {
			what = append(what, aspect)
		}
	}
	sameType := a.Type == b.Type
	note(!sameType, Type)
	// Linux gives every symbolic link the mode 0777, whatever a tar says.
	note(a.Mode != b.Mode && (!sameType || a.Type != layer.TypeSymlink), Mode)
	note(a.UID != b.UID || a.GID != b.GID, Owner)
	note(!maps.Equal(a.Xattrs, b.Xattrs), Xattr)
	note(sameType && a.Type == layer.TypeSymlink && a.Linkname != b.Linkname, Link)
	note(sameType && (a.Major != b.Major || a.Minor != b.Minor), Device)
	note(sameType && a.Size != b.Size, Size)
	note(!a.ModTime.Equal(b.ModTime), Time)
	return what
}

// describe is an entry as a Difference has it.
func describe(e *layer.Entry, sum digest.Digest) File {
	f := File{
		Type: e.Type, Mode: e.Mode, UID: e.UID, GID: e.GID, Size: e.Size, ModTime: e.ModTime.UTC(),
		Linkname: e.Linkname, Major: e.Major, Minor: e.Minor, Digest: sum,
	}
	for name, value := range e.Xattrs {
		if f.Xattrs == nil {
			f.Xattrs = map[string][]byte{}
		}
		f.Xattrs[name] = []byte(value)
	}
	return f
}

// PathBytes is d.Path if JSON cannot hold it.
func (d Difference) PathBytes() []byte {
	if utf8.ValidString(d.Path) {
		return nil
	}
	return []byte(d.Path)
}

// inode is the file behind a name.
type inode struct{ layer, index int }

func inodeOf(f *layer.File) inode { return inode{f.Layer, f.Index} }

// links knows which names of each tree are one file.
type links struct {
	all    [2]map[inode]string // the first name of a file that may have several
	common [2]map[inode]string // the first that is in both trees
}

func newLinks(t *treeDiff) *links {
	l := &links{}
	for i := range l.all {
		l.all[i], l.common[i] = map[inode]string{}, map[inode]string{}
		for f := range t.sides[i].tree.Files() {
			if f.Path != f.Entry.Path && f.Entry.Type != layer.TypeDir {
				l.all[i][inodeOf(&f)] = ""
			}
		}
		for f := range t.sides[i].tree.Files() {
			if first, ok := l.all[i][inodeOf(&f)]; ok && first == "" {
				l.all[i][inodeOf(&f)] = f.Path
			}
		}
	}
	if len(l.all[0])+len(l.all[1]) == 0 {
		return l
	}
	for p := range t.pairs() {
		if p.old == nil || p.new == nil {
			continue
		}
		for i, f := range []*layer.File{p.old, p.new} {
			id := inodeOf(f)
			if _, linked := l.all[i][id]; linked && l.common[i][id] == "" {
				l.common[i][id] = f.Path
			}
		}
	}
	return l
}

// first is the first name of the file behind f.
func (l *links) first(i int, f *layer.File) string {
	if name, ok := l.all[i][inodeOf(f)]; ok {
		return name
	}
	return f.Path
}

// differ tells whether a name that both trees have is one file with others in
// one of them only. Names that one tree lacks say nothing about the others.
func (l *links) differ(p pair) bool {
	names := [2]string{p.old.Path, p.new.Path}
	for i, f := range []*layer.File{p.old, p.new} {
		if name, ok := l.common[i][inodeOf(f)]; ok {
			names[i] = name
		}
	}
	return names[0] != names[1] && p.old.Entry.Type != layer.TypeDir && p.new.Entry.Type != layer.TypeDir
}
