package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	keyctlJoinSessionKeyring = 1
	executeName              = "execute"
)

// launch is a process between its fork and its execution, with our ends of what
// it is spoken to through.
type launch struct {
	*child
	ready  *os.File // a byte on it lets the process go on
	socket int      // for descriptors, both ways
	begun  []int    // file systems that the process began
	theirs int      // the number of the socket in the process

	announces bool // its end, to who listens
}

// close lets the process go that still waits, which then fails.
func (l *launch) close() {
	l.ready.Close()
	closeAll(append(l.begun, l.socket))
	l.begun, l.socket = nil, -1
}

// firstFree is the lowest descriptor that the process has not, once all but
// those that it keeps are closed.
func (p *process) firstFree() int { return 3 + p.preserve }

// start forks the process, which waits for go on. What begin names are file
// systems that it begins in its namespaces.
func (p *process) start(begin []string) (_ *launch, err error) {
	r, w, err := highPipe()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	l := &launch{ready: w, socket: -1, announces: p.announces}
	stdio, dups, err := p.streams()
	defer closeAll(dups)
	if err == nil {
		l.socket, l.theirs, err = highSockets()
	}
	flags, child := uintptr(unix.CLONE_VM), (*int32)(nil)
	if p.users != nil {
		flags = 0 // it forks, and two cannot be on one stack
	}
	var door *os.File // until the fork, which hands it on
	if err == nil {
		l.child, err = start(flags, func(prog *program) {
			child = &place(prog.arena, []int32{0})[0]
			door = p.openThreshold(prog)
			p.begin(prog, stdio, int(r.Fd()), l.theirs, begin, child)
		})
		unix.Close(l.theirs)
		door.Close()
	}
	if err != nil {
		l.close()
		return nil, err
	}
	if p.users != nil {
		if err := p.settleUsers(l, child); err != nil {
			l.close()
			return nil, errors.Join(l.started(), err)
		}
	}
	for range begin {
		fd, err := receive(l.socket)
		if err != nil { // the child's report has the reason
			l.close()
			return nil, errors.Join(l.started(), err)
		}
		l.begun = append(l.begun, fd)
	}
	return l, nil
}

// streams are the numbers of the standard streams, and those of them that were
// made for it.
func (p *process) streams() (stdio [3]int, dups []int, err error) {
	for i, f := range p.stdio {
		stdio[i] = i
		if f == nil || int(f.Fd()) == i {
			continue
		}
		if stdio[i], err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 10); err != nil {
			return stdio, dups, fmt.Errorf("start process: %w", err)
		}
		dups = append(dups, stdio[i])
	}
	return stdio, dups, nil
}

// begin lays out the first part of the process's program, up to where it waits.
// From here on nothing of ours is open in it but pipes, so that no path of the
// container, /proc/self/fd among them, can lead outside (CVE-2024-21626).
func (p *process) begin(prog *program, stdio [3]int, ready, socket int, begin []string, child *int32) {
	prog.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	prog.resetSignals()
	for i, fd := range stdio {
		if fd != i {
			prog.add("set standard streams", unix.SYS_DUP3, uintptr(fd), uintptr(i), 0)
		}
	}
	free := p.firstFree()
	for fd := 3; fd < free; fd++ {
		prog.add(fmt.Sprintf("keep descriptor %d", fd), unix.SYS_FCNTL, uintptr(fd), unix.F_SETFD, 0)
	}
	prog.open(ready)
	prog.open(socket)
	if p.gate >= 0 {
		prog.open(p.gate)
	}
	if p.users != nil {
		p.makeUsers(prog, socket, child)
	}
	if p.enter >= 0 {
		prog.add("enter user namespace", unix.SYS_SETNS, uintptr(p.enter), unix.CLONE_NEWUSER)
	}
	if p.root >= 0 {
		prog.add("change root", unix.SYS_FCHDIR, uintptr(p.root))
		prog.add("change root", unix.SYS_CHROOT, prog.text("."))
	}
	prog.closeAll(free)
	for _, fstype := range begin {
		fs := prog.add("open "+fstype, unix.SYS_FSOPEN, prog.text(fstype), unix.FSOPEN_CLOEXEC)
		fs.kind, fs.want = equals, uintptr(free)
		prog.send(socket, free)
		prog.add("close "+fstype, unix.SYS_CLOSE, uintptr(free))
	}
	if !p.terminal && !p.announces {
		prog.add("close socket", unix.SYS_CLOSE, uintptr(socket))
	}
	s := prog.add("wait for the start", unix.SYS_READ, uintptr(ready), pointer(prog, make([]byte, 1)), 1)
	s.kind, s.want = equals, 1
}

