// SPDX-License-Identifier: Apache-2.0

// Package blake is BLAKE3-256 for many small inputs: it works serially, in place
// and without allocation. The library's own hasher starts goroutines for every
// write beyond 1 KiB, which costs a file of 4 KiB six times what hashing it does;
// whoever has many files hashes them side by side anyway. The compression
// function is the library's; a test holds the sums equal.
package blake

import (
	"encoding/binary"
	"hash"
	"math/bits"

	"lukechampine.com/blake3/guts"
)

// segment is how much one vector instruction sequence compresses at a time.
const segment = guts.MaxSIMD * guts.ChunkSize

// Hasher is a hash.Hash. Its zero value is ready for use.
type Hasher struct {
	buf   [segment]byte
	n     int           // bytes in buf; a full buf waits until more follows
	count uint64        // segments compressed
	stack [64][8]uint32 // roots of subtrees: one for each bit of count that is set
}

var _ hash.Hash = (*Hasher)(nil)

// Size is the length of a sum.
func (h *Hasher) Size() int { return 32 }

// BlockSize is the length of the pieces that are hashed one by one.
func (h *Hasher) BlockSize() int { return guts.BlockSize }

// Reset makes it as new.
func (h *Hasher) Reset() { h.n, h.count = 0, 0 }

// Write never fails.
func (h *Hasher) Write(p []byte) (int, error) {
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
func (h *Hasher) push(buf *[segment]byte) {
	node := guts.CompressBuffer(buf, segment, &guts.IV, h.count*guts.MaxSIMD, 0)
	cv := guts.ChainingValue(node)
	i := 0
	for ; h.count&(1<<i) != 0; i++ {
		cv = guts.ChainingValue(guts.ParentNode(h.stack[i], cv, &guts.IV, 0))
	}
	h.stack[i] = cv
	h.count++
}

// Sum appends the hash of what was written so far to b.
func (h *Hasher) Sum(b []byte) []byte {
	sum := h.Sum256()
	return append(b, sum[:]...)
}

// Sum256 is the hash of what was written so far.
func (h *Hasher) Sum256() (sum [32]byte) {
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
