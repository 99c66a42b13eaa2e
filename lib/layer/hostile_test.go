package layer

import (
	"bytes"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// hostileTars are rows 1 to 11 and REQUIREMENTS H.3: what they say must stay inside, whether it is
// an error or not. OUT stands for the canary directory.
var hostileTars = []struct {
	name   string
	refuse bool // must be an error in both forms
	layers [][]rawMember
}{
	{"dotdot", true, [][]rawMember{{tFile("../x", "x")}}},
	{"dotdot canary", true, [][]rawMember{{tFile("../canary/secret", "x")}}},
	{"dotdot inside", true, [][]rawMember{{tFile("a/../../canary/secret", "x")}}},
	{"dotdot last", true, [][]rawMember{{tDir("a/..")}}},
	{"only dotdot", true, [][]rawMember{{tDir("..")}}},
	{"absolute", false, [][]rawMember{{tFile("OUT/secret", "x")}}},
	{"dot slash slash", false, [][]rawMember{{tFile(".//x", "x"), tFile("././/y", "y")}}},
	{"empty name", true, [][]rawMember{{tFile("", "x")}}},
	{"NUL in pax path", true, [][]rawMember{{{name: "a", data: "x", pax: []string{"path=a\x00b"}}}}},
	{"backslash", false, [][]rawMember{{tFile(`..\..\canary\secret`, "x")}}},
	{"long name", true, [][]rawMember{{{name: "a", pax: []string{"path=" + strings.Repeat("abcdefg/", 600)}}}}},
	{"long element", true, [][]rawMember{{{name: "a", pax: []string{"path=" + strings.Repeat("n", 300)}}}}},
	{"not utf-8", false, [][]rawMember{{tFile("a\xff\xfe", "x")}}},
	{"deep", true, [][]rawMember{{{name: "a", pax: []string{"path=" + strings.Repeat("a/", 1500)}, flag: '5'}}}},

	{"write through absolute link", false, [][]rawMember{{tSym("l", "OUT"), tFile("l/secret", "x")}}},
	{"write through relative link", false, [][]rawMember{{tSym("l", "../canary"), tFile("l/secret", "x")}}},
	{"write through chain", false, [][]rawMember{{tSym("a", "b"), tSym("b", "../canary"), tFile("a/secret", "x")}}},
	{"write through loop", true, [][]rawMember{{tSym("a", "b"), tSym("b", "a"), tFile("a/x", "x")}}},
	{"write through dangling", false, [][]rawMember{{tSym("a", "../canary/new"), tFile("a/x", "x")}}},
	{"across layers", false, [][]rawMember{{tSym("l", "OUT")}, {tFile("l/secret", "x"), tDir("l/dir"), tSym("l/passwd", "x")}}},
	{"across layers relative", false, [][]rawMember{{tSym("l", "../../../canary")}, {tFile("l/secret", "x")}}},
	{"file over link", false, [][]rawMember{{tSym("secret", "OUT/secret"), tFile("secret", "x")}}},
	{"dir over link", false, [][]rawMember{{tSym("d", "OUT"), {name: "d/", flag: '5', mode: 0o777}, tFile("d/secret", "x")}}},
	{"metadata through link", false, [][]rawMember{{tSym("l", "OUT"), {name: "l/", flag: '5', mode: 0o4777, uid: 7, mtime: 5, pax: []string{"SCHILY.xattr.user.x=1"}}}}},
	{"metadata through link dot", false, [][]rawMember{{tSym("l", "OUT"), {name: "l/.", flag: '5', mode: 0o4777, uid: 7, mtime: 5}}}},
	{"link metadata", false, [][]rawMember{{{name: "l", flag: '2', link: "OUT/secret", mode: 0o4777, uid: 5, mtime: 7, pax: []string{"SCHILY.xattr.user.x=1"}}}}},

	{"root is link", true, [][]rawMember{{tSym(".", "OUT")}}},
	{"root is link by slash", true, [][]rawMember{{tSym("/", "OUT")}}},
	{"root is file", true, [][]rawMember{{tFile("./.", "x")}}},
	{"root is fifo", true, [][]rawMember{{{name: "/", flag: '6'}}}},
	{"root is hard link", true, [][]rawMember{{tFile("a", "x"), tLink("./", "a")}}},

	{"hard link outside", true, [][]rawMember{{tLink("h", "../canary/secret"), tFile("h", "x")}}},
	{"hard link absolute", true, [][]rawMember{{tLink("h", "OUT/secret")}}},
	{"hard link relative to cwd", true, [][]rawMember{{tLink("h", "apply_test.go")}}},
	{"hard link through link", true, [][]rawMember{{tSym("l", "OUT"), tLink("h", "l/secret")}}},
	{"hard link to link, then write", false, [][]rawMember{{tSym("l", "OUT/secret"), tLink("h", "l"), tFile("h", "x")}}},
	{"hard link to link, then chmod", false, [][]rawMember{{tSym("l", "OUT/secret"), {name: "h", flag: '1', link: "l", mode: 0o7777, uid: 9}}}},
	{"hard link to nothing", true, [][]rawMember{{tLink("h", "later"), tFile("later", "x")}}},
	{"hard link to itself", false, [][]rawMember{{tFile("h", "x"), tLink("h", "h")}}},
	{"hard link to own parent", true, [][]rawMember{{tDir("d"), tFile("d/f", "x"), tLink("d", "d/f")}}},
	{"hard link to directory", true, [][]rawMember{{tDir("d"), tLink("h", "d")}}},
	{"hard link, then write", false, [][]rawMember{{tFile("a", "1"), tLink("b", "a"), tFile("b", "2")}}},

	{"whiteout dotdot", true, [][]rawMember{{tFile("a/../../.wh.canary", "")}}},
	{"whiteout through link", false, [][]rawMember{{tSym("l", "OUT")}, {tFile("l/.wh.secret", ""), tFile("l/.wh.dir", "")}}},
	{"whiteout through link, one layer", false, [][]rawMember{{tSym("l", "OUT"), tFile("l/.wh.secret", "")}}},
	{"opaque through link", false, [][]rawMember{{tSym("l", "../canary")}, {tFile("l/.wh..wh..opq", "")}}},
	{"opaque at root", false, [][]rawMember{{tFile("a", "x")}, {tFile(".wh..wh..opq", "")}}},
	{"whiteout of nothing", true, [][]rawMember{{tFile(".wh.", "")}}},
	{"whiteout of dot", true, [][]rawMember{{tFile("a/.wh..", "")}}},
	{"whiteout of dotdot", true, [][]rawMember{{tFile("a/.wh...", "")}}},
	{"below a whiteout", true, [][]rawMember{{tFile(".wh.a/b", "")}}},
	{"whiteout of missing", false, [][]rawMember{{tFile(".wh.none", ""), tFile("no/such/.wh.none", "")}}},
	{"reserved names", false, [][]rawMember{{tFile(".wh..wh.x", "x"), tDir(".wh..wh.plnk"), tFile(".wh..wh.plnk/12", "x")}}},

	{"overlay device", true, [][]rawMember{{{name: "w", flag: '3'}}}},
	{"device", false, [][]rawMember{{{name: "null", flag: '3', major: 1, minor: 3}, {name: "sda", flag: '4', major: 8}}}},
	{"fifo", false, [][]rawMember{{{name: "p", flag: '6', mode: 0o4777}, tFile("p", "x")}}},
	{"write to fifo", false, [][]rawMember{{{name: "p", flag: '6'}}, {tFile("p", "x")}}},
	{"overlay xattrs", false, [][]rawMember{{{name: "d/", flag: '5', mode: 0o755, pax: []string{"SCHILY.xattr.trusted.overlay.opaque=y", "SCHILY.xattr.user.overlay.redirect=/etc", "SCHILY.xattr.user.docksmith.owner=0:0"}}}}},
	{"unknown type", true, [][]rawMember{{{name: "s", flag: 's'}}}},

	{"flips", false, [][]rawMember{{tDir("d"), tSym("d", "OUT"), tDir("d"), tFile("d/secret", "x"), tSym("d", "OUT"), tFile("d/secret", "y")}}},
	{"flips across layers", false, [][]rawMember{{tDir("d")}, {tSym("d", "OUT")}, {tDir("d"), tFile("d/secret", "x")}, {tSym("d", "../canary")}, {tFile("d/secret", "x"), tFile("d/.wh.dir", "")}}},
	{"file over directory", false, [][]rawMember{{tDir("d"), tFile("d/a/b/c", "x")}, {tFile("d", "x")}}},
	{"below a file", true, [][]rawMember{{tFile("f", "x"), tFile("f/x", "x")}}},
	{"two of one name", false, [][]rawMember{{tFile("f", "1"), tFile("f", "22")}}},
}

// TestApplyHostile: nothing outside the root changes, whatever the tar says.
func TestApplyHostile(t *testing.T) {
	for _, c := range hostileTars {
		for form, formName := range []string{"tree", "overlay"} {
			t.Run(c.name+"/"+formName, func(t *testing.T) {
				a := newArena(t)
				var inode unix.Stat_t
				if err := unix.Lstat(a.root, &inode); err != nil {
					t.Fatal(err)
				}
				var tars [][]byte
				for _, members := range c.layers {
					tars = append(tars, a.tar(members))
				}
				err := a.apply(Form(form), tars...)
				if c.refuse && err == nil {
					t.Errorf("accepted: %s", treeState(t, a.root, false))
				}
				if !c.refuse && err != nil {
					t.Error(err)
				}
				a.check()
				var now unix.Stat_t
				if err := unix.Lstat(a.root, &now); err != nil || now.Ino != inode.Ino || now.Mode&unix.S_IFMT != unix.S_IFDIR {
					t.Errorf("the root was replaced: %v", err)
				}
				noSteering(t, a.root)
			})
		}
	}
}

// tar writes members with OUT put in.
func (a *arena) tar(members []rawMember) []byte {
	list := slices.Clone(members)
	for i, m := range list {
		if strings.Contains(m.name, "OUT") {
			list[i].pax = append(slices.Clone(m.pax), "path="+strings.ReplaceAll(m.name, "OUT", a.canary))
		}
		if strings.Contains(m.link, "OUT") {
			list[i].pax = append(slices.Clone(list[i].pax), "linkpath="+strings.ReplaceAll(m.link, "OUT", a.canary))
		}
	}
	return rawTar(list...)
}

// tarBytes puts the canary directory for OUT into a finished tar, if that fits.
func (a *arena) tarBytes(b []byte) []byte {
	if len(a.canary) > 100 {
		return b
	}
	b = bytes.ReplaceAll(b, append([]byte("OUT"), make([]byte, 97)...), append([]byte(a.canary), make([]byte, 100-len(a.canary))...))
	return mend(b)
}

// noSteering: no attribute of a tar may steer overlayfs, or fake an owner.
func noSteering(t *testing.T, dir string) {
	t.Helper()
	filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		for _, name := range []string{"trusted.overlay.redirect", "user.overlay.redirect"} {
			if _, err := unix.Lgetxattr(p, name, nil); err == nil {
				t.Errorf("%s has %s", p, name)
			}
		}
		return nil
	})
}
