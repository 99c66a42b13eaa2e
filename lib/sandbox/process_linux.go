package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"strings"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// process is the container's command with all that it is to be.
type process struct {
	path     string
	argv     []string
	env      []string
	cwd      string
	id       identity
	caps     capSets
	rlimits  []rlimit
	umask    uint32
	filter   []unix.SockFilter // nil without seccomp
	noNew    bool              // no_new_privs
	cgroupNS bool
	ownTTY   bool // in a session of its own, without the caller's terminal
	stdio    [3]*os.File
}

type rlimit struct {
	resource uintptr
	limit    unix.Rlimit
}

var rlimitNames = map[string]uintptr{
	"RLIMIT_CPU": unix.RLIMIT_CPU, "RLIMIT_FSIZE": unix.RLIMIT_FSIZE, "RLIMIT_DATA": unix.RLIMIT_DATA,
	"RLIMIT_STACK": unix.RLIMIT_STACK, "RLIMIT_CORE": unix.RLIMIT_CORE, "RLIMIT_RSS": unix.RLIMIT_RSS,
	"RLIMIT_NPROC": unix.RLIMIT_NPROC, "RLIMIT_NOFILE": unix.RLIMIT_NOFILE, "RLIMIT_MEMLOCK": unix.RLIMIT_MEMLOCK,
	"RLIMIT_AS": unix.RLIMIT_AS, "RLIMIT_LOCKS": unix.RLIMIT_LOCKS, "RLIMIT_SIGPENDING": unix.RLIMIT_SIGPENDING,
	"RLIMIT_MSGQUEUE": unix.RLIMIT_MSGQUEUE, "RLIMIT_NICE": unix.RLIMIT_NICE, "RLIMIT_RTPRIO": unix.RLIMIT_RTPRIO,
	"RLIMIT_RTTIME": unix.RLIMIT_RTTIME,
}

// defaultNoFile is the soft limit that Linux and init systems give: programs
// that loop over all possible descriptors, or use select, count on it.
const defaultNoFile = 1024

func readRlimits(list []specs.POSIXRlimit) ([]rlimit, error) {
	var out []rlimit
	files := false
	for _, l := range list {
		r, ok := rlimitNames[l.Type]
		if !ok {
			return nil, fmt.Errorf("unknown resource limit %q", l.Type)
		}
		files = files || r == unix.RLIMIT_NOFILE
		out = append(out, rlimit{r, unix.Rlimit{Cur: l.Soft, Max: l.Hard}})
	}
	var now unix.Rlimit
	if !files && unix.Getrlimit(unix.RLIMIT_NOFILE, &now) == nil && now.Cur > defaultNoFile {
		// The Go runtime raised the soft limit for us; the command gets the usual.
		out = append(out, rlimit{unix.RLIMIT_NOFILE, unix.Rlimit{Cur: defaultNoFile, Max: now.Max}})
	}
	return out, nil
}

// readProcess collects what does not depend on the root.
func (c *container) readProcess() (*process, error) {
	sp := c.spec.Process
	p := &process{
		argv: sp.Args, env: sp.Env, cwd: path.Clean(sp.Cwd), umask: 0o022, noNew: sp.NoNewPrivileges,
		cgroupNS: hasNamespace(c.spec, specs.CgroupNamespace), stdio: [3]*os.File{c.opts.Stdin, c.opts.Stdout, c.opts.Stderr},
	}
	var err error
	if p.caps, err = parseCapSets(sp.Capabilities); err != nil {
		return nil, err
	}
	if p.rlimits, err = readRlimits(sp.Rlimits); err != nil {
		return nil, err
	}
	if sp.User.Umask != nil {
		p.umask = *sp.User.Umask
	}
	p.ownTTY = !isTerminal(p.stdin())
	return p, c.addSecretEnv(p)
}

func (p *process) stdin() int {
	if p.stdio[0] != nil {
		return int(p.stdio[0].Fd())
	}
	return 0
}

func isTerminal(fd int) bool {
	_, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	return err == nil
}

