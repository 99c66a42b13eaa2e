package tests

import (
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// ordinary is the user that the tests become when they run as root. It needs
// no entry in any file.
const ordinary = 54321

// TestScriptAsUser runs every script again without privilege.
func TestScriptAsUser(t *testing.T) { runAsOrdinary(t, "TestScript", skipReasons) }

// TestCasesAsUser builds every case again without privilege.
func TestCasesAsUser(t *testing.T) {
	runAsOrdinary(t, "TestCases", func(t *testing.T, name string) string {
		c, err := readCase(filepath.Join("cases", name+".txtar"))
		if err != nil {
			t.Fatal(err)
		}
		return "not root: " + c.needs
	})
}

// runAsOrdinary runs a test of many parts as an ordinary user; reason is why a
// part may have skipped.
func runAsOrdinary(t *testing.T, test string, reason func(t *testing.T, part string) string) {
	t.Helper()
	runAs(t, ordinary, test, reason)
}

// runAs is runAsOrdinary for a certain user.
func runAs(t *testing.T, uid uint32, test string, reason func(t *testing.T, part string) string) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skipf("already an ordinary user: %s has run them", test)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	copied := filepath.Join(top, "tests.test") // the original lies where only root may look
	if out, err := exec.Command("cp", self, copied).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	work := filepath.Join(top, "work-"+strconv.Itoa(int(uid)))
	if err := os.MkdirAll(work, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(work, int(uid), int(uid)); err != nil {
		t.Fatal(err)
	}
	// The repository may lie where only root may look, too.
	tree := filepath.Join(top, "source")
	copyTree := exec.Command("sh", "-ec", `rm -rf "$1"; mkdir -p "$1"; cp -R ../README.md ../scripts ../man ../completions ../tests "$1"; chmod -R a+rX "$1"`, "sh", tree)
	if out, err := copyTree.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	args := []string{"-test.run=^" + test + "$", "-test.v=test2json", "-test.parallel=2"}
	if _, filter, ok := strings.Cut(testRun(), "/"); ok {
		args[0] += "/" + filter
	}
	cmd := exec.Command(copied, args...)
	cmd.Dir = filepath.Join(tree, "tests")
	cmd.Env = append(os.Environ(), "DOCKSMITH_TEST_TOP="+top, "HOME="+work, "TMPDIR="+work, "DOCKSMITH_ROOT=")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
	out, err := cmd.CombinedOutput()
	reportInner(t, string(out), test, reason)
	if err != nil && !t.Failed() {
		t.Fatalf("as user %d: %v\n%s", uid, err, out)
	}
}

// reportInner shows the inner run's verdicts as those of tests of their own, so
// that they are counted; those that failed with what they printed.
func reportInner(t *testing.T, out, test string, reason func(*testing.T, string) string) {
	printed := map[string][]string{}
	current := ""
	for line := range strings.Lines(out) {
		// With -test.v=test2json, what the test runner prints of itself is marked.
		said, marked := strings.CutPrefix(strings.TrimLeft(line, " "), "\x16")
		if !marked {
			printed[current] = append(printed[current], line)
			continue
		}
		fields := strings.Fields(said)
		switch fields[0] {
		case "===":
			current = strings.Join(fields[2:], "") // a NAME may be empty
			continue
		case "---":
		default:
			continue
		}
		verdict, full := fields[1], fields[2]
		name, ok := strings.CutPrefix(full, test+"/")
		if !ok {
			continue
		}
		t.Run(name, func(t *testing.T) {
			switch verdict {
			case "SKIP:":
				t.Skip(reason(t, name))
			case "FAIL:":
				t.Errorf("as user %d:\n%s", ordinary, strings.Join(printed[full], ""))
			}
		})
	}
}

// skipReasons are the sentences with which a script may skip.
func skipReasons(t *testing.T, script string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("script", script+".txtar"))
	if err != nil {
		t.Fatal(err)
	}
	var reasons []string
	for _, m := range skipLine.FindAllSubmatch(text, -1) {
		reasons = append(reasons, string(m[1]))
	}
	return strings.Join(reasons, "; or ")
}

