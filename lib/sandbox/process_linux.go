package sandbox

import (
	"fmt"
	"os"
	"path"
	"slices"
	"strings"

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
	schedule schedule
	filter   []unix.SockFilter // nil without seccomp
	noNew    bool              // no_new_privs
	cgroupNS bool
	ownTTY   bool // in a session of its own, without the caller's terminal
	terminal bool // of its own, which comes over the socket
	stdio    [3]*os.File
	preserve int  // descriptors from 3 on that it keeps
	gate     int  // where it waits to be started, or -1
	outlives bool // the program that makes it
	enter    int  // a user namespace to enter first, or -1
	root     int  // a directory to change its root to, or -1
	users    *userNamespace
	newFlags int  // of the namespaces that it makes with that
	keyring  bool // the caller's session keyring instead of one of its own

	announces bool // its end, as those do that come of it

	threshold int   // the file that it executes the command from, or -1
	unfit     error // what keeps it from executing anything
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
		if slices.ContainsFunc(out, func(o rlimit) bool { return o.resource == r }) {
			return nil, fmt.Errorf("resource limit %s is listed twice", l.Type)
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

// noCore is the limit of a command that has secrets: its core would hold them, in
// its working directory or wherever a program of the host puts cores. To such a
// program a limit of 0 means nothing; at 1 the kernel dumps nothing at all.
func noCore() rlimit {
	none := unix.Rlimit{Cur: 1, Max: 1}
	var now unix.Rlimit
	if unix.Getrlimit(unix.RLIMIT_CORE, &now) == nil && now.Max == 0 {
		none = unix.Rlimit{} // not every user may raise it
	}
	return rlimit{unix.RLIMIT_CORE, none}
}

// readProcess collects what does not depend on the root.
func (c *container) readProcess() (*process, error) {
	sp := c.spec.Process
	p := &process{
		argv: sp.Args, env: sp.Env, cwd: path.Clean(sp.Cwd), umask: 0o022, noNew: sp.NoNewPrivileges,
		cgroupNS: c.newNamespace(specs.CgroupNamespace), stdio: [3]*os.File{c.opts.Stdin, c.opts.Stdout, c.opts.Stderr},
		terminal: sp.Terminal, preserve: c.opts.PreserveFDs, keyring: c.opts.SharedKeyring, announces: c.farewells(), gate: -1, enter: -1, root: -1, threshold: -1,
	}
	if p.outlives = c.outlives; c.gate != nil {
		p.gate, p.outlives = int(c.gate.Fd()), true
	}
	var err error
	if p.caps, err = parseCapSets(sp.Capabilities); err != nil {
		return nil, err
	}
	list, err := c.raisable(sp.Rlimits)
	if err != nil {
		return nil, err
	}
	if p.rlimits, err = readRlimits(list); err != nil {
		return nil, err
	}
	if len(c.opts.Secrets) > 0 {
		p.rlimits = append(p.rlimits, noCore())
	}
	if p.schedule, err = readSchedule(c.spec); err != nil {
		return nil, err
	}
	if c.wanted != nil {
		p.users, p.newFlags = c.wanted, c.newFlags()&^(unix.CLONE_NEWUSER|unix.CLONE_NEWCGROUP)
		c.rlimits, p.rlimits = p.rlimits, nil // which root in there could not raise
	}
	if sp.User.Umask != nil {
		p.umask = *sp.User.Umask
	}
	p.ownTTY = p.terminal || p.outlives || !isTerminal(p.stdin())
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
	c.shareStreams(p)
	if !hasHome {
		if home == "" {
			home = "/"
		}
		p.env = append(p.env[:len(p.env):len(p.env)], "HOME="+home)
	}
	if c.visiting {
		// not ours to make
	} else if err := c.places.root.MkdirAll(p.cwd, 0o755); err != nil {
		return fmt.Errorf("make working directory: %w", err)
	}
	command := p.argv[0]
	if c.command != "" {
		command = c.command
	}
	p.path, err = findCommand(command, p.env, p.cwd, p.stat)
	return err
}

// shareStreams lets the process open its standard streams again, as programs do that
// write to /dev/stderr, where they are pipes that another user has made. A pipe
// without a name is reached by its descriptors alone, so this gives it to nobody
// else; and unlike a change of owner it takes nothing from who has the other end.
func (c *container) shareStreams(p *process) {
	uid, ok := c.hostUID(p.id.uid)
	for i, f := range p.stdio {
		fd := i
		if f != nil {
			fd = int(f.Fd())
		}
		var st unix.Stat_t
		var fs unix.Statfs_t
		if unix.Fstat(fd, &st) != nil || unix.Fstatfs(fd, &fs) != nil || fs.Type != unix.PIPEFS_MAGIC {
			continue
		}
		if !ok || uid != int(st.Uid) {
			_ = unix.Fchmod(fd, 0o666) // who may not may not share it either
		}
	}
}

// stat looks at a file of the root that the process will have.
func (p *process) stat(name string, st *unix.Stat_t) error {
	if p.root < 0 {
		return unix.Stat(name, st)
	}
	fd, err := openIn(p.root, name, unix.O_PATH|unix.O_CLOEXEC)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Fstat(fd, st)
}

const defaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// findCommand searches the PATH as a shell would, in the container's root.
func findCommand(name string, env []string, cwd string, stat func(string, *unix.Stat_t) error) (string, error) {
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
		switch err := stat(f, &st); {
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
