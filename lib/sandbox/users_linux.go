package sandbox

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"unsafe"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// A container may have a user namespace that is not the caller's: ids of its own
// choice, and the other namespaces belong to it. A program with more than one
// thread cannot make or join one, so it is the command that does, as the first
// thing after its fork, and makes the other namespaces with it. The thread that
// assembles the container then joins those, but keeps the caller's ids, with
// which it reaches what the bundle names.

// userNamespace is what a container is asked to have.
type userNamespace struct {
	join       *os.File // by path, or nil
	uids, gids []specs.LinuxIDMapping
}

// wantUsers reads what the specification says about a user namespace.
func wantUsers(s *specs.Spec, joins []join) (*userNamespace, error) {
	if !hasNamespace(s, specs.UserNamespace) {
		return nil, checkMappings(s.Linux)
	}
	u := &userNamespace{uids: s.Linux.UIDMappings, gids: s.Linux.GIDMappings}
	for _, j := range joins {
		if j.kind == specs.UserNamespace {
			u.join = j.file
		}
	}
	switch mappings := len(u.uids) > 0 && len(u.gids) > 0; {
	case u.join != nil && len(u.uids)+len(u.gids) > 0:
		return nil, errors.New("linux.uidMappings and gidMappings: a user namespace that is joined has its own")
	case u.join == nil && !mappings:
		return nil, errors.New("a user namespace needs linux.uidMappings and gidMappings")
	}
	return u, nil
}

// checkMappings is for a container without a user namespace of its own, which
// has ids as a bundle asks for in one that EnterUserNamespace made, or has not.
func checkMappings(l *specs.Linux) error {
	for _, m := range []struct {
		name      string
		have, ids []specs.LinuxIDMapping
	}{{"uidMappings", ownIDs().uids, l.UIDMappings}, {"gidMappings", ownIDs().gids, l.GIDMappings}} {
		if len(m.ids) > 0 && !entered() {
			return fmt.Errorf("linux.%s: there is no user namespace in linux.namespaces", m.name)
		}
		for _, id := range m.ids {
			first, _ := outside(m.have, id.ContainerID)
			last, _ := outside(m.have, id.ContainerID+id.Size-1)
			if first != int(id.HostID) || last != int(id.HostID+id.Size-1) {
				return fmt.Errorf("linux.%s: the user has no ids such as %d %d %d", m.name, id.ContainerID, id.HostID, id.Size)
			}
		}
	}
	return nil
}

// mapText is mappings as the kernel takes them.
func mapText(mappings []specs.LinuxIDMapping) string {
	var b strings.Builder
	for _, m := range mappings {
		fmt.Fprintf(&b, "%d %d %d\n", m.ContainerID, m.HostID, m.Size)
	}
	return b.String()
}

// write gives the namespace of a process its ids.
func (u *userNamespace) write(pid int) error {
	if u.join != nil {
		return nil
	}
	dir := "/proc/" + strconv.Itoa(pid)
	for _, w := range []struct {
		file string
		ids  []specs.LinuxIDMapping
	}{{"/uid_map", u.uids}, {"/gid_map", u.gids}} {
		if err := os.WriteFile(dir+w.file, []byte(mapText(w.ids)), 0); err != nil {
			return fmt.Errorf("map ids: %w", err)
		}
	}
	return nil
}

// makeUsers lays out how the process makes its user namespace, or joins it, and
// makes the others. It speaks a byte each way over the socket when its ids are
// to be mapped, and one more when all is made. With a pid namespace it forks: a
// process is in the one that its parent made. It then leaves its id in child.
func (p *process) makeUsers(prog *program, socket int, child *int32) {
	b := pointer(prog, []byte{1})
	say := func(name string, nr uintptr) {
		s := prog.add(name, nr, uintptr(socket), b, 1)
		s.kind, s.want = equals, 1
	}
	if join := p.users.join; join != nil {
		prog.add("join user namespace", unix.SYS_SETNS, join.Fd(), unix.CLONE_NEWUSER)
	} else {
		prog.add("make user namespace", unix.SYS_UNSHARE, unix.CLONE_NEWUSER)
	}
	say("ask for ids", unix.SYS_WRITE)
	say("wait for ids", unix.SYS_READ)
	// Where the namespace has no root the process is nobody, with all rights in it.
	prog.add("set group", unix.SYS_SETRESGID, 0, 0, 0).kind = try
	prog.add("set user", unix.SYS_SETRESUID, 0, 0, 0).kind = try
	prog.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	prog.add("make namespaces", unix.SYS_UNSHARE, uintptr(p.newFlags&^unix.CLONE_NEWPID))
	if p.newFlags&unix.CLONE_NEWPID != 0 {
		prog.add("make pid namespace", unix.SYS_UNSHARE, unix.CLONE_NEWPID)
		const flags = unix.CLONE_PARENT | unix.CLONE_PARENT_SETTID
		prog.add("fork", unix.SYS_CLONE, flags|uintptr(unix.SIGCHLD), 0, uintptr(unsafe.Pointer(child))).kind = forks
		prog.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
	}
	say("report namespaces", unix.SYS_WRITE)
}

// settleUsers is the other side of makeUsers.
func (p *process) settleUsers(l *launch, child *int32) error {
	one := make([]byte, 1)
	if err := readByte(l.socket, one); err != nil {
		return err
	}
	if err := p.users.write(l.pid); err != nil {
		return err
	}
	if _, err := unix.Write(l.socket, one); err != nil {
		return err
	}
	if err := readByte(l.socket, one); err != nil {
		return err
	}
	if p.newFlags&unix.CLONE_NEWPID != 0 {
		var status unix.WaitStatus
		if _, err := wait(l.pid, &status, nil); err != nil {
			return err
		}
		l.pid = int(*child)
	}
	return nil
}

func readByte(fd int, buf []byte) error {
	for {
		n, err := unix.Read(fd, buf)
		switch {
		case err == unix.EINTR:
		case err != nil:
			return err
		case n == 0:
			return io.ErrUnexpectedEOF
		default:
			return nil
		}
	}
}

// joinOwn takes the thread into the namespaces that the command has made.
func (t *thread) joinOwn(c *container, flags int) error {
	fd, err := unix.PidfdOpen(t.command.pid, 0)
	if err != nil {
		return fmt.Errorf("join namespaces: %w", err)
	}
	defer unix.Close(fd)
	if err := unix.Setns(fd, flags); err != nil {
		return fmt.Errorf("join namespaces: %w", err)
	}
	c.users = readIDs("/proc/" + strconv.Itoa(t.command.pid))
	return nil
}

// own makes a file by f. In a file system of the container's user namespace the
// caller has no id to own one with: there it is the container's root.
func (u *idMaps) own(f func() error) error {
	err := f()
	if u == nil || err != unix.EOVERFLOW {
		return err
	}
	uid, ok := outside(u.uids, 0)
	gid, gok := outside(u.gids, 0)
	if !ok || !gok {
		return err
	}
	_ = unix.Setfsgid(gid) // of this thread alone
	_ = unix.Setfsuid(uid)
	err = f()
	_ = unix.Setfsuid(0)
	_ = unix.Setfsgid(0)
	return err
}
