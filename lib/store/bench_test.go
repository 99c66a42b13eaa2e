package store

import (
	"testing"

	"docksmith/lib/oci"
)

// BenchmarkCachedRebuild is what a rebuild asks of the store when every step is
// a hit: it must stay far below a millisecond.
func BenchmarkCachedRebuild(b *testing.B) {
	root := b.TempDir()
	s := open(b, root)
	var layers []oci.Layer
	for i := range 10 {
		layers = append(layers, addLayer(b, s, map[string]string{"f": string(rune('a' + i))}))
	}
	name := ref(b, "app:v1")
	desc := writeImage(b, s, layers...)
	if err := s.Tag(b.Context(), desc, name); err != nil {
		b.Fatal(err)
	}
	s.Close()
	for b.Loop() {
		s, err := Open(root)
		if err != nil {
			b.Fatal(err)
		}
		if _, err := s.Image("app:v1", nil); err != nil {
			b.Fatal(err)
		}
		for _, l := range layers {
			if _, ok := s.Has(l.Digest); !ok {
				b.Fatal("layer missing")
			}
		}
		if got := writeImage(b, s, layers...); got.Digest != desc.Digest {
			b.Fatal("another digest")
		}
		if err := s.Tag(b.Context(), desc, name); err != nil {
			b.Fatal(err)
		}
		if err := s.Close(); err != nil {
			b.Fatal(err)
		}
	}
}
