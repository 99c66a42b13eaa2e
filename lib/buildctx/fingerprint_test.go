package buildctx

import (
	"encoding/hex"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// fingerprints gives that of a walk and that of a skim of the whole context, which must
// be the same; "" is none.
func fingerprints(t testing.TB, c *Context, exclude *Ignore) string {
	t.Helper()
	sums := [2]string{}
	for i := range sums {
		f := c.NewFingerprint()
		o := WalkOptions{Exclude: exclude, Fingerprint: f}
		if i == 0 {
			for range c.Walk(".", o) {
			}
		} else {
			c.Skim(".", o)
		}
		if sum, ok := f.Sum(); ok {
			sums[i] = hex.EncodeToString(sum[:])
		}
	}
	if sums[0] != sums[1] {
		t.Fatalf("a walk has the fingerprint %q, a skim %q", sums[0], sums[1])
	}
	return sums[0]
}

// content is all that a step's key may take from the context: what a walk yields, with
// what is in the files.
func content(t testing.TB, c *Context, exclude *Ignore) string {
	t.Helper()
	var b strings.Builder
	links := map[uint64]string{}
	for info, err := range c.Walk(".", WalkOptions{Exclude: exclude}) {
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&b, "%q %v %o %q %d", info.Path, info.Type, info.Mode, info.Linkname, info.Rdev)
		if info.Type == File {
			data, err := os.ReadFile(filepath.Join(c.root.Name(), info.Path))
			if err != nil {
				t.Fatal(err)
			}
			fmt.Fprintf(&b, " %q as %q", data, links[info.Ino])
			if info.Nlink > 1 && links[info.Ino] == "" {
				links[info.Ino] = info.Path
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// openPrinted is openTree with an index.
func openPrinted(t testing.TB, root, ignore string) *Context {
	t.Helper()
	x, err := OpenIndex(filepath.Join(t.TempDir(), "index"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { x.Close() })
	c := openTree(t, root, ignore)
	c.o.Index = x
	return c
}

// printedFiles are in each directory of a tree for fingerprints.
var printedFiles = []string{"f0", "f1", "a.tmp", "keep.log"}

// makeNested makes dir with three directories in each other, at random names.
func makeNested(t *testing.T, dir string, rnd *rand.Rand, old time.Time) {
	t.Helper()
	for range 3 {
		if err := os.Mkdir(dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for i, name := range printedFiles {
			write(t, filepath.Join(dir, name), fmt.Sprint(i))
			os.Chtimes(filepath.Join(dir, name), old, old)
		}
		os.Symlink("f1", filepath.Join(dir, "l"))
		dir = filepath.Join(dir, fmt.Sprint("d", rnd.IntN(3)))
	}
}

// TestFingerprintFollowsChanges makes random trees under random rules, changes one thing
// at a time, and expects another fingerprint whenever the content is another one. What
// is hidden, and times of directories, are none of its business.
func TestFingerprintFollowsChanges(t *testing.T) {
	ignores := []string{"", "*.log\n", "**/*.log\n!keep.log\n", "d0\n!d0/d1/f1\n", "d*\n!d2\n"}
	excludes := [][]string{nil, {"*.tmp"}, {"d1", "!d1/f0"}}
	old := time.Now().Add(-time.Hour)
	changes := map[string]func(dir, name string) error{
		"content, size and time as before": func(dir, name string) error { return swap(dir, name, old) },
		"a byte more":                      func(dir, name string) error { return os.WriteFile(filepath.Join(dir, name), []byte("longer"), 0o644) },
		"mode":                             func(dir, name string) error { return os.Chmod(filepath.Join(dir, name), 0o600) },
		"name":                             func(dir, name string) error { return os.Rename(filepath.Join(dir, name), filepath.Join(dir, "g"+name)) },
		"removed":                          func(dir, name string) error { return os.Remove(filepath.Join(dir, name)) },
		"added":                            func(dir, name string) error { return os.WriteFile(filepath.Join(dir, "n"), nil, 0o644) },
		"a directory more":                 func(dir, name string) error { return os.Mkdir(filepath.Join(dir, "n"), 0o755) },
		"mode of a directory":              func(dir, name string) error { return os.Chmod(dir, 0o700) },
		"a link elsewhere": func(dir, name string) error {
			os.Remove(filepath.Join(dir, "l"))
			return os.Symlink("f9", filepath.Join(dir, "l"))
		},
		"a link instead": func(dir, name string) error {
			os.Remove(filepath.Join(dir, name))
			return os.Symlink("f9", filepath.Join(dir, name))
		},
		"hard link": func(dir, name string) error {
			return os.Link(filepath.Join(dir, name), filepath.Join(dir, "h"))
		},
		"hidden file": func(dir, name string) error { return os.WriteFile(filepath.Join(dir, "x.log"), nil, 0o644) },
		"moved away and back": func(dir, name string) error {
			os.Rename(filepath.Join(dir, name), filepath.Join(dir, "away"))
			return os.Rename(filepath.Join(dir, "away"), filepath.Join(dir, name))
		},
	}
	names := slices.Sorted(maps.Keys(changes))
	root := t.TempDir()
	skipForeignClock(t, root)
	type tree struct {
		*Context
		change          string
		exclude         *Ignore
		print, contents string
		dir, file       string
	}
	var trees []tree
	rnd := rand.New(rand.NewPCG(1, 2))
	for i := range 20 * len(names) {
		dir := filepath.Join(root, fmt.Sprint(i))
		makeNested(t, dir, rnd, old)
		exclude, err := NewIgnore(excludes[rnd.IntN(len(excludes))]...)
		if err != nil {
			t.Fatal(err)
		}
		tr := tree{Context: openPrinted(t, dir, ignores[rnd.IntN(len(ignores))]), change: names[i%len(names)], exclude: exclude, dir: dir}
		for range rnd.IntN(3) {
			subs, _ := filepath.Glob(filepath.Join(tr.dir, "d?"))
			tr.dir = subs[0]
		}
		tr.file = printedFiles[rnd.IntN(len(printedFiles))]
		trees = append(trees, tr)
	}
	settle()
	for i := range trees {
		tr := &trees[i]
		if tr.print = fingerprints(t, tr.Context, tr.exclude); tr.print == "" {
			t.Fatal("a settled tree has no fingerprint")
		}
		if again := fingerprints(t, tr.Context, tr.exclude); again != tr.print {
			t.Fatal("an unchanged tree has another fingerprint")
		}
		tr.contents = content(t, tr.Context, tr.exclude)
		if err := changes[tr.change](tr.dir, tr.file); err != nil {
			t.Fatal(err)
		}
		// Fresh files are not to be trusted, whatever their times say.
		if got := fingerprints(t, tr.Context, tr.exclude); got == tr.print && content(t, tr.Context, tr.exclude) != tr.contents {
			t.Errorf("%s: the fingerprint stays at once", tr.change)
		}
	}
	settle()
	noticed := map[string]int{}
	for _, tr := range trees {
		same, print := content(t, tr.Context, tr.exclude) == tr.contents, fingerprints(t, tr.Context, tr.exclude)
		switch {
		case print == "":
			t.Errorf("%s: no fingerprint", tr.change)
		case !same && print == tr.print:
			t.Errorf("%s of %s in %s: the fingerprint stays", tr.change, tr.file, tr.dir)
		case !same:
			noticed[tr.change]++
		case print != tr.print && tr.change == "hidden file":
			t.Error("a hidden file changes the fingerprint")
		}
	}
	for _, name := range names {
		if noticed[name] == 0 && name != "hidden file" && name != "moved away and back" {
			t.Errorf("%s: never changed anything that was visible", name)
		}
	}
}

// swap gives a file other content of the same size, and its old times.
func swap(dir, name string, old time.Time) error {
	path := filepath.Join(dir, name)
	if err := os.WriteFile(path, []byte("X"), 0o644); err != nil {
		return err
	}
	return os.Chtimes(path, old, old)
}

// TestFingerprintMarks: a file that differs in any of its marks is another one, whatever
// the others say; so is one with the same marks on another device.
func TestFingerprintMarks(t *testing.T) {
	sum := func(dev uint64, name string, e entry) [32]byte {
		f := &Fingerprint{dev: dev, young: 100}
		m := f.marks()
		m.add(name, &e)
		s := m.sum()
		if s.none != (e.Dev != dev) {
			t.Errorf("none is %v for a file of device %d in a context of %d", s.none, e.Dev, dev)
		}
		return s.hash
	}
	was := entry{Info: Info{Type: File, Mode: 0o644, Dev: 40, Ino: 12, Size: 5, MTime: 7, CTime: 8}}
	seen := map[[32]byte]string{sum(40, "f", was): "the file"}
	for name, change := range map[string]func(*entry){
		"type":   func(e *entry) { e.Type = FIFO },
		"mode":   func(e *entry) { e.Mode = 0o600 },
		"inode":  func(e *entry) { e.Ino++ },
		"size":   func(e *entry) { e.Size++ },
		"mtime":  func(e *entry) { e.MTime++ },
		"ctime":  func(e *entry) { e.CTime-- },
		"hidden": func(e *entry) { e.hidden = true },
	} {
		other := was
		change(&other)
		s := sum(40, "f", other)
		if before, ok := seen[s]; ok {
			t.Errorf("another %s is taken for %s", name, before)
		}
		seen[s] = name
	}
	if _, ok := seen[sum(40, "g", was)]; ok {
		t.Error("another name makes no difference")
	}
	if sum(40, "c", entry{Info: Info{Type: Char, Dev: 40, Rdev: 1}}) == sum(40, "c", entry{Info: Info{Type: Char, Dev: 40, Rdev: 2}}) {
		t.Error("another device makes no difference")
	}
	sum(41, "f", was)
	for _, tt := range []struct {
		strict       bool
		mtime, ctime int64
		none         bool
	}{{false, 100, 99, false}, {false, 99, 100, true}, {true, 99, 99, false}, {true, 100, 99, true}} {
		m := (&Fingerprint{young: 100, strict: tt.strict}).marks()
		m.add("f", &entry{Info: Info{Type: File, MTime: tt.mtime, CTime: tt.ctime}})
		if got := m.sum().none; got != tt.none {
			t.Errorf("strict %v, mtime %d and ctime %d where 100 is young: none is %v", tt.strict, tt.mtime, tt.ctime, got)
		}
	}

	c := openPrinted(t, t.TempDir(), "")
	prints := map[[32]byte]bool{}
	for range 2 {
		f := c.NewFingerprint()
		c.Skim(".", WalkOptions{Fingerprint: f})
		s, ok := f.Sum()
		if !ok || prints[s] {
			t.Errorf("an empty directory of another device: %v, %v", ok, prints[s])
		}
		prints[s] = true
		c.dev++
	}
}

// TestNoFingerprint: where a look cannot be relied on, or is not enough, there is none.
func TestNoFingerprint(t *testing.T) {
	root := makeTree(t, "d/f", "d/g")
	skipForeignClock(t, root)
	settle()
	if fingerprints(t, openPrinted(t, root, ""), nil) == "" {
		t.Fatal("there is none of a settled tree")
	}
	none := func(what string, c *Context) {
		t.Helper()
		if fingerprints(t, c, nil) != "" {
			t.Errorf("%s: there is one", what)
		}
	}
	c := openPrinted(t, root, "")
	c.o.Index = nil
	none("no index", c)
	c = openPrinted(t, root, "")
	c.o.Index.Distrust()
	distrusted := [2]bool{}
	for i := range distrusted {
		f := c.NewFingerprint()
		if i == 0 {
			c.Skim(".", WalkOptions{Fingerprint: f})
		} else {
			for range c.Walk(".", WalkOptions{Fingerprint: f}) {
			}
		}
		_, distrusted[i] = f.Sum()
	}
	if distrusted != [2]bool{false, true} {
		t.Errorf("with a distrusted index there is one of a skim: %v, of a walk, to replace what was known: %v", distrusted[0], distrusted[1])
	}
	c = openPrinted(t, root, "")
	c.o.Uses = &Uses{}
	none("somebody notes what is used", c)
	c = openPrinted(t, root, "")
	c.local = false
	none("a file of the last seconds where another clock stamps", c)
	f := openPrinted(t, root, "").NewFingerprint()
	if _, ok := f.Sum(); ok {
		t.Error("nothing was walked: there is one")
	}
	c = openPrinted(t, root, "")
	f = c.NewFingerprint()
	c.Skim("missing", WalkOptions{Fingerprint: f})
	c.Skim(".", WalkOptions{Fingerprint: f})
	if _, ok := f.Sum(); ok {
		t.Error("a walk failed: there is one")
	}
	f = c.NewFingerprint()
	for range c.Walk(".", WalkOptions{Fingerprint: f}) {
		break
	}
	if _, ok := f.Sum(); ok {
		t.Error("a walk was broken off: there is one")
	}

	write(t, filepath.Join(root, "d/young"), "x")
	none("a young file", openPrinted(t, root, ""))
	settle()
	if fingerprints(t, openPrinted(t, root, ""), nil) == "" {
		t.Error("there is none of a file that was young")
	}
	future := time.Now().Add(time.Hour)
	os.Chtimes(filepath.Join(root, "d/young"), future, future)
	settle()
	if fingerprints(t, openPrinted(t, root, ""), nil) == "" {
		t.Error("a modification time, which anybody can set, counts where the change time does")
	}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	dir, err := os.Open(root)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Bind(fd, &unix.SockaddrUnix{Name: fmt.Sprintf("/proc/self/fd/%d/s", dir.Fd())}); err != nil {
		t.Fatal(err)
	}
	none("a socket", openPrinted(t, root, ""))
	os.Remove(filepath.Join(root, "s"))
	if os.Geteuid() != 0 {
		os.Chmod(filepath.Join(root, "d"), 0)
		none("a directory that cannot be read", openPrinted(t, root, ""))
		os.Chmod(filepath.Join(root, "d"), 0o755)
	}
}
