package sandbox

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// Process 1 of a container has two duties: to be there, so that orphans have a
// parent, and to have them reaped. With SIGCHLD ignored the kernel reaps them by
// itself, an ignored signal stays ignored over execve, and so what remains is to
// sleep: one system call in a loop. That program is written out below in machine
// code and put in a sealed memory file. It costs one page, starts at once, and
// /proc/1/exe leads to nothing that a container could overwrite or even read:
// an init that is the runtime's own binary is how CVE-2019-5736 came about.
//
// Signals are not its business: the command is a child of the program outside,
// which forwards them to it and gets its exact status without a messenger.

// sleeper is "again: ppoll(NULL, 0, NULL, NULL, 0); goto again" or the like.
var sleeper = map[string]struct {
	machine uint16 // e_machine
	code    []byte
}{
	"amd64": {62, []byte{
		0x6a, 0x22, // push 34 (pause)
		0x58,       // pop rax
		0x0f, 0x05, // syscall
		0xeb, 0xf9, // jmp to the push
	}},
	"arm64": {183, []byte{
		0x00, 0x00, 0x80, 0xd2, // mov x0, #0
		0x01, 0x00, 0x80, 0xd2, // mov x1, #0
		0x02, 0x00, 0x80, 0xd2, // mov x2, #0
		0x03, 0x00, 0x80, 0xd2, // mov x3, #0
		0x04, 0x00, 0x80, 0xd2, // mov x4, #0
		0x28, 0x09, 0x80, 0xd2, // mov x8, #73 (ppoll)
		0x01, 0x00, 0x00, 0xd4, // svc #0
		0xf9, 0xff, 0xff, 0x17, // b to the first
	}},
}

const (
	elfHeaderSize  = 64
	elfSegmentSize = 56
	initAddress    = 0x10000
)

// elfImage is the smallest static program around code: a header, one segment
// that is read and executed, and the request for a stack that is not.
func elfImage(machine uint16, code []byte) []byte {
	const head = elfHeaderSize + 2*elfSegmentSize
	le, b := binary.LittleEndian, make([]byte, 0, head+len(code))
	b = append(b, 0x7f, 'E', 'L', 'F', 2, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0) // 64 bits, little endian
	b = le.AppendUint16(b, 2)                                              // executable
	b = le.AppendUint16(b, machine)
	b = le.AppendUint32(b, 1)
	b = le.AppendUint64(b, initAddress+head) // entry
	b = le.AppendUint64(b, elfHeaderSize)    // program headers
	b = le.AppendUint64(b, 0)                // no section headers
	b = le.AppendUint32(b, 0)
	for _, v := range []uint16{elfHeaderSize, elfSegmentSize, 2, 0, 0, 0} {
		b = le.AppendUint16(b, v)
	}
	size := uint64(head + len(code))
	b = appendSegment(b, 1, 5, initAddress, size, 0x1000)
	b = appendSegment(b, 0x6474e551, 6, 0, 0, 16) // GNU_STACK
	return append(b, code...)
}

func appendSegment(b []byte, kind, flags uint32, addr, size, align uint64) []byte {
	le := binary.LittleEndian
	b = le.AppendUint32(b, kind)
	b = le.AppendUint32(b, flags)
	for _, v := range []uint64{0, addr, addr, size, size, align} {
		b = le.AppendUint64(b, v)
	}
	return b
}

// initFile makes the sealed memory file. Its mode has no read bit: the kernel
// then holds the process undumpable, so nobody in the container may trace it.
func initFile() (*os.File, error) {
	prog, ok := sleeper[runtime.GOARCH]
	if !ok {
		return nil, fmt.Errorf("start init: there is none for %s: run with --no-init", runtime.GOARCH)
	}
	f, err := sealedProgram("docksmith-init", elfImage(prog.machine, prog.code), 0o111)
	if err != nil {
		return nil, fmt.Errorf("start init: %w", err)
	}
	return f, nil
}

// sealedProgram puts a program in a memory file that nobody can change.
func sealedProgram(name string, image []byte, mode os.FileMode) (*os.File, error) {
	const base = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, base|unix.MFD_EXEC)
	if err == unix.EINVAL { // before Linux 6.3
		fd, err = unix.MemfdCreate(name, base)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	fds := []int{fd}
	if err := raise(fds); err != nil {
		return nil, err
	}
	fd = fds[0]
	f := os.NewFile(uintptr(fd), name)
	_, err = f.Write(image)
	err = errors.Join(err, f.Chmod(mode))
	const seals = unix.F_SEAL_SEAL | unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_WRITE
	if _, serr := unix.FcntlInt(uintptr(fd), unix.F_ADD_SEALS, seals); serr != nil {
		err = errors.Join(err, serr)
	}
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}

// startInit starts process 1 in the pid namespace that the calling thread makes
// children in. It has no capability, no descriptor, and a system call filter
// that leaves it nothing but its sleep.
func startInit() (*child, error) {
	f, err := initFile()
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return start(unix.CLONE_VM, func(p *program) {
		exe := p.open(int(f.Fd()))
		p.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
		p.resetSignals()
		ignore := pointer(p, []sigaction{{handler: 1}})
		p.add("ignore children", unix.SYS_RT_SIGACTION, uintptr(unix.SIGCHLD), ignore, 0, 8)
		p.closeAll(0)
		p.add("change directory", unix.SYS_CHDIR, p.text("/"))
		p.add("make session", unix.SYS_SETSID)
		p.dropAllCapabilities()
		p.prctl("set no_new_privs", unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		// A kernel without seccomp gives what --no-seccomp asked for; a
		// container that wants a filter fails at its own.
		p.seccomp(sleeperFilter()).kind = try
		argv, envp := p.texts([]string{"docksmith-init"}), p.texts(nil)
		p.add("execute init", unix.SYS_EXECVEAT, exe, p.text(""), argv, envp, unix.AT_EMPTY_PATH)
	})
}

// sleeperFilter kills process 1 on any system call but those that its start and
// its sleep take.
func sleeperFilter() []unix.SockFilter {
	allowed := []uint32{unix.SYS_PPOLL, unix.SYS_RESTART_SYSCALL, unix.SYS_EXECVEAT, unix.SYS_WRITE, unix.SYS_EXIT_GROUP}
	if runtime.GOARCH == "amd64" {
		allowed[0] = 34 // pause, which arm64 has not
	}
	f := []unix.SockFilter{{Code: bpfLoad, K: offsetNumber}}
	for i, nr := range allowed {
		f = append(f, unix.SockFilter{Code: bpfJumpEqual, Jt: uint8(len(allowed) - i), K: nr})
	}
	return append(f,
		unix.SockFilter{Code: bpfReturn, K: retKillProcess},
		unix.SockFilter{Code: bpfReturn, K: retAllow})
}

// seccomp adds the step that loads a filter.
func (p *program) seccomp(filter []unix.SockFilter) *step {
	code := place(p.arena, filter)
	fprog := pointer(p, []unix.SockFprog{{Len: uint16(len(code)), Filter: &code[0]}})
	return p.add("load seccomp filter", unix.SYS_SECCOMP, seccompSetModeFilter, 0, fprog)
}
