package tests

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// laterClock answers all who ask for the time of day, in a command and in all
// that it starts, as if it were later. Nothing else is changed, and no other
// process: the machine's clock stays what it is.
//
// A filter of system calls stops a process where it asks the kernel; who traces
// it answers in the kernel's place. Most programs do not ask the kernel but read
// memory that it shares with them: that is hidden as each program starts, and
// then they all ask.
//
// What the kernel itself stamps stays of today, such as the times of new files.
// They differ between any two builds: what depends on them is found on the same
// day, too. Waits until a time of day, of which builds make none that matter,
// would last longer.
type laterClock struct {
	ahead time.Duration
	began time.Time // its monotonic part goes on: this thread is filtered, too
}

// laterMain is the test binary as `later SECONDS UID COMMAND [ARG]...`. The exit
// status is the command's.
func laterMain(words string, argv []string) int {
	c := &laterClock{began: time.Now()}
	var seconds int64
	var uid uint32
	if _, err := fmt.Sscan(words, &seconds, &uid); err != nil || len(argv) == 0 {
		fmt.Fprintf(os.Stderr, "later: want SECONDS UID in $%s and a command: %v\n", laterVariable, err)
		return laterFailed
	}
	c.ahead = time.Duration(seconds) * time.Second
	status, err := c.run(uid, argv)
	if err != nil {
		fmt.Fprintln(os.Stderr, "later:", err)
		return laterFailed
	}
	return status
}

func (c *laterClock) run(uid uint32, argv []string) (status int, err error) {
	path, err := exec.LookPath(argv[0])
	if err != nil {
		return 0, err
	}
	runtime.LockOSThread() // whose filter the command inherits, and who traces it
	attr := &syscall.ProcAttr{Files: []uintptr{0, 1, 2}, Sys: &syscall.SysProcAttr{Ptrace: true}}
	attr.Env = slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, laterVariable+"=") })
	if uid != uint32(os.Geteuid()) {
		attr.Sys.Credential = &syscall.Credential{Uid: uid, Gid: uid}
	}
	if err := filterClocks(); err != nil {
		return 0, err
	}
	first, err := syscall.ForkExec(path, argv, attr)
	if err != nil {
		return 0, fmt.Errorf("start %s: %w", path, err)
	}
	var ws syscall.WaitStatus
	if _, err := syscall.Wait4(first, &ws, syscall.WALL, nil); err != nil || !ws.Stopped() {
		return 0, fmt.Errorf("trace %s: %v, %#x", path, err, ws)
	}
	hideSharedClock(first)
	if err := seize(first); err != nil {
		return 0, fmt.Errorf("trace %s: %w", path, err)
	}
	return c.follow(first)
}

// seize takes over a process that asked to be traced. By that it is traced with
// its own rights, and a program with more, such as newuidmap, would not get them.
func seize(pid int) error {
	const follow = unix.PTRACE_O_TRACESECCOMP | unix.PTRACE_O_TRACEEXEC | unix.PTRACE_O_TRACEFORK | unix.PTRACE_O_TRACEVFORK |
		unix.PTRACE_O_TRACECLONE | unix.PTRACE_O_EXITKILL
	for _, request := range [][2]uintptr{{unix.PTRACE_DETACH, uintptr(syscall.SIGSTOP)}, {unix.PTRACE_SEIZE, follow}} {
		if _, _, errno := unix.Syscall6(unix.SYS_PTRACE, request[0], uintptr(pid), 0, request[1], 0, 0); errno != 0 {
			return errno
		}
	}
	return syscall.Kill(pid, syscall.SIGCONT)
}

// follow lives until the first process and all that it started have ended.
func (c *laterClock) follow(first int) (status int, err error) {
	for {
		var ws syscall.WaitStatus
		tid, err := syscall.Wait4(-1, &ws, syscall.WALL, nil)
		switch {
		case err == syscall.EINTR:
		case err == syscall.ECHILD:
			return status, nil
		case err != nil:
			return 0, fmt.Errorf("wait: %w", err)
		case ws.Stopped():
			c.stopped(tid, ws)
		case tid == first && ws.Signaled():
			status = 128 + int(ws.Signal())
		case tid == first:
			status = ws.ExitStatus()
		}
	}
}

// stopped does what a stop is for, and lets the process go on. Any may have been
// killed meanwhile; that is seen when it is waited for.
func (c *laterClock) stopped(tid int, ws syscall.WaitStatus) {
	signal := 0
	switch event := int(ws) >> 16; {
	case event == unix.PTRACE_EVENT_SECCOMP:
		c.answer(tid)
	case event == unix.PTRACE_EVENT_EXEC:
		hideSharedClock(tid)
	case event == unix.PTRACE_EVENT_STOP && ws.StopSignal() != syscall.SIGTRAP: // until somebody continues it
		_, _, _ = unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_LISTEN, uintptr(tid), 0, 0, 0, 0)
		return
	case event == 0:
		signal = int(ws.StopSignal())
	}
	_ = syscall.PtraceCont(tid, signal)
}

