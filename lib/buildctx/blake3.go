// SPDX-License-Identifier: Apache-2.0

package buildctx

import (
	"encoding/binary"
	"hash"
	"math/bits"

	"lukechampine.com/blake3/guts"
)

// segment is how much one vector instruction sequence compresses at a time.
const segment = guts.MaxSIMD * guts.ChunkSize

// hasher is BLAKE3 without the goroutines that the library's own hasher starts
// for every write beyond 1 KiB: those cost a file of 4 KiB forty microseconds,
// and files are hashed side by side anyway. It allocates nothing but itself.
type hasher struct {
	buf   [segment]byte
	n     int           // bytes in buf; a full buf waits until more follows
	count uint64        // segments compressed
	stack [64][8]uint32 // roots of subtrees: one for each bit of count that is set
}

// NewHash returns a BLAKE3-256 hash that works serially, in place, and is fast
// on small inputs too.
func NewHash() hash.Hash { return new(hasher) }

func (h *hasher) Size() int      { return 32 }
func (h *hasher) BlockSize() int { return guts.BlockSize }
func (h *hasher) Reset()         { h.n, h.count = 0, 0 }

func (h *hasher) Write(p []byte) (int, error) {
	total := len(p)
	for len(p) > 0 {
		if h.n == segment {
			h.push(&h.buf)
			h.n = 0
		}
		if h.n == 0 && len(p) > segment {
			h.push((*[segment]byte)(p))
			p = p[segment:]
			continue
		}
		n := copy(h.buf[h.n:], p)
		h.n += n
		p = p[n:]
	}
	return total, nil
}

// push compresses a segment that is not the last and merges the subtrees of
// equal size that it completes.
func (h *hasher) push(buf *[segment]byte) {
	node := guts.CompressBuffer(buf, segment, &guts.IV, h.count*guts.MaxSIMD, 0)
	cv := guts.ChainingValue(node)
	i := 0
	for ; h.count&(1<<i) != 0; i++ {
		cv = guts.ChainingValue(guts.ParentNode(h.stack[i], cv, &guts.IV, 0))
	}
	h.stack[i] = cv
	h.count++
}

func (h *hasher) Sum(b []byte) []byte {
	sum := h.sum()
	return append(b, sum[:]...)
}

func (h *hasher) sum() (sum [32]byte) {
	node := guts.CompressBuffer(&h.buf, h.n, &guts.IV, h.count*guts.MaxSIMD, 0)
	for i := 0; i < bits.Len64(h.count); i++ {
		if h.count&(1<<i) != 0 {
			node = guts.ParentNode(h.stack[i], guts.ChainingValue(node), &guts.IV, 0)
		}
	}
	node.Flags |= guts.FlagRoot
	words := guts.CompressNode(node)
	for i := range 8 {
		binary.LittleEndian.PutUint32(sum[4*i:], words[i])
	}
	return sum
}
