package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// isolationColumn is a way to run the probe.
type isolationColumn struct {
	name, how, remark string
	program           string
	user              bool // as an ordinary user
	run               func(m *isolationMachine, args []string) *exec.Cmd
}

var isolationColumns = []isolationColumn{
	{"ds-exec", "ds-exec run BUNDLE", "", "ds-exec", false, (*isolationMachine).ours},
	{"ds-exec, user", "ds-exec run BUNDLE", ", by an ordinary user without a range of ids", "ds-exec", true, (*isolationMachine).ours},
	{"runc", "runc run", ", with what `runc spec` writes: three capabilities, a read-only root, no filter of system calls", "runc", false, (*isolationMachine).runc},
	{"runc, same rights", "runc run", ", with our fourteen capabilities and a root that can be written", "runc", false, (*isolationMachine).runcSame},
	{"crun", "crun run", ", with what `crun spec` writes: the same", "crun", false, (*isolationMachine).crun},
	{"podman", "podman --runtime runc run --network none", ", with its own filter of system calls", "podman", false, (*isolationMachine).podman},
	{"bwrap", "bwrap --bind ROOT / --proc /proc --dev /dev", ": it isolates what it is told to", "bwrap", false, (*isolationMachine).bwrap},
	{"bwrap, user", "bwrap --bind ROOT / --proc /proc --dev /dev", ", by an ordinary user", "bwrap", true, (*isolationMachine).bwrap},
}

func (c isolationColumn) installed() bool {
	_, err := exec.LookPath(filepath.Join(top, "bin", c.program))
	if err != nil {
		_, err = exec.LookPath(c.program)
	}
	return err == nil
}

// version is what the program says first.
func (c isolationColumn) version() string {
	if strings.HasPrefix(c.name, "ds-exec") {
		return "this version"
	}
	out, err := exec.Command(c.program, "--version").Output()
	if err != nil {
		return err.Error()
	}
	line, _, _ := strings.Cut(string(out), "\n")
	return line
}

// isolationMachine is the machine outside of the containers, with what must not
// be reached from inside.
type isolationMachine struct {
	*box
	facts map[bool][]string // for the columns of root and of the ordinary user
	open  *os.File
	// engine is podman with its flags, once it has the image.
	engine string
}

const (
	canaryWord     = "86417.25"
	canaryVariable = "DOCKSMITH_PROBE_CANARY"
)

func newIsolationMachine(t *testing.T) *isolationMachine {
	t.Helper()
	b := newBox(t)
	m := &isolationMachine{box: b, facts: map[bool][]string{}}
	b.env = append(b.env, canaryVariable+"=seen")
	b.sh(`mkdir user root; chmod 755 . user root; cd root; mkdir bin etc tmp opt proc dev sys run; chmod 1777 tmp; cp "$(command -v probe)" bin/`)
	b.base()
	b.sh(`ds-store bundle base b; mkdir b/upper/bin; cp root/bin/probe b/upper/bin/`)
	m.must(giveToUser(b.path("user")))
	m.as(true, "docksmith base base >/dev/null; ds-store bundle base b; mkdir b/upper/bin; cp ../root/bin/probe b/upper/bin/")
	m.must(os.WriteFile(b.path("canary"), []byte("x"), 0o644))
	var err error
	m.open, err = os.Open("/")
	m.must(err)
	t.Cleanup(func() { m.open.Close() })
	socket, port := m.services()
	name, err := os.Hostname()
	m.must(err)
	for _, user := range []bool{false, true} {
		m.facts[user] = []string{"host=" + name, "pid=" + strconv.Itoa(m.sleeper(user)), "word=" + canaryWord, "file=" + b.path("canary"),
			"socket=" + socket, "port=" + port, "env=" + canaryVariable, "shm=" + strconv.Itoa(m.shared(user))}
	}
	return m
}

func (m *isolationMachine) must(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

// as runs a script of root, or of the ordinary user in a directory of its own.
func (m *isolationMachine) as(user bool, script string) string {
	m.t.Helper()
	cmd := m.box.command(script)
	m.become(cmd, user)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		m.t.Fatalf("%s: %v\n%s", script, err, stderr.String())
	}
	return string(out)
}

func (m *isolationMachine) become(cmd *exec.Cmd, user bool) {
	if user {
		cmd.Dir = m.path("user")
		cmd.Env = append(cmd.Env, "HOME="+cmd.Dir, "DOCKSMITH_ROOT="+cmd.Dir+"/store")
		cmd.SysProcAttr = asOrdinary()
	}
}

// services listen where no container should reach.
func (m *isolationMachine) services() (socket, port string) {
	m.t.Helper()
	socket = "docksmith-probe-" + strconv.Itoa(os.Getpid())
	abstract, err := net.Listen("unix", "@"+socket)
	m.must(err)
	loopback, err := net.Listen("tcp", "127.0.0.1:0")
	m.must(err)
	m.t.Cleanup(func() { abstract.Close(); loopback.Close() })
	_, port, err = net.SplitHostPort(loopback.Addr().String())
	m.must(err)
	return socket, port
}

func (m *isolationMachine) sleeper(user bool) int {
	m.t.Helper()
	cmd := m.box.command("exec sleep " + canaryWord)
	m.become(cmd, user)
	m.must(cmd.Start())
	m.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd.Process.Pid
}

