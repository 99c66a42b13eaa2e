package sandbox

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// surveyor tries things. Every trial is the system call itself, by a child where
// it would change the caller, never a look at who one is or which files there are.
type surveyor struct {
	dir    string // for files of trials
	trials []Trial
}

// TakeSurvey tries, one by one, what containers are made with. The caller is
// root, or has called EnterUserNamespace and says in o what that said if it
// returned. It leaves nothing behind; an error means that nothing could be tried.
func TakeSurvey(o SurveyOptions) (*Survey, error) {
	dir, err := os.MkdirTemp(o.Dir, "docksmith-survey-")
	if err != nil && o.Dir != "" {
		dir, err = os.MkdirTemp("", "docksmith-survey-")
	}
	if err != nil {
		return nil, fmt.Errorf("survey: %w", err)
	}
	defer os.RemoveAll(dir)
	s := &Survey{Container: Environment(os.DirFS("/"), os.Getenv)}
	var uts unix.Utsname
	if err := unix.Uname(&uts); err == nil {
		s.Kernel, s.Architecture = unix.ByteSliceToString(uts.Release[:]), unix.ByteSliceToString(uts.Machine[:])
	}
	t := &surveyor{dir: dir}
	onOwnThread(func() {
		t.namespaces(o.UserNamespace)
		t.processes()
		t.files()
		t.limits()
	})
	t.ids()
	t.network()
	s.Trials, s.Isolation = t.trials, t.level()
	return s, nil
}

// add records what came of a trial.
func (t *surveyor) add(area, name string, err error, remedy, note string) {
	r := Trial{Area: area, Name: name, OK: err == nil}
	if err == nil {
		r.Note = note
	} else {
		r.Error, r.Remedy = err.Error(), remedy
		var errno syscall.Errno
		if errors.As(err, &errno) {
			r.Errno = unix.ErrnoName(errno)
		}
	}
	t.trials = append(t.trials, r)
}

func (t *surveyor) ok(area string, names ...string) bool {
	n := 0
	for _, r := range t.trials {
		for _, name := range names {
			if r.Area == area && r.Name == name && r.OK {
				n++
			}
		}
	}
	return n == len(names)
}

// level is the strongest isolation that all it takes was there for.
func (t *surveyor) level() Isolation {
	all := t.ok("namespaces", "mount", "pid", "ipc", "uts", "network", "cgroup") && t.ok("processes", "pivot_root", "seccomp")
	switch {
	case all && InUserNamespace():
		return IsolationUser
	case all:
		return IsolationFull
	case t.ok("processes", "seccomp", "pivot_root") && t.ok("namespaces", "mount"),
		t.ok("processes", "seccomp", "chroot") && !t.ok("namespaces", "mount"):
		return IsolationChroot
	}
	return IsolationNone
}

// attempt makes, in a child, the system calls that build lays out.
func attempt(flags uintptr, build func(p *program)) error {
	c, err := start(flags, func(p *program) {
		build(p)
		p.add("end", unix.SYS_EXIT_GROUP, 0)
	})
	if err != nil {
		return err
	}
	return c.over()
}

// over waits for the end of a child that executes nothing.
func (c *child) over() error {
	if err := c.started(); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := wait(c.pid, &status, nil); err != nil {
		return err
	}
	if status.Signaled() {
		return fmt.Errorf("ended by %v", status.Signal())
	}
	return nil
}

func (t *surveyor) namespaces(userErr error) {
	note := ""
	if InUserNamespace() {
		note = "the caller is in one"
	} else if userErr == nil {
		userErr = attempt(unix.CLONE_NEWUSER, func(*program) {})
	}
	t.add("namespaces", "user", userErr, "set the sysctls user.max_user_namespaces, and kernel.unprivileged_userns_clone=1 or "+
		"kernel.apparmor_restrict_unprivileged_userns=0 where there are such", note)
	for _, n := range namespaceKinds {
		err := attempt(0, func(p *program) { p.add("unshare", unix.SYS_UNSHARE, uintptr(n.flag)) })
		t.add("namespaces", n.name, err, "run as root, or where user namespaces are allowed; inside a container, with CAP_SYS_ADMIN", "")
	}
}