var skipLine = regexp.MustCompile(`(?m)^\[.*\] skip '(.*)'$`)

func testRun() string {
	for _, arg := range os.Args {
		if v, ok := strings.CutPrefix(arg, "-test.run="); ok {
			return v
		}
	}
	return ""
}

// userWithRange is an ordinary user of this machine who has a range of ids, or 0.
func userWithRange(t *testing.T) uint32 {
	t.Helper()
	list, _ := os.ReadFile("/etc/subuid")
	for line := range strings.Lines(string(list)) {
		name, _, _ := strings.Cut(line, ":")
		if who, err := user.Lookup(name); err == nil {
			if uid, err := strconv.Atoi(who.Uid); err == nil && uid > 0 {
				return uint32(uid)
			}
		}
	}
	return 0
}

func asOrdinary() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: ordinary, Gid: ordinary, NoSetGroups: false}}
}

// asUser runs a command as an ordinary user: asuser COMMAND [ARG]... Its store
// and home are its own.
func asUser(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: asuser COMMAND [ARG]...")
	}
	path, err := exec.LookPath(filepath.Join(top, "bin", args[0]))
	if err != nil {
		path, err = exec.LookPath(args[0])
		ts.Check(err)
	}
	cmd := exec.Command(path, args[1:]...)
	cmd.Dir = ts.Getenv("PWD")
	if cmd.Dir == "" {
		cmd.Dir = ts.MkAbs(".")
	}
	for _, name := range []string{"PATH", "SOURCE", "NO_COLOR", "LC_ALL", "WORK"} {
		cmd.Env = append(cmd.Env, name+"="+ts.Getenv(name))
	}
	home := ts.MkAbs("userhome")
	ts.Check(os.MkdirAll(home, 0o755))
	cmd.Env = append(cmd.Env, "HOME="+home, "DOCKSMITH_ROOT="+filepath.Join(home, "store"))
	if os.Geteuid() == 0 {
		ts.Check(giveToUser(home))
		cmd.SysProcAttr = asOrdinary()
	}
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	_, _ = ts.Stdout().Write([]byte(stdout.String()))
	_, _ = ts.Stderr().Write([]byte(stderr.String()))
	if neg != (err != nil) {
		ts.Fatalf("as user: %v\n%s%s", err, stdout.String(), stderr.String())
	}
}

func giveToUser(dir string) error {
	return filepath.WalkDir(dir, func(path string, _ os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		return os.Lchown(path, ordinary, ordinary)
	})
}

// userNamespaces tries to make one.
func userNamespaces() bool {
	cmd := exec.Command("true")
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Cloneflags:  syscall.CLONE_NEWUSER,
		UidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getuid(), Size: 1}},
		GidMappings: []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}},
	}
	return cmd.Run() == nil
}

// buildAsOrdinary builds the box's context as another user with a store of its
// own, and returns the digest.
func buildAsOrdinary(t *testing.T, b *box) string {
	t.Helper()
	inner := *b
	inner.dir = b.path("ordinary")
	b.sh("mkdir ordinary && cp -R ctx base.tar ordinary && chmod 755 .")
	if err := giveToUser(inner.dir); err != nil {
		t.Fatal(err)
	}
	cmd := inner.command("docksmith import base.tar base >/dev/null && docksmith build -q -t app ctx")
	cmd.Env = append(cmd.Env, "HOME="+inner.dir, "DOCKSMITH_ROOT=")
	cmd.SysProcAttr = asOrdinary()
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("as user %d: %v\n%s", ordinary, err, stderr.String())
	}
	return strings.TrimSpace(string(out))
}

// peak runs a shell command line and returns the peak memory, in bytes, of the
// largest process below it.
func (b *box) peak(script string) int64 {
	b.t.Helper()
	cmd := b.command(script)
	if out, err := cmd.CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", script, err, out)
	}
	return cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
}
