package tests

import (
	"errors"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = os.Getenv("UPDATE") != ""

func TestScript(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "script",
		WorkdirRoot:         workRoot(t),
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		UpdateScripts:       update,
		Setup:               setup,
		Condition:           condition,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"agent":  agent,
			"asuser": asUser,
			"status": status,
			"sh":     shell,
			"serve":  serve,
		},
	})
}

// workRoot is where the scripts' directories are made; the ordinary user has
// one of its own.
func workRoot(t *testing.T) string {
	dir := filepath.Join(top, "work-"+strconv.Itoa(os.Geteuid()))
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func setup(env *testscript.Env) error {
	for name, value := range map[string]string{
		"PATH":              filepath.Join(top, "bin") + string(os.PathListSeparator) + os.Getenv("PATH"),
		"HOME":              filepath.Join(env.WorkDir, "home"),
		"DOCKSMITH_ROOT":    filepath.Join(env.WorkDir, "store"),
		"SOURCE":            repository(),
		"SOURCE_DATE_EPOCH": "",
		"NO_COLOR":          "1",
		"LC_ALL":            "C",
	} {
		env.Setenv(name, value)
	}
	if os.Geteuid() == 0 {
		if err := giveToUser(env.WorkDir); err != nil {
			return err
		}
	}
	env.Defer(func() { endContainers(env) })
	return os.MkdirAll(filepath.Join(env.WorkDir, "home"), 0o755)
}

// endContainers removes the containers that a script left: one that fails in
// the middle must not leave programs running.
func endContainers(env *testscript.Env) {
	command := func(args ...string) *exec.Cmd {
		c := exec.Command(filepath.Join(top, "bin", "ds-exec"), args...)
		c.Env = append(os.Environ(), "DOCKSMITH_ROOT="+env.Getenv("DOCKSMITH_ROOT"))
		return c
	}
	ids, err := command("ps", "--quiet", "--all").Output()
	if err == nil && len(ids) > 0 {
		_ = command(append([]string{"rm", "--force"}, strings.Fields(string(ids))...)...).Run() // at most a leftover
	}
}

func repository() string {
	dir, err := filepath.Abs("..")
	if err != nil {
		panic("tests: no working directory: " + err.Error())
	}
	return dir
}

// limits tells whether cgroups can be made here for all limits.
func limits() bool {
	if os.Geteuid() != 0 {
		return false
	}
	if list, err := os.ReadFile("/sys/fs/cgroup/cgroup.controllers"); err == nil {
		return strings.Contains(string(list), "memory") && strings.Contains(string(list), "cpuset")
	}
	for _, controller := range []string{"memory", "cpu", "cpuset", "pids"} {
		if _, err := os.Stat("/sys/fs/cgroup/" + controller + "/cgroup.procs"); err != nil {
			return false
		}
	}
	return true
}

// condition answers [root], [overlay], [userns], [limits], and [ids]: root, or a
// user with a range of ids.
func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Geteuid() == 0, nil
	case "overlay":
		list, err := os.ReadFile("/proc/filesystems")
		return strings.Contains(string(list), "\toverlay\n"), ignoreMissing(err)
	case "userns":
		return os.Geteuid() == 0 || userNamespaces(), nil
	case "limits":
		return limits(), nil
	case "ids":
		return os.Geteuid() == 0 || hasIDRange(), nil
	}
	return false, errors.New("unknown condition " + name)
}

// hasIDRange tells whether /etc/subuid gives the user ids of others, by name or
// number.
func hasIDRange() bool {
	me, err := user.Current()
	if err != nil {
		return false
	}
	list, _ := os.ReadFile("/etc/subuid")
	for line := range strings.Lines(string(list)) {
		if who, _, _ := strings.Cut(line, ":"); who == me.Username || who == me.Uid {
			return true
		}
	}
	return false
}

func ignoreMissing(err error) error {
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// status runs a command and compares its exit status: status N COMMAND...
// Its output is there for stdout and stderr checks.
func status(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: status N COMMAND [ARG]...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	err = ts.Exec(args[1], args[2:]...)
	got := 0
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit):
		got = exitStatus(exit)
	case err != nil:
		ts.Fatalf("%v", err)
	}
	if got != want {
		ts.Fatalf("%s: status %d, want %d", strings.Join(args[1:], " "), got, want)
	}
}

func exitStatus(exit *exec.ExitError) int {
	if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
		return 128 + int(ws.Signal())
	}
	return exit.ExitCode()
}

// shell runs one argument with sh -eu, for pipes: sh 'a | b'. A leading "!"
// on the line expects failure.
func shell(ts *testscript.TestScript, neg bool, args []string) {
	if len(args) != 1 {
		ts.Fatalf("usage: sh 'COMMANDS'")
	}
	err := ts.Exec("sh", "-euc", args[0])
	if neg && err == nil {
		ts.Fatalf("unexpected success")
	}
	if !neg && err != nil {
		ts.Fatalf("%v", err)
	}
}
