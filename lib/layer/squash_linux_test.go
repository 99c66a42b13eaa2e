package layer

import (
	"bytes"
	"context"
	"strings"
	"testing"
)

// linkedState is treeState without the root, which nobody need have mentioned.
func linkedState(t *testing.T, dir string) string {
	_, rest, _ := strings.Cut(treeState(t, dir, true), "\n")
	return rest
}

// squashed is a stack whose layers above keep are one.
func squashed(t *testing.T, layers [][]byte, keep int) [][]byte {
	t.Helper()
	var one bytes.Buffer
	if err := Squash(context.Background(), &one, openers(layers), SquashOptions{Keep: keep}); err != nil {
		t.Fatal(err)
	}
	return append(append([][]byte(nil), layers[:keep]...), one.Bytes())
}

// TestSquashOracle: squashing any number of layers at the top changes nothing
// in the tree, applied for real, hard links included.
func TestSquashOracle(t *testing.T) {
	stacks(t, randomStacks, func(t *testing.T, layers [][]byte, text string) {
		a := newArena(t)
		if a.apply(Tree, layers...) != nil {
			return
		}
		want := linkedState(t, a.root)
		for keep := range len(layers) {
			b := newArena(t)
			short := squashed(t, layers, keep)
			if err := b.apply(Tree, short...); err != nil {
				t.Fatalf("keep %d: apply: %v\n%s", keep, err, text)
			}
			if got := linkedState(t, b.root); got != want {
				t.Errorf("keep %d: squashed:\n%s\ntree:\n%s\n%s", keep, got, want, text)
			}
		}
	})
}

// TestSquashOverlayOracle: the same on overlayfs, which does not know links between layers.
func TestSquashOverlayOracle(t *testing.T) {
	needOverlay(t)
	stacks(t, randomStacks/2, func(t *testing.T, layers [][]byte, text string) {
		a, b := newArena(t), newArena(t)
		if len(layers) < 2 || a.apply(Tree, layers...) != nil {
			return
		}
		short := squashed(t, layers, 1)
		if err := b.apply(Overlay, short...); err != nil {
			t.Fatalf("apply: %v\n%s", err, text)
		}
		if got, want := overlaidState(t, b.root, len(short)), mergedState(t, a.root); got != want {
			t.Errorf("overlay:\n%s\ntree:\n%s\n%s", got, want, text)
		}
	})
}

func TestSquashListing(t *testing.T) {
	layers := [][]byte{
		rawTar(tDir("d"), tFile("d/a", "1"), tFile("d/b", "2"), tFile("d/c", "3"), tFile("keep", "k"), tLink("twin", "keep")),
		rawTar(tFile("d/.wh.a", ""), tFile("new", "n"), tFile("d/b", "4")),
		rawTar(tFile(".wh.new", ""), tFile("d/b", "5"), tLink("third", "twin")),
	}
	one := squashed(t, layers, 1)[1]
	wantListing(t, one, "0 d/.wh.a", "0 d/b", "1 third")
	flat := new(bytes.Buffer)
	if err := Flatten(context.Background(), flat, openers(layers), FlattenOptions{}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(squashed(t, layers, 0)[0], flat.Bytes()) {
		t.Error("all layers squashed are not the flattened ones")
	}
	wantListing(t, squashed(t, layers[:1], 1)[1])
}