// shared makes shared memory, which the user of the column may read.
func (m *isolationMachine) shared(user bool) int {
	m.t.Helper()
	key := os.Getpid()<<1 + len(m.facts)
	id, err := unix.SysvShmGet(key, 4096, unix.IPC_CREAT|0o666)
	m.must(err)
	m.t.Cleanup(func() { _, _ = unix.SysvShmCtl(id, unix.IPC_RMID, nil) })
	return key
}

// list asks the probe for its attempts.
func (m *isolationMachine) list() (names []string, sentences map[string]string) {
	m.t.Helper()
	sentences = map[string]string{}
	for line := range strings.Lines(m.sh("root/bin/probe list")) {
		name, what, _ := strings.Cut(strings.TrimSpace(line), "\t")
		names, sentences[name] = append(names, name), what
	}
	return names, sentences
}

// try runs the probe as a column says, with a descriptor open that nobody gave
// the container.
func (m *isolationMachine) try(c isolationColumn, names []string) (found verdicts, sets []string) {
	m.t.Helper()
	output := func(args []string) string {
		cmd := c.run(m, append([]string{"/bin/probe"}, args...))
		m.become(cmd, c.user)
		cmd.ExtraFiles = []*os.File{m.open}
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		if err != nil {
			m.t.Fatalf("%s: %v\n%s\n%s", c.name, err, out, stderr.String())
		}
		return string(out)
	}
	found = verdicts{}
	var order []string
	for line := range strings.Lines(output(m.facts[c.user])) {
		f := strings.SplitN(strings.TrimRight(line, "\n"), "\t", 3)
		order, found[f[0]] = append(order, f[0]), strings.TrimSpace(f[1]+" "+f[2])
	}
	if !slices.Equal(order, names) {
		m.t.Fatalf("%s: attempts %v, want %v", c.name, order, names)
	}
	return found, strings.Split(strings.TrimSpace(output([]string{"sets"})), "\n")
}

func (m *isolationMachine) shell(script string, args []string) *exec.Cmd {
	cmd := m.box.command(script)
	cmd.Args = append(append(cmd.Args, "sh"), args...)
	return cmd
}

func (m *isolationMachine) ours(args []string) *exec.Cmd {
	return m.shell(`exec ds-exec run b -- "$@"`, args)
}

func (m *isolationMachine) bwrap(args []string) *exec.Cmd {
	return m.shell("exec bwrap --bind "+m.path("root")+` / --proc /proc --dev /dev -- "$@"`, args)
}

// specified makes a bundle of what a runtime's own spec command writes.
func (m *isolationMachine) specified(runtime string, args []string, same bool) (id string) {
	m.t.Helper()
	dir := runtime + ".bundle"
	m.sh("rm -rf " + dir + "; mkdir " + dir + "; cd " + dir + "; " + runtime + " spec")
	raw, err := os.ReadFile(m.path(dir, "config.json"))
	m.must(err)
	var spec map[string]any
	m.must(json.Unmarshal(raw, &spec))
	process, root := spec["process"].(map[string]any), spec["root"].(map[string]any)
	process["terminal"], process["args"], root["path"] = false, args, m.path("root")
	if same {
		all := m.capabilities()
		process["capabilities"] = map[string]any{"bounding": all, "effective": all, "permitted": all}
		root["readonly"] = false
	}
	raw, err = json.Marshal(spec)
	m.must(errors.Join(err, os.WriteFile(m.path(dir, "config.json"), raw, 0o644)))
	return fmt.Sprintf("probe%d", os.Getpid())
}

func (m *isolationMachine) runc(args []string) *exec.Cmd {
	return m.runcAs(args, false)
}

func (m *isolationMachine) runcSame(args []string) *exec.Cmd { return m.runcAs(args, true) }

func (m *isolationMachine) runcAs(args []string, same bool) *exec.Cmd {
	id := m.specified("runc", args, same)
	return m.shell("exec runc --root $PWD/runc.state run --bundle runc.bundle "+id, nil)
}

// capabilities are those of our own bundle.
func (m *isolationMachine) capabilities() []string {
	m.t.Helper()
	raw, err := os.ReadFile(m.path("b/config.json"))
	m.must(err)
	var spec specs.Spec
	m.must(json.Unmarshal(raw, &spec))
	return spec.Process.Capabilities.Bounding
}

// crun does not run where hierarchies of both versions are mounted, unless the
// second is away.
func (m *isolationMachine) crun(args []string) *exec.Cmd {
	id := m.specified("crun", args, false)
	cmd := m.shell("umount /sys/fs/cgroup/unified 2>/dev/null || true; exec crun --root $PWD/crun.state run --bundle crun.bundle "+id, nil)
	cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
	return cmd
}

func (m *isolationMachine) podman(args []string) *exec.Cmd {
	if m.engine == "" {
		m.engine = podman(m.box)
		m.sh("tar -C root -c . | " + m.engine + "import - probe 2>/dev/null")
	}
	return m.shell("exec "+m.engine+`run --rm --ulimit nofile=1024:1024 --ulimit nproc=1024:1024 --network none probe "$@"`, args)
}
