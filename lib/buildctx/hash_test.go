package buildctx

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"testing"

	"github.com/zeebo/blake3"
)

func TestReader(t *testing.T) {
	root := makeTree(t, "f", "empty")
	skipForeignClock(t, root)
	write(t, filepath.Join(root, "empty"), "")
	settle()
	c := openIndexed(t, root, filepath.Join(t.TempDir(), "index"), false)
	for _, name := range []string{"f", "empty"} {
		info, _ := c.Stat(name)
		r, err := c.OpenInfo(info)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size > 0 {
			if _, err := r.Sum(); !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Errorf("Sum before the end: %v", err)
			}
		}
		data := make([]byte, info.Size) // as a tar writer: exactly as many, no EOF seen
		if _, err := io.ReadFull(r, data); err != nil {
			t.Fatal(err)
		}
		if err := r.Close(); err != nil {
			t.Fatal(err)
		}
		if sum, err := r.Sum(); err != nil || sum != blake3.Sum256(data) {
			t.Errorf("%s: Sum after Close: %x, %v", name, sum, err)
		}
		if !c.trusted(name) {
			t.Errorf("%s: what was read once is not known", name)
		}
	}
	// Known from the index, written to while it is read.
	r, err := c.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "f"), "g")
	io.Copy(io.Discard, r)
	if _, err := r.Sum(); !errors.Is(err, ErrChanged) {
		t.Errorf("a file that changed under a known hash: %v", err)
	}
	r.Close()
	// Not known, grown while it is read: the hash is of the bytes that were read.
	r, err = c.Open("f")
	if err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "f"), "longer")
	data, _ := io.ReadAll(r)
	if sum, err := r.Sum(); err != nil || sum != blake3.Sum256(data) {
		t.Errorf("sum of what was read: %v", err)
	}
	r.Close()
	if c.trusted("f") {
		t.Error("kept the hash of a file that changed")
	}
}

func TestHashAllReportsChange(t *testing.T) {
	root := makeTree(t, "a", "b")
	c := openTree(t, root, "")
	var infos []*Info
	for info, err := range c.Walk(".", WalkOptions{}) {
		if err != nil {
			t.Fatal(err)
		}
		infos = append(infos, info)
	}
	sums, err := c.HashAll(context.Background(), infos)
	if err != nil || sums[0] != [32]byte{} || sums[1] != blake3.Sum256([]byte("a")) || sums[2] != blake3.Sum256([]byte("b")) {
		t.Fatalf("%x, %v", sums, err)
	}
	write(t, filepath.Join(root, "b"), "changed")
	if _, err := c.HashAll(context.Background(), infos); !errors.Is(err, ErrChanged) {
		t.Errorf("a changed file: %v", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := c.HashAll(ctx, infos); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}