func (t *surveyor) processes() {
	err := attempt(unix.CLONE_NEWNS, func(p *program) {
		dir := p.text(t.dir)
		p.add("make mounts private", unix.SYS_MOUNT, 0, p.text("/"), 0, unix.MS_REC|unix.MS_PRIVATE, 0)
		p.add("mount tmpfs", unix.SYS_MOUNT, p.text("tmpfs"), dir, p.text("tmpfs"), 0, 0)
		p.add("pivot_root", unix.SYS_PIVOT_ROOT, dir, dir)
	})
	t.add("processes", "pivot_root", err, "it cannot be done in a chroot or from an initramfs: start from a real root", "")
	err = attempt(0, func(p *program) { p.add("chroot", unix.SYS_CHROOT, p.text(t.dir)) })
	t.add("processes", "chroot", err, "run as root, or where user namespaces are allowed; inside a container, with CAP_SYS_CHROOT", "")
	err = attempt(0, func(p *program) {
		p.prctl("set no_new_privs", unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
		p.seccomp([]unix.SockFilter{{Code: bpfReturn, K: retAllow}})
	})
	t.add("processes", "seccomp", err, "the kernel needs CONFIG_SECCOMP_FILTER; --no-seccomp does without", "")
	fd, err := unix.PidfdOpen(os.Getpid(), 0)
	if err == nil {
		unix.Close(fd)
	}
	t.add("processes", "pidfd", err, "Linux 5.3 or later", "")
	caps, err := Capabilities()
	note := fmt.Sprintf("%d of %d", len(caps), len(capNames))
	if err == nil && len(caps) == 0 {
		err = errors.New("the caller has none")
	}
	t.add("processes", "capabilities", err, "run as root, or where user namespaces are allowed", note)
}

func (t *surveyor) files() {
	m, err := newFilesystem("tmpfs", "tmpfs", attributes{})
	if err == nil {
		m.close()
	}
	t.add("files", "mount by descriptor", err, "Linux 5.12 or later, and leave to mount", "")
	t.add("files", "overlay", tryOverlay(t.dir), "build with --no-overlay, or keep the store on another file system", "")
	if !InUserNamespace() && os.Geteuid() == 0 {
		t.add("files", "overlay in a user namespace", t.overlayInside(), "Linux 5.11 or later; ordinary users build with --no-overlay", "")
	}
	fd, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err == nil {
		unix.Close(fd)
	}
	t.add("files", "/dev/fuse", err, "load the module fuse and give the user access; nothing here needs it", "")
}

// overlayInside mounts an overlay in a user namespace with one id.
func (t *surveyor) overlayInside() error {
	names := []string{"in-lower", "in-upper", "in-work", "in-merged"}
	for i, name := range names {
		names[i] = filepath.Join(t.dir, name)
		if err := os.Mkdir(names[i], 0o700); err != nil {
			return err
		}
	}
	goAhead, ready, err := highPipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	c, err := start(unix.CLONE_NEWUSER|unix.CLONE_NEWNS, func(p *program) {
		p.add("close pipe", unix.SYS_CLOSE, ready.Fd())
		s := p.add("wait for the id mapping", unix.SYS_READ, goAhead.Fd(), pointer(p, make([]byte, 1)), 1)
		s.kind, s.want = equals, 1
		options := "userxattr,lowerdir=" + names[0] + ",upperdir=" + names[1] + ",workdir=" + names[2]
		kind := p.text("overlay")
		p.add("mount overlay", unix.SYS_MOUNT, kind, p.text(names[3]), kind, 0, p.text(options))
		p.add("end", unix.SYS_EXIT_GROUP, 0)
	})
	goAhead.Close()
	if err != nil {
		return err
	}
	if err := mapOne(c.pid, os.Getuid(), os.Getgid()); err != nil {
		_ = ready.Close() // the child reads the end and reports
		return errors.Join(err, ignoreStep(c.over()))
	}
	if _, err := ready.Write([]byte{1}); err != nil {
		return err
	}
	return c.over()
}

func (t *surveyor) ids() {
	count := uint64(0)
	for _, r := range ownIDs().uids {
		count += uint64(r.Size)
	}
	var err error
	if InUserNamespace() && count == 1 {
		err = errors.New("one id only: files of other owners cannot be made, nor programs run as another user")
	}
	t.add("ids", "range of user ids", err, "give the user a range in /etc/subuid and /etc/subgid and install newuidmap (package uidmap)", fmt.Sprint(count))
	for _, name := range []string{"newuidmap", "newgidmap"} {
		path := findHelper(name)
		err = nil
		if path == "" {
			err = errors.New("not in " + strings.Join(helperDirs, " "))
		}
		t.add("ids", name, err, "install the package uidmap; root does without", path)
	}
}

func (t *surveyor) network() {
	for _, n := range []struct{ program, pkg string }{{"pasta", "passt"}, {"slirp4netns", "slirp4netns"}} {
		path, err := exec.LookPath(n.program)
		t.add("network", n.program, err, "install the package "+n.pkg+"; --network none and host do without", path)
	}
}
