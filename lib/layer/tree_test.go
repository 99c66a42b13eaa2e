package layer

import (
	"bytes"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// dump describes the tree at dir line by line, by other means than the package
// under test: mode, owner, time, links, device, content, attributes of each path.
func dump(t testing.TB, dir string, times bool) string {
	t.Helper()
	var lines []string
	first := map[uint64]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(dir, p)
		if rel == "." {
			return nil
		}
		var st unix.Stat_t
		if err := unix.Lstat(p, &st); err != nil {
			return err
		}
		line := fmt.Sprintf("%q %o %d:%d", rel, st.Mode, st.Uid, st.Gid)
		if times {
			line += fmt.Sprintf(" @%d", st.Mtim.Sec)
		}
		switch st.Mode & unix.S_IFMT {
		case unix.S_IFREG:
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			line += fmt.Sprintf(" %d %x", len(b), fnv(b))
			if f, ok := first[st.Ino]; ok && st.Nlink > 1 {
				line += " = " + f
			} else {
				first[st.Ino] = rel
			}
		case unix.S_IFLNK:
			text, _ := os.Readlink(p)
			line += " -> " + text
		case unix.S_IFCHR, unix.S_IFBLK:
			line += fmt.Sprintf(" dev %d", st.Rdev)
		}
		lines = append(lines, line+attrs(p))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(lines, "\n")
}

func fnv(b []byte) (h uint64) {
	h = 14695981039346656037
	for _, c := range b {
		h = (h ^ uint64(c)) * 1099511628211
	}
	return h
}

func attrs(p string) string {
	buf := make([]byte, 4096)
	n, err := unix.Llistxattr(p, buf)
	if err != nil || n <= 0 {
		return ""
	}
	names := strings.Split(strings.TrimSuffix(string(buf[:n]), "\x00"), "\x00")
	slices.Sort(names)
	var s string
	for _, name := range names {
		if name == OwnerXattr || hostXattr(name) {
			continue
		}
		n, err := unix.Lgetxattr(p, name, buf)
		if err == nil {
			s += fmt.Sprintf(" %s=%q", name, buf[:n])
		}
	}
	return s
}

// grower makes and changes random trees.
type grower struct {
	t    testing.TB
	r    *rand.Rand
	dir  string
	root bool
	xatt bool
	solo bool // make no hard links
}

func newGrower(t testing.TB, seed uint64, dir string) *grower {
	g := &grower{t: t, r: rand.New(rand.NewPCG(seed, 3)), dir: dir}
	probe := filepath.Join(dir, "probe") // root of a user namespace may do less than root
	g.root = unix.Mknod(probe, unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) == nil && os.Lchown(probe, 2, 69999) == nil
	os.Remove(probe)
	g.xatt = unix.Setxattr(dir, "user.try", []byte("x"), 0) == nil
	unix.Removexattr(dir, "user.try")
	return g
}

// paths lists the tree: directories, and everything else.
func (g *grower) paths() (dirs, rest []string) {
	filepath.WalkDir(g.dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			g.t.Fatal(err)
		}
		if d.IsDir() {
			dirs = append(dirs, p)
		} else {
			rest = append(rest, p)
		}
		return nil
	})
	return dirs, rest
}

func (g *grower) pick(list []string) string { return list[g.r.IntN(len(list))] }

func (g *grower) content() []byte {
	b := bytes.Repeat([]byte{byte('a' + g.r.IntN(4))}, g.r.IntN(4)*700)
	if g.r.IntN(10) == 0 {
		b = append(make([]byte, 200<<10), b...) // begins with a hole
	}
	return b
}

// step makes one random change.
func (g *grower) step() {
	dirs, rest := g.paths()
	name := filepath.Join(g.pick(dirs), []string{"a", "b", "c", "d.e", "f g", "h\xff", "zz"}[g.r.IntN(7)])
	var err error
	switch k := g.r.IntN(20); {
	case k < 6:
		os.Remove(name)
		err = ignoreDir(os.WriteFile(name, g.content(), 0o600|fs.FileMode(g.r.IntN(0o100))))
	case k < 9:
		err = ignoreExist(os.Mkdir(name, 0o700|fs.FileMode(g.r.IntN(0o100))))
	case k < 10:
		err = ignoreExist(os.Symlink(g.pick([]string{"a", "../b", "/c", "\xfe"}), name))
	case k < 11 && len(rest) > 0 && !g.solo:
		err = ignoreExist(os.Link(g.pick(rest), name))
	case k < 12:
		err = ignoreExist(unix.Mkfifo(name, 0o640))
	case k < 13 && g.root:
		err = ignoreExist(unix.Mknod(name, unix.S_IFCHR|0o600, int(unix.Mkdev(1, uint32(3+g.r.IntN(5))))))
	case k < 14 && len(rest) > 0:
		err = os.Remove(g.pick(rest))
	case k < 15 && len(dirs) > 1:
		err = os.RemoveAll(dirs[1+g.r.IntN(len(dirs)-1)])
	default:
		g.meta(append(dirs[1:], rest...))
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

// meta changes metadata, or content in place, of something.
func (g *grower) meta(all []string) {
	if len(all) == 0 {
		return
	}
	p := g.pick(all)
	st, err := os.Lstat(p)
	if err != nil {
		g.t.Fatal(err)
	}
	switch k := g.r.IntN(6); {
	case k == 0 && st.Mode()&fs.ModeSymlink == 0:
		err = os.Chmod(p, st.Mode().Perm()^0o050)
	case k == 1 && g.root:
		err = os.Lchown(p, g.r.IntN(3), g.r.IntN(70000))
	case k == 2 && g.xatt && (st.IsDir() || st.Mode().IsRegular()):
		err = unix.Setxattr(p, "user.k"+fmt.Sprint(g.r.IntN(2)), []byte{byte(g.r.IntN(256)), 0}, 0)
	case k == 3 && st.Mode().IsRegular():
		var f *os.File
		if f, err = os.OpenFile(p, os.O_WRONLY|os.O_APPEND, 0); err == nil {
			_, err = f.Write([]byte("more"))
			f.Close()
		}
	case k == 4 && st.Mode().IsRegular(): // touched only
		err = os.Chtimes(p, time.Now(), time.Now())
	case k == 5 && len(all) > 1:
		os.Rename(p, g.pick(all)) // may well be refused
	}
	if err != nil {
		g.t.Fatal(err)
	}
}

func ignoreExist(err error) error {
	if os.IsExist(err) {
		return nil
	}
	return err
}

func ignoreDir(err error) error {
	if err == nil || strings.Contains(err.Error(), "is a directory") || strings.Contains(err.Error(), "no such device") {
		return nil
	}
	return err
}
