// SPDX-License-Identifier: Apache-2.0

package blake

import (
	"math/rand/v2"
	"testing"

	"lukechampine.com/blake3"
)

func TestHashIsBlake3(t *testing.T) {
	data := make([]byte, 1<<20+123)
	rng := rand.NewChaCha8([32]byte{1})
	rng.Read(data)
	sizes := []int{0, 1, 63, 64, 65, 1023, 1024, 1025, 2048, 3072, 4096, 5000, 16383, 16384, 16385, 32768, 32769, 49152, 65536, 81921, 1 << 20, len(data)}
	for range 50 {
		sizes = append(sizes, int(rng.Uint64()%uint64(len(data))))
	}
	var h Hasher
	for _, size := range sizes {
		want := blake3.Sum256(data[:size])
		for _, piece := range []int{size + 1, 1024, 4096, 16384, 20000, 777} {
			h.Reset()
			for rest := data[:size]; len(rest) > 0; {
				n := min(piece, len(rest))
				h.Write(rest[:n])
				rest = rest[n:]
			}
			if got := h.Sum256(); got != want {
				t.Fatalf("%d bytes in pieces of %d: %x, want %x", size, piece, got, want)
			}
			if got := h.Sum256(); got != want {
				t.Fatalf("%d bytes: the second Sum differs", size)
			}
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for _, size := range []int{100, 4096, 65536, 1 << 20} {
		data := make([]byte, size)
		b.Run(sizeName(size), func(b *testing.B) {
			var h Hasher
			b.SetBytes(int64(size))
			for b.Loop() {
				h.Reset()
				h.Write(data)
				h.Sum256()
			}
		})
	}
}

func sizeName(n int) string {
	switch {
	case n >= 1<<20:
		return "1MiB"
	case n >= 65536:
		return "64KiB"
	case n >= 4096:
		return "4KiB"
	}
	return "100B"
}
