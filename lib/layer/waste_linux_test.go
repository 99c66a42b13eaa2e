package layer

import (
	"context"
	"io"
	"slices"
	"testing"
)

func TestWaste(t *testing.T) {
	chmod := tFile("etc/mode", "same content")
	chmod.mode = 0o600
	layers := [][]byte{
		rawTar(tDir("etc"), tFile("etc/a", "1"), tFile("etc/b", "22"), tFile("etc/c", "333"), tFile("etc/mode", "same content"), tFile("empty", ""),
			tDir("old"), tFile("old/x", "4444"), tDir("old/in"), tFile("old/in/y", "55555"),
			tFile("one", "linked"), tLink("two", "one"), tFile("half", "linked too"), tLink("other", "half"), tFile("kept", "kept")),
		rawTar(tFile("etc/a", "2"), tFile("etc/.wh.b", ""), chmod, tFile(".wh.one", ""), tFile(".wh.half", ""), tFile(".wh.empty", "")),
		rawTar(tFile("old", "no directory any more"), tFile("etc/.wh..wh..opq", ""), tFile("etc/new", "n"), tFile(".wh.two", ""), tFile("twice", "first"), tFile("twice", "again")),
	}
	res, err := Waste(context.Background(), openers(layers), WasteOptions{})
	if err != nil {
		t.Fatal(err)
	}
	want := []Wasted{
		{"etc/mode", 1, 2, Metadata, 12},
		{"etc/mode", 2, 3, Hidden, 12},
		{"two", 1, 3, Removed, 6},
		{"old/in/y", 1, 3, Overwritten, 5},
		{"twice", 3, 3, Overwritten, 5},
		{"old/x", 1, 3, Overwritten, 4},
		{"etc/c", 1, 3, Hidden, 3},
		{"etc/b", 1, 2, Removed, 2},
		{"etc/a", 1, 2, Overwritten, 1},
		{"etc/a", 2, 3, Hidden, 1},
	}
	if !slices.Equal(res.Files, want) {
		t.Errorf("got  %v\nwant %v", res.Files, want)
	}
	if want := []int64{47, 13, 32}; !slices.Equal(res.Layers, want) {
		t.Errorf("layers: got %v, want %v", res.Layers, want)
	}
}

// TestWasteIsWhatFlattenLeaves: what the layers have is what the merged tree has
// and what is wasted.
func TestWasteIsWhatFlattenLeaves(t *testing.T) {
	found := 0
	stacks(t, randomStacks, func(t *testing.T, layers [][]byte, text string) {
		res, err := Waste(context.Background(), openers(layers), WasteOptions{})
		if err != nil {
			return
		}
		var all, wasted int64
		for _, n := range res.Layers {
			all += n
		}
		for _, f := range res.Files {
			wasted += f.Bytes
		}
		r, w := io.Pipe()
		go func() { w.CloseWithError(Flatten(context.Background(), w, openers(layers), FlattenOptions{})) }()
		var seen int64
		for e, err := range Entries(r) {
			if err != nil {
				t.Fatal(err)
			}
			seen += e.Size
		}
		if all != seen+wasted {
			t.Errorf("%d bytes in the layers, %d in the tree, %d wasted: %v\n%s", all, seen, wasted, res.Files, text)
		}
		found += len(res.Files)
	})
	if found < randomStacks {
		t.Errorf("%d wasted files in %d stacks: the test tests little", found, randomStacks)
	}
}
