package sandbox

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// marker says that the program was started by EnterUserNamespace.
const marker = "DOCKSMITH_USERNS"

// InUserNamespace tells whether the caller is in a user namespace other than the
// first one of the machine.
func InUserNamespace() bool { return inUserNamespace() }

// entered tells whether the user namespace is one that EnterUserNamespace made.
func entered() bool { return InUserNamespace() && os.Getenv(marker) != "" }

var inUserNamespace = sync.OnceValue(func() bool {
	ids := ownIDs().uids
	return len(ids) != 1 || ids[0] != specs.LinuxIDMapping{Size: math.MaxUint32}
})

// EnterUserNamespace makes an ordinary user's program root in a user namespace
// of its own, with a private mount namespace. It executes the program again from
// its beginning, with the same arguments, and exits with the status of that; it
// returns only to root, to a program that is already inside, and with an error.
// Call it before anything has been written or started, and hold nothing but what
// o.Release gives up.
//
// With a range of ids in /etc/subuid and /etc/subgid, and newuidmap and
// newgidmap to apply it, the namespace has ids 0 to 65535 or however many there
// are. Without, it has the one id 0, the caller's.
func EnterUserNamespace(o UserNamespaceOptions) error {
	if os.Geteuid() == 0 {
		return nil
	}
	if os.Getenv(marker) != "" {
		return errors.New("enter user namespace: the user did not become root in it")
	}
	if o.Release != nil {
		if err := o.Release(); err != nil {
			return err
		}
	}
	runtime.LockOSThread() // the child dies with this thread
	err := enterUserNamespace(o)
	runtime.UnlockOSThread()
	return fmt.Errorf("enter user namespace: %w", err)
}

func enterUserNamespace(o UserNamespaceOptions) error {
	caught := catchSignals()
	defer caught.end()
	goAhead, ready, err := highPipe()
	if err != nil {
		return err
	}
	defer ready.Close()
	c, err := again(unix.CLONE_NEWUSER|unix.CLONE_NEWNS, o.Root, func(p *program) {
		p.add("close pipe", unix.SYS_CLOSE, ready.Fd())
		s := p.add("wait for the id mapping", unix.SYS_READ, goAhead.Fd(), pointer(p, make([]byte, 1)), 1)
		s.kind, s.want = equals, 1
	})
	goAhead.Close()
	if err != nil {
		return userNamespaceRemedy(err)
	}
	if err := mapIDs(c.pid, o.Warn); err != nil {
		_ = ready.Close() // the child reads the end and reports
		return errors.Join(err, ignoreStep(c.started()))
	}
	if _, err := ready.Write([]byte{1}); err != nil {
		return err
	}
	if err := c.started(); err != nil {
		return err
	}
	standIn(c.pid, caught)
	return nil // not reached
}

// again starts the program from its beginning, in a child that first does what
// become lays out. root is its state directory, "" for the default.
func again(flags uintptr, root string, become func(p *program)) (*child, error) {
	added := []string{marker + "=1"}
	if root != "" {
		added = append(added, "DOCKSMITH_ROOT="+root)
	}
	env := mergeEnv(os.Environ(), added)
	return start(flags, func(p *program) {
		p.resetSignals()
		if !onTerminal() {
			// A signal to the whole group comes once, by us. On a terminal the
			// program must stay in the group that may read from it.
			p.add("make process group", unix.SYS_SETPGID, 0, 0)
		}
		p.prctl("follow the parent's death", unix.PR_SET_PDEATHSIG, uintptr(unix.SIGKILL))
		become(p)
		p.unmask()
		argv, envp := p.texts(os.Args), p.texts(env)
		p.add("execute the program again", unix.SYS_EXECVE, p.text("/proc/self/exe"), argv, envp)
	})
}

// ignoreStep drops the report of a child that was told to give up.
func ignoreStep(err error) error {
	var step *stepError
	if errors.As(err, &step) {
		return nil
	}
	return err
}

func userNamespaceRemedy(err error) error {
	switch {
	case errors.Is(err, unix.EPERM):
		return fmt.Errorf("%w: ordinary users may not make user namespaces here: set the sysctl "+
			"kernel.unprivileged_userns_clone=1 or kernel.apparmor_restrict_unprivileged_userns=0, or run as root", err)
	case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.EINVAL):
		return fmt.Errorf("%w: user namespaces are off here: raise the sysctl user.max_user_namespaces, or run as root", err)
	}
	return err
}