// finish lays out the rest. The order is the security of it: limits and the
// directory come while it may still set them, then the user, then what cannot be
// taken back.
func (p *process) finish(l *launch) error {
	if p.unfit != nil {
		return p.unfit
	}
	prog := l.program
	if p.terminal {
		p.takeTerminal(prog, l.theirs)
	} else if p.ownTTY {
		prog.add("make session", unix.SYS_SETSID).kind = try
	}
	if p.cgroupNS {
		prog.add("make cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	}
	if !p.keyring {
		prog.add("join keyring", unix.SYS_KEYCTL, keyctlJoinSessionKeyring, 0).kind = try
	}
	for i := range p.rlimits {
		limit := pointer(prog, []unix.Rlimit{p.rlimits[i].limit})
		prog.add("set resource limits", unix.SYS_PRLIMIT64, 0, p.rlimits[i].resource, limit, 0)
	}
	p.schedule.apply(prog)
	prog.add("set umask", unix.SYS_UMASK, uintptr(p.umask))
	prog.add("enter working directory "+p.cwd, unix.SYS_CHDIR, prog.text(p.cwd))
	cwd := place(prog.arena, make([]byte, unix.PathMax))
	inside := prog.add("verify working directory "+p.cwd, unix.SYS_GETCWD, uintptr(unsafe.Pointer(&cwd[0])), unix.PathMax)
	inside.kind, inside.buf = absolute, &cwd[0]
	if p.announces && !p.noNew {
		p.announce(prog, l.theirs)
	}
	if p.filter != nil && !p.noNew {
		p.release(prog)
		prog.seccomp(p.filter)
	}
	prog.become(p.id, p.caps)
	prog.unmask()
	if p.noNew {
		prog.prctl("set no_new_privs", unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if p.announces {
			p.announce(prog, l.theirs)
		}
	}
	if p.filter == nil || p.noNew {
		p.release(prog)
	}
	if !p.outlives {
		prog.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	}
	if p.filter != nil && p.noNew {
		prog.seccomp(p.filter)
	}
	p.execute(prog)
	return prog.seal()
}

// release parts the process from its maker, where it is to outlive it, and has
// it wait at the gate, where it has one. That comes as late as the filter allows:
// what a filter says about the calls of waiting must not matter.
func (p *process) release(prog *program) {
	defer p.keepReport(prog)
	if !p.outlives {
		return
	}
	prog.prctl("leave the parent", unix.PR_SET_PDEATHSIG, 0)
	if p.gate < 0 {
		return
	}
	prog.unmask()
	prog.keep = true
	report, free := uintptr(prog.fds[0]), uintptr(p.firstFree())
	prog.add("end the report", unix.SYS_CLOSE, report)
	prog.receive("wait to be started", p.gate)
	prog.add("take up the report", unix.SYS_DUP3, free, report, unix.O_CLOEXEC)
	prog.add("take up the report", unix.SYS_CLOSE, free)
	prog.add("close gate", unix.SYS_CLOSE, uintptr(p.gate))
}

// send passes a descriptor over a socket.
func (p *program) send(socket, fd int) *step {
	msg := p.message()
	copy(unsafe.Slice(msg.Control, msg.Controllen), unix.UnixRights(fd))
	return p.add("send descriptor", unix.SYS_SENDMSG, uintptr(socket), uintptr(unsafe.Pointer(msg)), 0)
}

// receive takes a descriptor from a socket: it is the lowest that is free.
func (p *program) receive(name string, socket int) {
	s := p.add(name, unix.SYS_RECVMSG, uintptr(socket), uintptr(unsafe.Pointer(p.message())), unix.MSG_CMSG_CLOEXEC)
	s.kind, s.want = equals, 1
}

// message has room for a byte and a descriptor.
func (p *program) message() *unix.Msghdr {
	data := place(p.arena, []byte{0})
	rights := place(p.arena, make([]byte, unix.CmsgSpace(4)))
	iov := place(p.arena, []unix.Iovec{{Base: &data[0]}})
	iov[0].SetLen(1)
	msg := unix.Msghdr{Iov: &iov[0], Iovlen: 1, Control: &rights[0]}
	msg.SetControllen(len(rights))
	return &place(p.arena, []unix.Msghdr{msg})[0]
}

// sendFile passes a descriptor over a socket of ours, with a name for it.
func sendFile(socket int, name string, fd int) error {
	for {
		err := unix.Sendmsg(socket, []byte(name), unix.UnixRights(fd), nil, unix.MSG_NOSIGNAL)
		if err != unix.EINTR {
			return err
		}
	}
}

// receive takes a descriptor from a socket.
func receive(socket int) (int, error) {
	control := make([]byte, unix.CmsgSpace(4))
	for {
		n, cn, _, _, err := unix.Recvmsg(socket, make([]byte, 1), control, unix.MSG_CMSG_CLOEXEC)
		if err == unix.EINTR {
			continue
		}
		if err != nil || n == 0 {
			return -1, errors.Join(err, io.ErrUnexpectedEOF)
		}
		messages, err := unix.ParseSocketControlMessage(control[:cn])
		if err != nil || len(messages) != 1 {
			return -1, errors.Join(err, io.ErrUnexpectedEOF)
		}
		fds, err := unix.ParseUnixRights(&messages[0])
		if err != nil || len(fds) != 1 {
			return -1, errors.Join(err, io.ErrUnexpectedEOF)
		}
		return fds[0], nil
	}
}

// highSockets are a pair of connected sockets above the standard descriptors.
func highSockets() (ours, theirs int, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, -1, fmt.Errorf("make sockets: %w", err)
	}
	err = raise(fds[:])
	return fds[0], fds[1], err
}
