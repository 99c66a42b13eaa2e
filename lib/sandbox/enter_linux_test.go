package sandbox

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// inhabited starts a container that sleeps and gives what Enter needs.
func inhabited(t *testing.T, b *box) (in Joint, enter func(o Options) (string, Result, error), end func() Result) {
	t.Helper()
	if staticBusybox() == "" {
		t.Skip("no static busybox")
	}
	started, ended := make(chan int, 1), make(chan Result, 1)
	b.opts.Started = func(pid int) { started <- pid }
	b.opts.Cgroup = func(dirs []string) { in.Cgroups = dirs }
	opts := b.opts
	go func() {
		_, res, err := b.run("sh", "-c", "ulimit -n >/tmp/files; exec sleep 1000")
		if err != nil {
			t.Error(err)
			close(started)
		}
		ended <- res
	}()
	pid, ok := <-started
	if !ok {
		t.FailNow()
	}
	in.PID = pid
	fd, err := unix.PidfdOpen(pid, 0)
	b.check(err)
	in.PIDFD = os.NewFile(uintptr(fd), "pidfd")
	t.Cleanup(func() { in.PIDFD.Close() })
	for range 500 { // until the shell is the sleep
		if raw, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline"); strings.HasPrefix(string(raw), "sleep") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	enter = func(o Options) (string, Result, error) {
		o.NoSeccomp, o.NoNamespaces, o.Limits, o.Network = opts.NoSeccomp, opts.NoNamespaces, opts.Limits, opts.Network
		return b.enter(in, o)
	}
	return in, enter, func() Result { _ = unix.Kill(pid, unix.SIGKILL); return <-ended }
}

func (b *box) enter(in Joint, o Options) (string, Result, error) {
	b.t.Helper()
	r, w, err := os.Pipe()
	b.check(err)
	var out bytes.Buffer
	done := make(chan struct{})
	go func() { defer close(done); _, _ = io.Copy(&out, r) }()
	null, err := os.Open("/dev/null")
	b.check(err)
	defer null.Close()
	o.Stdin, o.Stdout, o.Stderr, o.Started, o.Cgroup = null, w, w, nil, nil
	res, err := Enter(b.t.Context(), in, b.spec, o)
	w.Close()
	<-done
	r.Close()
	return out.String(), res, err
}

// likeness prints what a command must have in common with another one that it
// is in a container with.
const likeness = `for n in mnt pid net ipc uts cgroup user; do readlink /proc/PID/ns/$n; done
grep -E "^(Cap|NoNewPrivs|Seccomp:|Seccomp_filters|Groups)" /proc/PID/status; cat /proc/PID/cgroup; grep -E "open files|processes" /proc/PID/limits
for n in root cwd; do readlink /proc/PID/$n; done`

func TestEnterIsLikeTheCommand(t *testing.T) {
	for name, limits := range map[string]Limits{"plain": {}, "limited": {Memory: 64 << 20, Pids: 20}} {
		t.Run(name, func(t *testing.T) {
			b := newBox(t)
			for _, n := range []string{"grep", "cmp", "pidof"} {
				b.check(os.Symlink("busybox", filepath.Join(b.lower, "bin", n)))
			}
			b.opts.Limits = limits
			if err := probeLimits(limits); err != nil {
				t.Skip(err)
			}
			_, enter, end := inhabited(t, b)
			defer end()
			both := "(" + strings.ReplaceAll(likeness, "PID", "$(pidof sleep)") + ") >/tmp/a 2>&1; (" + strings.ReplaceAll(likeness, "PID", "self") + ") >/tmp/b 2>&1; cat /tmp/a; cmp /tmp/a /tmp/b"
			out, res, err := enter(Options{Args: []string{"sh", "-c", both}})
			if err != nil || res.Status != 0 || strings.Count(out, "\n") < 20 || !strings.Contains(out, "Seccomp:\t2") {
				t.Fatalf("%+v, %v\n%s", res, err, out)
			}
			out, _, err = enter(Options{Args: []string{"sh", "-c", "hostname; cat /tmp/files; ls /; echo made >/tmp/made"}})
			if err != nil || !strings.HasPrefix(out, "box\n1024\n") {
				t.Fatalf("%v\n%s", err, out)
			}
			if raw, err := os.ReadFile(filepath.Join(b.dir, "upper/tmp/made")); err != nil || string(raw) != "made\n" {
				t.Fatal(string(raw), err)
			}
		})
	}
}

// probeLimits tells whether the machine lets us make cgroups.
func probeLimits(l Limits) error {
	g, err := cgroupPlan{resources: l.resources(nil), name: randomName()}.make()
	if g != nil {
		g.remove()
	}
	return err
}

func TestEnterHasItsOwn(t *testing.T) {
	b := newBox(t)
	b.write("etc/passwd", "app:x:0:0::/home/app:/bin/sh\n")
	_, enter, end := inhabited(t, b)
	out, res, err := enter(Options{
		Args: []string{"sh", "-c", "echo $HOME $WHO; pwd; exit 7"}, Env: []string{"WHO=me"}, User: "app", Cwd: "/tmp",
	})
	if err != nil || res.Status != 7 || out != "/home/app me\n/tmp\n" {
		t.Errorf("%+v, %v\n%s", res, err, out)
	}
	_, res, err = enter(Options{Args: []string{"sh", "-c", "kill -9 $$"}})
	if err != nil || res.Status != 137 || res.Signal != 9 {
		t.Errorf("%+v, %v", res, err)
	}
	_, _, err = enter(Options{Args: []string{"nothing"}})
	if !errors.Is(err, ErrCommandNotFound) {
		t.Error(err)
	}
	_, _, err = enter(Options{Args: []string{"/etc"}})
	if !errors.Is(err, ErrCommandNotInvocable) {
		t.Error(err)
	}
	if res := end(); res.Signal != 9 {
		t.Errorf("the container: %+v", res)
	}
	if _, _, err := enter(Options{Args: []string{"true"}}); !errors.Is(err, ErrEnded) {
		t.Error(err)
	}
}

// What entered ends with the container, and with its caller.
func TestEnterEndsWithTheContainer(t *testing.T) {
	b := newBox(t)
	_, enter, end := inhabited(t, b)
	result := make(chan Result)
	go func() {
		_, res, err := enter(Options{Args: []string{"sh", "-c", "echo >/tmp/here; sleep 1000"}})
		if err != nil {
			t.Error(err)
		}
		result <- res
	}()
	here := filepath.Join(b.dir, "upper/tmp/here")
	for range 1000 {
		if _, err := os.Stat(here); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	end()
	if res := <-result; res.Signal != 9 {
		t.Errorf("%+v", res)
	}
}

func TestEnterIsCancelled(t *testing.T) {
	b := newBox(t)
	in, _, end := inhabited(t, b)
	defer end()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	null, err := os.Open("/dev/null")
	b.check(err)
	defer null.Close()
	res, err := Enter(ctx, in, b.spec, Options{Args: []string{"sleep", "1000"}, Stdin: null, Stdout: null, Stderr: null})
	if err != nil || res.Signal != 9 {
		t.Errorf("%+v, %v", res, err)
	}
}
