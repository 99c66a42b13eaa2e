package sandbox

import (
	"fmt"
	"unsafe"

	"golang.org/x/sys/unix"
)

// arena is memory that a parent and its forked child share, at the same address
// in both: what the parent writes after the fork, the child reads. It is not
// Go's, so nothing moves it or frees it before its time.
type arena struct {
	mem  []byte
	used int
	full bool
}

// arenaSize is more than the kernel takes as arguments and environment. Pages
// that are not written to cost nothing.
const arenaSize = 8 << 20

func newArena() (*arena, error) {
	mem, err := unix.Mmap(-1, 0, arenaSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return nil, fmt.Errorf("map memory: %w", err)
	}
	return &arena{mem: mem}, nil
}

// free gives the memory back. The child has its own hold on it.
func (a *arena) free() { _ = unix.Munmap(a.mem) }

// alloc gives n zeroed bytes. When there is no more it gives some anyway and
// remembers; what was laid out is then never used.
func (a *arena) alloc(n int) []byte {
	start := (a.used + 15) &^ 15
	if n > len(a.mem)-start {
		a.full = true
		return make([]byte, n)
	}
	a.used = start + n
	return a.mem[start:a.used:a.used]
}

// place copies s into the arena. What s points to must be there already.
func place[T any](a *arena, s []T) []T {
	if len(s) == 0 {
		return nil
	}
	size := len(s) * int(unsafe.Sizeof(s[0]))
	mem := a.alloc(size)
	out := unsafe.Slice((*T)(unsafe.Pointer(&mem[0])), len(s))
	copy(out, s)
	return out
}