// answer is the kernel's answer, later. Where it cannot be given, because the
// address is wrong or the process between two users, the kernel answers.
func (c *laterClock) answer(tid int) {
	var regs syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &regs) != nil {
		return
	}
	now := c.began.Add(time.Since(c.began) + c.ahead)
	result, buf := uint64(0), make([]byte, 16)
	binary.NativeEndian.PutUint64(buf, uint64(now.Unix()))
	to := uintptr(regs.Rdi)
	switch regs.Orig_rax {
	case unix.SYS_CLOCK_GETTIME:
		binary.NativeEndian.PutUint64(buf[8:], uint64(now.Nanosecond()))
		to = uintptr(regs.Rsi)
	case unix.SYS_GETTIMEOFDAY:
		binary.NativeEndian.PutUint64(buf[8:], uint64(now.Nanosecond()/1000))
		if regs.Rsi != 0 { // a zone: nobody has set one
			return
		}
	case unix.SYS_TIME:
		result, buf = uint64(now.Unix()), buf[:8]
	}
	if to != 0 {
		if _, err := syscall.PtracePokeData(tid, to, buf); err != nil {
			return
		}
	}
	regs.Orig_rax, regs.Rax = ^uint64(0), result // there is nothing left to call
	_ = syscall.PtraceSetRegs(tid, &regs)        // it may have been killed
}

// hideSharedClock takes the address of the memory shared with the kernel from
// what a new program is told: its stack begins with the arguments, the
// environment and a table of pairs.
func hideSharedClock(tid int) {
	const userCode = 0x33 // of a program of 64 bits
	var regs syscall.PtraceRegs
	if syscall.PtraceGetRegs(tid, &regs) != nil || regs.Cs != userCode {
		return
	}
	word := func(at uint64) uint64 {
		var b [8]byte
		if _, err := syscall.PtracePeekData(tid, uintptr(at), b[:]); err != nil {
			return 0 // it was killed: this ends all loops
		}
		return binary.NativeEndian.Uint64(b[:])
	}
	at := regs.Rsp + 8*(word(regs.Rsp)+2) // behind the arguments and a zero
	for word(at) != 0 {
		at += 8
	}
	for at += 8; word(at) != auxNull; at += 16 {
		if word(at) == auxSharedClock {
			_, _ = syscall.PtracePokeData(tid, uintptr(at), binary.NativeEndian.AppendUint64(nil, auxIgnore))
		}
	}
}

// Of the table of pairs, see getauxval(3).
const (
	auxNull        = 0
	auxIgnore      = 1
	auxSharedClock = 33
)

// filterClocks stops this thread, and what it starts, at each question for the
// time of day, if it is traced.
func filterClocks() error {
	if os.Geteuid() != 0 { // root's programs may be others' with more rights
		if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
			return fmt.Errorf("give up privileges: %w", err)
		}
	}
	const number, arch, argument = 0, 4, 16 // offsets in what a filter sees
	load := func(at uint32) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS, K: at}
	}
	is := func(k uint32, yes, no uint8) unix.SockFilter {
		return unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, K: k, Jt: yes, Jf: no}
	}
	answer := func(k uint32) unix.SockFilter { return unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: k} }
	filter := []unix.SockFilter{
		load(arch), is(unix.AUDIT_ARCH_X86_64, 0, 8),
		load(number), is(unix.SYS_TIME, 7, 0), is(unix.SYS_GETTIMEOFDAY, 6, 0), is(unix.SYS_CLOCK_GETTIME, 0, 4),
		load(argument), is(unix.CLOCK_REALTIME, 3, 0), is(unix.CLOCK_REALTIME_COARSE, 2, 0), is(unix.CLOCK_TAI, 1, 0),
		answer(unix.SECCOMP_RET_ALLOW), answer(unix.SECCOMP_RET_TRACE),
	}
	prog := unix.SockFprog{Len: uint16(len(filter)), Filter: &filter[0]}
	// Not with all threads: the others of this program are not traced.
	if err := unix.Prctl(unix.PR_SET_SECCOMP, unix.SECCOMP_MODE_FILTER, uintptr(unsafe.Pointer(&prog)), 0, 0); err != nil {
		return errors.Join(errors.New("filter system calls"), err)
	}
	return nil
}