// settle finds the filter, the user, the home directory and the command. It runs
// in the container's root.
func (c *container) settle(p *process) (err error) {
	if !c.opts.NoSeccomp {
		if p.filter, err = c.filter(); err != nil {
			return err
		}
	}
	hasHome := false
	for _, e := range p.env {
		hasHome = hasHome || strings.HasPrefix(e, "HOME=")
	}
	var home string
	if p.id, home, err = c.identify(c.places.root, !hasHome); err != nil {
		return err
	}
	if !hasHome {
		if home == "" {
			home = "/"
		}
		p.env = append(p.env[:len(p.env):len(p.env)], "HOME="+home)
	}
	if err := c.places.root.MkdirAll(p.cwd, 0o755); err != nil {
		return fmt.Errorf("make working directory: %w", err)
	}
	p.path, err = findCommand(p.argv[0], p.env, p.cwd)
	return err
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// findCommand searches the PATH as a shell would, in the container's root.
func findCommand(name string, env []string, cwd string) (string, error) {
	dirs := defaultPath
	for _, e := range env {
		if v, ok := strings.CutPrefix(e, "PATH="); ok {
			dirs = v
		}
	}
	candidates := []string{name}
	if !strings.Contains(name, "/") {
		candidates = nil
		for _, d := range strings.Split(dirs, ":") {
			candidates = append(candidates, path.Join(d, name))
		}
	}
	verdict := fmt.Errorf("%q: %w", name, ErrCommandNotFound)
	for _, f := range candidates {
		if !path.IsAbs(f) {
			f = path.Join(cwd, f)
		}
		var st unix.Stat_t
		switch err := unix.Stat(f, &st); {
		case name == "" || err == unix.ENOENT || err == unix.ENOTDIR:
		case err != nil:
			verdict = fmt.Errorf("%q: %w: %w", name, ErrCommandNotInvocable, err)
		case st.Mode&unix.S_IFMT != unix.S_IFREG:
			verdict = fmt.Errorf("%q: %w: not a regular file", name, ErrCommandNotInvocable)
		case st.Mode&0o111 == 0:
			verdict = fmt.Errorf("%q: %w: no permission to execute it", name, ErrCommandNotInvocable)
		default:
			return f, nil
		}
	}
	return "", verdict
}

// start forks the process, which waits for go on. proc is -1, or what it began
// as the proc of its pid namespace.
func (p *process) start(wantProc bool) (c *child, ready *os.File, proc int, err error) {
	r, w, err := highPipe()
	if err != nil {
		return nil, nil, -1, err
	}
	defer r.Close()
	var stdio [3]int
	for i, f := range p.stdio {
		stdio[i] = i
		if f == nil || int(f.Fd()) == i {
			continue
		}
		if stdio[i], err = unix.FcntlInt(f.Fd(), unix.F_DUPFD_CLOEXEC, 10); err != nil {
			w.Close()
			return nil, nil, -1, fmt.Errorf("start process: %w", err)
		}
		defer unix.Close(stdio[i])
	}
	ours, theirs, err := highSockets()
	if err != nil {
		w.Close()
		return nil, nil, -1, err
	}
	defer unix.Close(ours)
	c, err = start(unix.CLONE_VM, func(prog *program) { p.begin(prog, stdio, int(r.Fd()), theirs, wantProc) })
	unix.Close(theirs)
	if err != nil {
		w.Close()
		return nil, nil, -1, err
	}
	proc = -1
	if wantProc {
		if proc, err = receive(ours); err != nil { // the child's report has the reason
			w.Close()
			return nil, nil, -1, c.started()
		}
	}
	return c, w, proc, nil
}

const (
	keyctlJoinSessionKeyring = 1
	executeName              = "execute"
	firstFree                = 3 // descriptor, when all but the standard ones are closed
)

// begin lays out the first part of the process's program, up to where it waits.
// From here on nothing of ours is open in it but pipes, so that no path of the
// container, /proc/self/fd among them, can lead outside (CVE-2024-21626).
func (p *process) begin(prog *program, stdio [3]int, ready, socket int, wantProc bool) {
	prog.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	prog.resetSignals()
	for i, fd := range stdio {
		if fd != i {
			prog.add("set standard streams", unix.SYS_DUP3, uintptr(fd), uintptr(i), 0)
		}
	}
	prog.open(ready)
	prog.open(socket)
	prog.closeAll(firstFree)
	if wantProc {
		fs := prog.add("open proc", unix.SYS_FSOPEN, prog.text("proc"), unix.FSOPEN_CLOEXEC)
		fs.kind, fs.want = equals, firstFree
		prog.send(socket, firstFree)
		prog.add("close proc", unix.SYS_CLOSE, firstFree)
	}
	prog.add("close socket", unix.SYS_CLOSE, uintptr(socket))
	s := prog.add("wait for the start", unix.SYS_READ, uintptr(ready), pointer(prog, make([]byte, 1)), 1)
	s.kind, s.want = equals, 1
}

// finish lays out the rest. The order is the security of it: limits and the
// directory come while it may still set them, then the user, then what cannot be
// taken back.
func (p *process) finish(prog *program) error {
	if p.ownTTY {
		prog.add("make session", unix.SYS_SETSID).kind = try
	}
	if p.cgroupNS {
		prog.add("make cgroup namespace", unix.SYS_UNSHARE, unix.CLONE_NEWCGROUP)
	}
	prog.add("join keyring", unix.SYS_KEYCTL, keyctlJoinSessionKeyring, 0).kind = try
	for i := range p.rlimits {
		limit := pointer(prog, []unix.Rlimit{p.rlimits[i].limit})
		prog.add("set resource limits", unix.SYS_PRLIMIT64, 0, p.rlimits[i].resource, limit, 0)
	}
	prog.add("set umask", unix.SYS_UMASK, uintptr(p.umask))
	prog.add("enter working directory "+p.cwd, unix.SYS_CHDIR, prog.text(p.cwd))
	cwd := place(prog.arena, make([]byte, unix.PathMax))
	inside := prog.add("verify working directory "+p.cwd, unix.SYS_GETCWD, uintptr(unsafe.Pointer(&cwd[0])), unix.PathMax)
	inside.kind, inside.buf = absolute, &cwd[0]
	if p.filter != nil && !p.noNew {
		prog.seccomp(p.filter)
	}
	prog.become(p.id, p.caps)
	prog.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	prog.unmask()
	if p.noNew {
		prog.prctl("set no_new_privs", unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		if p.filter != nil {
			prog.seccomp(p.filter)
		}
	}
	argv, envp := prog.texts(p.argv), prog.texts(p.env)
	prog.add(executeName, unix.SYS_EXECVE, prog.text(p.path), argv, envp)
	return prog.seal()
}

// send passes a descriptor over a socket.
func (p *program) send(socket, fd int) {
	rights := place(p.arena, unix.UnixRights(fd))
	data := place(p.arena, []byte{0})
	iov := place(p.arena, []unix.Iovec{{Base: &data[0]}})
	iov[0].SetLen(1)
	msg := unix.Msghdr{Iov: &iov[0], Iovlen: 1, Control: &rights[0]}
	msg.SetControllen(len(rights))
	p.add("send proc", unix.SYS_SENDMSG, uintptr(socket), pointer(p, []unix.Msghdr{msg}), 0)
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
