package layer

import (
	"bytes"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// randomLayer makes entries with few names, so that they meet. Directories and
// files have names of their own most of the time: a stack with a file that
// has children is refused, and shows nothing.
func randomLayer(r *rand.Rand) []rawMember {
	pick := func(names string) string { return string(names[r.IntN(len(names))]) }
	dir := func() string {
		s := ""
		for range r.IntN(3) {
			s += pick("abc") + "/"
		}
		return s
	}
	leaf := func() string {
		if r.IntN(16) == 0 {
			return pick("abc")
		}
		return pick("xyz")
	}
	file := tFile(dir()+leaf(), "first")
	list := []rawMember{file}
	for range r.IntN(14) {
		m := rawMember{name: dir() + leaf(), mtime: int64(1000 + r.IntN(1000)), mode: []int64{0o644, 0o755, 0o600, 0o700}[r.IntN(4)]}
		switch r.IntN(12) {
		case 0, 1, 2:
			m.name = dir() + pick("abc") + "/"
			m.flag, m.mode = '5', []int64{0o755, 0o700, 0o711, 0o555}[r.IntN(4)]
		case 3, 4, 5, 6:
			m.data = fmt.Sprint("content ", r.IntN(1000))
			file = m
		case 7:
			m.flag, m.link = '2', []string{"a", "/b", "../c", "/a/b", "../../c/a", "nowhere/x"}[r.IntN(6)]
		case 8:
			m.flag, m.link = '1', file.name
		case 9:
			m.name = dir() + ".wh." + leaf()
		case 10:
			m.name = dir() + ".wh." + pick("abc")
		case 11:
			m.name = dir() + ".wh..wh..opq"
		}
		list = append(list, m)
	}
	return list
}

// stacks calls f with the same random stacks of layers every time.
func stacks(t *testing.T, n int, f func(t *testing.T, layers [][]byte, text string)) {
	for seed := range n {
		r := rand.New(rand.NewPCG(1, uint64(seed)))
		var layers [][]byte
		var text strings.Builder
		for i := range 1 + r.IntN(4) {
			members := randomLayer(r)
			layers = append(layers, rawTar(members...))
			fmt.Fprintf(&text, "layer %d\n", i)
			for _, m := range members {
				fmt.Fprintf(&text, "  %q %c %o %d -> %q %q\n", m.name, max(m.flag, '0'), m.mode, m.mtime, m.link, m.data)
			}
		}
		t.Run(fmt.Sprint(seed), func(t *testing.T) { f(t, layers, text.String()) })
	}
}

// state is treeState without what a merged view does not keep: which names are one file, and the
// time of the root that nobody mentioned.
func mergedState(t *testing.T, dir string) string {
	lines := strings.Split(treeState(t, dir, true), "\n")
	for i, l := range lines {
		if j := strings.Index(l, " n"); j >= 0 {
			f := strings.Fields(l[j+2:])
			lines[i] = l[:j] + " " + f[len(f)-1]
		}
	}
	return strings.Join(lines[1:], "\n")
}

// randomStacks is how many stacks the oracles see; DOCKSMITH_TEST_LONG raises it.
var randomStacks = map[bool]int{false: 100, true: 1000}[os.Getenv("DOCKSMITH_TEST_LONG") != ""]

// TestOverlayOracle: overlayfs on the directories of the overlay form shows what the tree form holds.
func TestOverlayOracle(t *testing.T) {
	needOverlay(t)
	refused := 0
	stacks(t, randomStacks, func(t *testing.T, layers [][]byte, text string) {
		a, b := newArena(t), newArena(t)
		errTree, errOverlay := a.apply(Tree, layers...), b.apply(Overlay, layers...)
		a.check()
		b.check()
		if (errTree == nil) != (errOverlay == nil) {
			t.Fatalf("tree: %v\noverlay: %v\n%s", errTree, errOverlay, text)
		}
		if errTree != nil {
			refused++
			return
		}
		if got, want := overlaidState(t, b.root, len(layers)), mergedState(t, a.root); got != want {
			t.Errorf("overlay:\n%s\ntree:\n%s\n%s", got, want, text)
		}
	})
	if refused > randomStacks*3/4 {
		t.Errorf("%d of %d stacks were refused: the test tests little", refused, randomStacks)
	}
	t.Logf("%d of %d stacks were refused by both", refused, randomStacks)
}

// needOverlay skips a test where an overlay cannot be mounted.
func needOverlay(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("mounting an overlay takes root")
	}
	probe := t.TempDir()
	if err := mountOverlay([]string{probe, t.TempDir()}, probe); err != nil {
		t.Skipf("overlay cannot be mounted here: %v", err)
	}
	unix.Unmount(probe, unix.MNT_DETACH)
}

// overlaidState is the mergedState of so many layers in the overlay form.
func overlaidState(t *testing.T, root string, layers int) string {
	t.Helper()
	lowers := []string{t.TempDir()}
	for i := range layers {
		lowers = append([]string{filepath.Join(root, fmt.Sprint(i))}, lowers...)
	}
	merged := t.TempDir()
	if err := mountOverlay(lowers, merged); err != nil {
		t.Fatal(err)
	}
	defer unix.Unmount(merged, unix.MNT_DETACH)
	return mergedState(t, merged)
}

func mountOverlay(lowers []string, at string) error {
	return unix.Mount("overlay", at, "overlay", unix.MS_RDONLY, "lowerdir="+strings.Join(lowers, ":"))
}

// TestFlattenOracle: what Flatten writes is what the layers make one after the other.
func TestFlattenOracle(t *testing.T) {
	stacks(t, randomStacks, func(t *testing.T, layers [][]byte, text string) {
		a, b := newArena(t), newArena(t)
		errTree := a.apply(Tree, layers...)
		var flat bytes.Buffer
		err := Flatten(context.Background(), &flat, openers(layers), FlattenOptions{})
		if (errTree == nil) != (err == nil) {
			t.Fatalf("tree: %v\nflatten: %v\n%s", errTree, err, text)
		}
		if err != nil {
			return
		}
		if err := b.apply(Tree, flat.Bytes()); err != nil {
			t.Fatalf("apply: %v\n%s", err, text)
		}
		if got, want := mergedState(t, b.root), mergedState(t, a.root); got != want {
			t.Errorf("flattened:\n%s\ntree:\n%s\n%s", got, want, text)
		}
	})
}
