package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// program is what a forked child does: a list of system calls, made in order,
// the last of which is execve. Between fork and execve a child of a Go program
// has no scheduler, no heap and no second thread, so everything is laid out
// beforehand and the child only walks the list. What the list says is what the
// process gets, which is why it is also the place to read that from.
//
// A program may come in two parts: the first ends with waiting for a byte, and
// the second is written, into memory that both share, while the child waits.
//
// The Go runtime's own way to start a process (os/exec) knows nothing of
// bounding sets, no_new_privs, seccomp filters or a pid 1, and a second start of
// the Go runtime to set them from within costs a millisecond and 3 MiB per
// container.
type program struct {
	arena *arena
	steps []step
	names []string // of the steps of all parts, for messages
	fds   []int    // descriptors that stay open until execve
	parts *part    // the last sealed one
	first *part
	mask  []uint64 // the caller's signal mask
	keep  bool     // the arena, for the child goes on in it after its report
}

// part is a sealed list of steps, in the arena.
type part struct {
	steps *step
	n     uintptr
	next  *part
}

// step is one system call. Its result is an error, or is compared with want.
type step struct {
	nr, a1, a2, a3, a4, a5, a6 uintptr
	kind                       stepKind
	want                       uintptr
	buf                        *byte
}

type stepKind uint8

const (
	must     stepKind = iota // an error ends the program
	try                      // an error is of no importance
	equals                   // the result must be want
	absolute                 // buf must then begin with "/"
	forks                    // the parent ends here, and the child goes on
)

// failure is what a child that could not go on reports: which step, and errno.
type failure struct{ index, errno uint32 }

func (p *program) add(name string, nr uintptr, args ...uintptr) *step {
	s := step{nr: nr}
	for i, dst := range []*uintptr{&s.a1, &s.a2, &s.a3, &s.a4, &s.a5, &s.a6} {
		if i < len(args) {
			*dst = args[i]
		}
	}
	p.steps = append(p.steps, s)
	p.names = append(p.names, name)
	return &p.steps[len(p.steps)-1]
}

func (p *program) prctl(name string, option int, args ...uintptr) *step {
	return p.add(name, unix.SYS_PRCTL, append([]uintptr{uintptr(option)}, args...)...)
}

// pointer puts the slice where the child finds it and gives its address there.
func pointer[T any](p *program, s []T) uintptr {
	if len(s) == 0 {
		return 0
	}
	return uintptr(unsafe.Pointer(&place(p.arena, s)[0]))
}

// text is s for the kernel. Who builds a program has refused NUL bytes before.
func (p *program) text(s string) uintptr { return pointer(p, append([]byte(s), 0)) }

// texts is a list for the kernel, as execve takes it.
func (p *program) texts(list []string) uintptr {
	ptrs := make([]uintptr, len(list)+1)
	for i, s := range list {
		ptrs[i] = p.text(s)
	}
	return pointer(p, ptrs)
}

// seal ends a part. The child goes on to it from the one before.
func (p *program) seal() error {
	sealed := place(p.arena, []part{{&place(p.arena, p.steps)[0], uintptr(len(p.steps)), nil}})
	if p.arena.full {
		return fmt.Errorf("arguments and environment: %w", unix.E2BIG)
	}
	if p.first == nil {
		p.first = &sealed[0]
	} else {
		p.parts.next = &sealed[0]
	}
	p.parts, p.steps = &sealed[0], nil
	return nil
}

// open keeps fd open until execve.
func (p *program) open(fd int) uintptr {
	p.fds = append(p.fds, fd)
	return uintptr(fd)
}

// closeAll closes every descriptor from first on but those of the program.
func (p *program) closeAll(first int) {
	keep := slices.Clone(p.fds)
	slices.Sort(keep)
	for _, fd := range keep {
		if fd > first {
			p.add("close descriptors", unix.SYS_CLOSE_RANGE, uintptr(first), uintptr(fd-1), 0)
		}
		first = max(first, fd+1)
	}
	p.add("close descriptors", unix.SYS_CLOSE_RANGE, uintptr(first), uintptr(^uint32(0)), 0)
}

// sigaction is the kernel's struct, not libc's.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

const lastSignal = 64

// resetSignals gives back the default action to each signal that the Go runtime
// handles, so that none of its handlers can run in the child. What the caller
// ignores stays ignored, as everywhere in Unix.
func (p *program) resetSignals() {
	def := pointer(p, make([]sigaction, 1))
	for sig := uintptr(1); sig <= lastSignal; sig++ {
		var old sigaction
		_, _, e := syscall.RawSyscall6(unix.SYS_RT_SIGACTION, sig, 0, uintptr(unsafe.Pointer(&old)), 8, 0, 0)
		if e == 0 && old.handler > 1 {
			p.add("reset signals", unix.SYS_RT_SIGACTION, sig, def, 0, 8)
		}
	}
}

// child is a process that runs a program.
type child struct {
	pid     int
	report  *os.File // EOF once execve succeeded, a failure otherwise
	program *program
}

// stepError says which step of a child's program the kernel refused.
type stepError struct {
	step string
	err  error
}

func (e *stepError) Error() string { return e.step + ": " + e.err.Error() }
func (e *stepError) Unwrap() error { return e.err }

