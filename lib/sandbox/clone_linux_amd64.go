package sandbox

// canShare says that a child can share memory with its parent until execve, as
// after vfork(2), but without stopping it: no page table is copied, and no page
// afterwards. Copying them takes half a millisecond per child.
const canShare = true

// cloneSharing makes a child on a stack of its own that walks p. A negative pid
// is an errno.
//
//go:noescape
func cloneSharing(flags, stack uintptr, p *part, report uintptr) (pid uintptr)
