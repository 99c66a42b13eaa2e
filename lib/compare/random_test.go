package compare

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docksmith/lib/layer"
)

// randomStacks is how many pairs of stacks are compared; DOCKSMITH_TEST_LONG raises it.
var randomStacks = map[bool]int{false: 150, true: 3000}[os.Getenv("DOCKSMITH_TEST_LONG") != ""]

// randomEntries makes entries with few names, so that those of several layers meet.
func randomEntries(r *rand.Rand) []layer.Source {
	pick := func(names string) string { return string(names[r.IntN(len(names))]) }
	dir := func() string {
		s := ""
		for range r.IntN(3) {
			s += pick("abc") + "/"
		}
		return s
	}
	var list []layer.Source
	for range 1 + r.IntN(10) {
		s := file(dir()+pick("xyz"), fmt.Sprint(r.IntN(4)))
		switch r.IntN(9) {
		case 0, 1, 2:
			s = directoryEntry(dir() + pick("abc"))
		case 3:
			s = entry(layer.Entry{Path: dir() + pick("xyz"), Type: layer.TypeSymlink, Linkname: []string{"a", "/b", "../c"}[r.IntN(3)]})
		case 4:
			s = whiteout(dir() + pick("abcxyz"))
		case 5:
			s = entry(layer.Entry{Path: dir() + pick("abc"), Type: layer.TypeOpaque})
		case 6:
			s = entry(layer.Entry{Path: pick("abc"), Type: layer.TypeSymlink, Linkname: []string{"", "../"}[r.IntN(2)] + pick("abc")})
		}
		s.ModTime = time.Unix(int64(r.IntN(2)), 0)
		list = append(list, s)
	}
	return list
}

func directoryEntry(path string) layer.Source {
	return entry(layer.Entry{Path: path, Type: layer.TypeDir, Mode: 0o755})
}

// allDirectories are those that random entries are in, for a layer that need
// not know what is below it.
func allDirectories() []layer.Source {
	var list []layer.Source
	for _, a := range "abc" {
		list = append(list, directoryEntry(string(a)))
		for _, b := range "abc" {
			list = append(list, directoryEntry(string(a)+"/"+string(b)))
		}
	}
	return list
}

// tarOf writes entries in their order, parents or not, as foreign tools do.
func tarOf(t *testing.T, list []layer.Source) []byte {
	t.Helper()
	var b bytes.Buffer
	w := layer.NewWriter(&b)
	for _, s := range list {
		err := w.WriteHeader(&s.Entry)
		if err == nil && s.Open != nil {
			var in io.ReadCloser
			if in, err = s.Open(); err == nil {
				_, err = io.Copy(w, in)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// flat maps the paths of the merged tree, by the bytes that Flatten writes, to all
// that is said of them.
func flat(layers []Source) (map[string]string, error) {
	var open []func() (io.ReadCloser, error)
	for _, l := range layers {
		open = append(open, l.Open)
	}
	var b bytes.Buffer
	if err := layer.Flatten(context.Background(), &b, open, layer.FlattenOptions{}); err != nil {
		return nil, err
	}
	m := map[string]string{}
	r := layer.NewReader(&b, layer.ReaderOptions{})
	for {
		e, err := r.Next()
		if err == io.EOF {
			return m, nil
		}
		if err != nil {
			return nil, err
		}
		content, err := io.ReadAll(r)
		if err != nil {
			return nil, err
		}
		m[e.Path] = fmt.Sprint(e.Type, e.Mode, e.UID, e.GID, e.ModTime.Unix(), e.Linkname, string(content))
	}
}

// TestTreesOracle: with the shared layers skipped or not, Trees finds what a
// comparison of both whole trees finds.
func TestTreesOracle(t *testing.T) {
	compared, skipped := 0, 0
	for seed := range randomStacks {
		r := rand.New(rand.NewPCG(3, uint64(seed)))
		o := opened{}
		base := o.source(tarOf(t, randomEntries(r)))
		var sides [2][]Source
		first := randomEntries(r)
		if r.IntN(3) > 0 {
			first = append(allDirectories(), first...)
		}
		second := slices.Clone(first)
		for i := range second { // the same names, as a rule
			if r.IntN(4) == 0 && second[i].Type == layer.TypeFile {
				changed := file(second[i].Path, fmt.Sprint(r.IntN(20)))
				changed.ModTime = second[i].ModTime
				second[i] = changed
			}
		}
		if r.IntN(2) == 0 {
			second = append(second, randomEntries(r)[:1]...)
		}
		sides[0] = []Source{base, o.source(tarOf(t, first))}
		sides[1] = []Source{base, o.source(tarOf(t, second))}
		a, errA := flat(sides[0])
		b, errB := flat(sides[1])
		if errA != nil || errB != nil {
			continue
		}
		want := map[string]Change{}
		for path := range a {
			if is, ok := b[path]; !ok {
				want[path] = Deleted
			} else if is != a[path] {
				want[path] = Changed
			}
		}
		for path := range b {
			if _, ok := a[path]; !ok {
				want[path] = Added
			}
		}
		clear(o)
		got := map[string]Change{}
		for d, err := range Trees(context.Background(), sides[0], sides[1]) {
			if err != nil {
				t.Fatalf("seed %d: %v", seed, err)
			}
			got[d.Path] = d.Change
		}
		compared++
		if o[base.DiffID] == 0 && sides[0][1].DiffID != sides[1][1].DiffID {
			skipped++
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("seed %d (-want +got):\n%s", seed, diff)
		}
	}
	t.Logf("%d of %d pairs compared, %d without their base", compared, randomStacks, skipped)
	if compared < randomStacks/3 || skipped == 0 {
		t.Errorf("%d of %d pairs compared, %d without their base: the test tests little", compared, randomStacks, skipped)
	}
}