// start forks a child that runs the program that build lays out. flags are those
// of clone(2); CLONE_VM is a wish. The calling goroutine must be locked to its
// thread, which is the child's parent.
func start(flags uintptr, build func(p *program)) (*child, error) {
	r, w, err := highPipe()
	if err != nil {
		return nil, err
	}
	defer w.Close()
	p := &program{}
	if p.arena, err = newArena(); err != nil {
		return nil, errors.Join(err, r.Close())
	}
	p.mask = place(p.arena, []uint64{0})
	report := p.open(int(w.Fd()))
	build(p)
	if err = p.seal(); err == nil {
		var pid uintptr
		var errno syscall.Errno
		if pid, errno = p.fork(flags, report); errno == 0 {
			return &child{pid: int(pid), report: r, program: p}, nil
		}
		err = errno
	}
	p.arena.free()
	return nil, errors.Join(fmt.Errorf("start process: %w", err), r.Close())
}

// started waits until the child has executed its program to the end. Where it
// has not, the child is reaped and the error is a *stepError.
func (c *child) started() error {
	defer c.report.Close()
	if !c.program.keep {
		defer c.program.arena.free()
	}
	var buf [8]byte
	_, err := io.ReadFull(c.report, buf[:])
	if err == io.EOF {
		return nil
	}
	var status unix.WaitStatus
	_, werr := wait(c.pid, &status, nil)
	if err != nil || werr != nil {
		return fmt.Errorf("start process: %w", errors.Join(err, werr))
	}
	index, errno := binary.NativeEndian.Uint32(buf[:4]), binary.NativeEndian.Uint32(buf[4:])
	return &stepError{stepName(c.program.names, index), syscall.Errno(errno)}
}

// stepName is the name of the step that a report is about.
func stepName(names []string, index uint32) string {
	switch {
	case index == thresholdStep:
		return executeName
	case int64(index) < int64(len(names)):
		return names[index]
	}
	return "start"
}

// wait is wait4 without interruptions.
func wait(pid int, status *unix.WaitStatus, usage *unix.Rusage) (int, error) {
	for {
		got, err := unix.Wait4(pid, status, 0, usage)
		if err != unix.EINTR {
			return got, err
		}
	}
}

// fork blocks all signals around the fork, for the parent's handlers must not
// run in the child, which unblocks them just before execve.
func (p *program) fork(flags, report uintptr) (pid uintptr, errno syscall.Errno) {
	all := ^uint64(0)
	syscall.ForkLock.Lock()
	defer syscall.ForkLock.Unlock()
	setMask(&all, &p.mask[0])
	if flags |= uintptr(unix.SIGCHLD); canShare && flags&unix.CLONE_VM != 0 {
		stack := p.arena.alloc(childStack)
		top := uintptr(unsafe.Pointer(&stack[0])) + childStack
		if pid = cloneSharing(flags, top, p.first, report); int(pid) < 0 {
			errno = syscall.Errno(-int(pid))
		}
	} else {
		pid, errno = forkAndWalk(flags&^unix.CLONE_VM, p.first, report)
	}
	setMask(&p.mask[0], nil)
	return pid, errno
}

// childStack is more than walk and its system calls take.
const childStack = 16 << 10

// unmask gives the process the signal mask of the caller.
func (p *program) unmask() {
	p.add("unblock signals", unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK, uintptr(unsafe.Pointer(&p.mask[0])), 0, 8)
}

func setMask(set, old *uint64) {
	syscall.RawSyscall6(unix.SYS_RT_SIGPROCMASK, unix.SIG_SETMASK,
		uintptr(unsafe.Pointer(set)), uintptr(unsafe.Pointer(old)), 8, 0, 0)
}

// forkAndWalk forks; the child never returns.
//
//go:norace
//go:nosplit
func forkAndWalk(flags uintptr, p *part, report uintptr) (pid uintptr, errno syscall.Errno) {
	pid, _, errno = syscall.RawSyscall6(unix.SYS_CLONE, flags, 0, 0, 0, 0, 0)
	if errno == 0 && pid == 0 {
		walk(p, report)
	}
	return pid, errno
}

// walk is all that a child executes of ours. It may not grow the stack, call
// what does, or allocate: hence nosplit, raw system calls and pointers.
//
//go:norace
//go:nosplit
func walk(p *part, report uintptr) {
	var f failure
walk:
	for ; p != nil; p = p.next {
		for i := uintptr(0); i < p.n; i++ {
			s := (*step)(unsafe.Add(unsafe.Pointer(p.steps), i*unsafe.Sizeof(*p.steps)))
			r, _, e := syscall.RawSyscall6(s.nr, s.a1, s.a2, s.a3, s.a4, s.a5, s.a6)
			switch {
			case s.kind == try:
			case e != 0:
				f.errno = uint32(e)
				break walk
			case s.kind == equals && r != s.want:
				f.errno = uint32(unix.EPIPE)
				break walk
			case s.kind == forks && r != 0:
				syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 0, 0, 0, 0, 0, 0)
			case s.kind == absolute && *s.buf != '/':
				f.errno = uint32(unix.EXDEV)
				break walk
			}
			f.index++
		}
	}
	syscall.RawSyscall6(unix.SYS_WRITE, report, uintptr(unsafe.Pointer(&f)), unsafe.Sizeof(f), 0, 0, 0)
	for {
		syscall.RawSyscall6(unix.SYS_EXIT_GROUP, 127, 0, 0, 0, 0, 0)
	}
}

// highPipe is a pipe whose ends lie above the standard descriptors and those
// that a child opens after it has closed all others.
func highPipe() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, fmt.Errorf("make pipe: %w", err)
	}
	if err := raise(fds[:]); err != nil {
		return nil, nil, err
	}
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}

// raise moves low descriptors up.
func raise(fds []int) error {
	for i, fd := range fds {
		if fd > 9 {
			continue
		}
		high, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 10)
		if err != nil {
			return fmt.Errorf("make pipe: %w", err)
		}
		unix.Close(fd)
		fds[i] = high
	}
	return nil
}