// standIn passes signals on to the program inside and ends as it ends.
func standIn(pid int, caught *signals) {
	caught.pass(pid, sharesTerminal())
	err := ended(pid)
	caught.end()
	var status unix.WaitStatus
	if err == nil {
		_, err = wait(pid, &status, nil)
	}
	if err != nil {
		os.Exit(125)
	}
	if status.Signaled() {
		sig := status.Signal()
		_ = unix.Setrlimit(unix.RLIMIT_CORE, &unix.Rlimit{}) // one core is enough
		signal.Reset(sig)
		_ = unix.Kill(os.Getpid(), sig)
		os.Exit(128 + int(sig))
	}
	os.Exit(status.ExitStatus())
}

// idRange is a line of /etc/subuid.
type idRange struct{ first, count uint64 }

// mapIDs gives the child's namespace its ids.
func mapIDs(pid int, warn func(string)) error {
	uid, gid := os.Getuid(), os.Getgid()
	uids, gids := subIDs("/etc/subuid", uid), subIDs("/etc/subgid", uid)
	newuidmap, newgidmap := findHelper("newuidmap"), findHelper("newgidmap")
	if len(uids) > 0 && len(gids) > 0 && newuidmap != "" && newgidmap != "" {
		done := make(chan error, 1)
		go func() { done <- runHelper(newuidmap, pid, uid, uids) }()
		err := runHelper(newgidmap, pid, gid, gids)
		return errors.Join(err, <-done)
	}
	if warn != nil {
		warn("only one user id is mapped: files of other owners cannot be made; " +
			"give the user a range in /etc/subuid and /etc/subgid and install newuidmap")
	}
	return mapOne(pid, uid, gid)
}

// mapOne makes the ids the 0 of a user namespace, which has no others then.
func mapOne(pid, uid, gid int) error {
	dir := "/proc/" + strconv.Itoa(pid)
	for _, w := range []struct{ file, text string }{
		{"/setgroups", "deny"},
		{"/uid_map", fmt.Sprintf("0 %d 1", uid)},
		{"/gid_map", fmt.Sprintf("0 %d 1", gid)},
	} {
		if err := os.WriteFile(dir+w.file, []byte(w.text), 0); err != nil {
			return fmt.Errorf("map ids: %w", err)
		}
	}
	return nil
}

// helperDirs are where newuidmap may be: never the PATH, which a caller can set.
var helperDirs = []string{"/usr/bin/", "/bin/", "/usr/local/bin/"}

func findHelper(name string) string {
	for _, dir := range helperDirs {
		if unix.Access(dir+name, unix.X_OK) == nil {
			return dir + name
		}
	}
	return ""
}

func runHelper(path string, pid, id int, ranges []idRange) error {
	args := []string{path, strconv.Itoa(pid), "0", strconv.Itoa(id), "1"}
	next := uint64(1)
	for _, r := range ranges {
		args = append(args, strconv.FormatUint(next, 10), strconv.FormatUint(r.first, 10), strconv.FormatUint(r.count, 10))
		next += r.count
	}
	attr := os.ProcAttr{Env: []string{}, Files: []*os.File{nil, os.Stderr, os.Stderr}}
	proc, err := os.StartProcess(path, args, &attr)
	if err != nil {
		return fmt.Errorf("map ids: %w", err)
	}
	state, err := proc.Wait()
	if err == nil && !state.Success() {
		err = fmt.Errorf("%s: %s", path, state)
	}
	return err
}

// subIDs reads the ranges of a user, who is named by name or number there.
func subIDs(file string, uid int) []idRange {
	number := strconv.Itoa(uid)
	name := loginName(number)
	var out []idRange
	eachRecord(file, func(p []string) {
		if len(p) != 3 || p[0] != number && (name == "" || p[0] != name) {
			return
		}
		first, err1 := strconv.ParseUint(p[1], 10, 32)
		count, err2 := strconv.ParseUint(p[2], 10, 32)
		if err1 == nil && err2 == nil && count > 0 {
			out = append(out, idRange{first, count})
		}
	})
	return out
}

// loginName is the name of a user of the machine, "" when it has none.
func loginName(uid string) (name string) {
	eachRecord("/etc/passwd", func(p []string) {
		if len(p) > 2 && p[2] == uid && name == "" {
			name = p[0]
		}
	})
	return name
}

// eachRecord calls f with the fields of each line; without the file, not at all.
func eachRecord(file string, f func([]string)) {
	b, err := os.ReadFile(file)
	if err != nil {
		return
	}
	for line := range strings.Lines(string(b)) {
		f(strings.Split(strings.TrimSpace(line), ":"))
	}
}

// mergeEnv sets each entry of more in env, in place or at the end.
func mergeEnv(env, more []string) []string {
	out := append([]string{}, env...)
next:
	for _, entry := range more {
		key, _, _ := strings.Cut(entry, "=")
		for i, old := range out {
			if k, _, _ := strings.Cut(old, "="); k == key {
				out[i] = entry
				continue next
			}
		}
		out = append(out, entry)
	}
	return out
}
