package container

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// sleeper is a process that can be killed.
func sleeper(t *testing.T) (*exec.Cmd, Process) {
	t.Helper()
	cmd := exec.Command("sleep", "1000")
	check(t, cmd.Start())
	t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	return cmd, ok(Identify(cmd.Process.Pid))
}

// running is a state of a container whose command is p.
func running(p Process) State {
	return State{Status: Running, Bundle: "/b", PID: p.PID, Process: p}
}

func TestProcessIsItself(t *testing.T) {
	cmd, p := sleeper(t)
	if !p.Alive() || !ok(Self()).Alive() {
		t.Error("not alive")
	}
	for what, change := range map[string]func(*Process){
		"zero":       func(p *Process) { *p = Process{} },
		"start time": func(p *Process) { p.StartTime++ },
		"boot":       func(p *Process) { p.Boot = "another" },
	} {
		other := p
		change(&other)
		if other.Alive() {
			t.Errorf("%s: alive", what)
		}
		wantErr(t, other.Signal(syscall.SIGKILL), os.ErrProcessDone)
		if err := other.wait(t.Context()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	elsewhere := p
	elsewhere.Namespace++
	if err := elsewhere.Signal(syscall.SIGKILL); !elsewhere.Alive() || err == nil || errors.Is(err, os.ErrProcessDone) {
		t.Error("a process of another pid namespace:", err)
	}
	if !p.Alive() {
		t.Fatal("one of those signals arrived")
	}
	check(t, p.Signal(syscall.SIGKILL))
	check(t, p.wait(t.Context()))
	if p.Alive() {
		t.Error("alive, unreaped")
	}
	_ = cmd.Wait()
	if p.Alive() {
		t.Error("alive, reaped")
	}
	wantErr(t, p.Signal(syscall.SIGKILL), os.ErrProcessDone)
	_, err := Identify(p.PID)
	wantErr(t, err, os.ErrProcessDone)
}

func TestWaitForProcessEndsWithItsContext(t *testing.T) {
	_, p := sleeper(t)
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	wantErr(t, p.wait(ctx), context.DeadlineExceeded)
}

func TestProcessNameMayBeAnything(t *testing.T) {
	odd := filepath.Join(t.TempDir(), "x) R 1 1 (")
	raw := ok(os.ReadFile("/bin/sleep"))
	check(t, os.WriteFile(odd, raw, 0o755))
	cmd := exec.Command(odd, "1000")
	cmd.Args[0] = "sleep"
	check(t, cmd.Start())
	defer func() { _ = cmd.Process.Kill(); _ = cmd.Wait() }()
	p := ok(Identify(cmd.Process.Pid))
	_, plain := sleeper(t)
	if p.StartTime > plain.StartTime || plain.StartTime-p.StartTime > 500 || !p.Alive() {
		t.Errorf("%+v, started just before %+v", p, plain)
	}
}

func TestLostContainerIsReported(t *testing.T) {
	tab := Open(t.TempDir())
	cmd, p := sleeper(t)
	mcmd, monitor := sleeper(t)
	both := running(p)
	both.Monitor = monitor
	c := ok(tab.Create(both))
	reused := p
	reused.StartTime--
	early := ok(tab.Create(State{Status: Creating, Bundle: "/b", Monitor: monitor}))
	other := ok(tab.Create(running(reused)))

	lost := func(c *Container, want bool) {
		t.Helper()
		s := ok(c.State())
		if got := s.Status == Stopped; got != want || got && !s.Exit.Unknown {
			t.Fatalf("%+v", s)
		}
		if onDisk := ok(c.read()); onDisk.Status != s.Status {
			t.Fatalf("on disk %s, reported %s", onDisk.Status, s.Status)
		}
	}
	lost(other, true) // another process has the pid
	lost(c, false)
	lost(early, false)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	lost(c, false) // the monitor is about to say so
	_ = mcmd.Process.Kill()
	_ = mcmd.Wait()
	lost(c, true)
	lost(early, true)
}

func TestRunningContainerStays(t *testing.T) {
	tab := Open(t.TempDir())
	cmd, p := sleeper(t)
	c := ok(tab.Create(running(p)))
	wantErr(t, c.Remove(), ErrRunning)
	check(t, tab.Sweep())
	if s := ok(c.State()); s.PID != cmd.Process.Pid {
		t.Errorf("%+v", s)
	}
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	check(t, c.Remove())
}

func TestReportedThoughNotWritable(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root writes everywhere")
	}
	_, p := sleeper(t)
	p.StartTime++
	c := ok(Open(t.TempDir()).Create(running(p)))
	check(t, os.Chmod(c.Dir(), 0o500))
	defer os.Chmod(c.Dir(), 0o700)
	if s := ok(c.State()); s.Status != Stopped || !s.Exit.Unknown {
		t.Errorf("%+v", s)
	}
}

func TestWaitSeesTheEnd(t *testing.T) {
	tab := Open(t.TempDir())
	for what, end := range map[string]func(c *Container) error{
		"kept": func(c *Container) error {
			_, err := c.Update(func(s *State) error { s.End(Exit{Status: 7}); return nil })
			return err
		},
		"removed later": func(c *Container) error {
			return errors.Join(c.End(Exit{Status: 7}, false), c.Remove())
		},
		"removed": func(c *Container) error {
			return c.End(Exit{Status: 7}, true)
		},
	} {
		cmd, p := sleeper(t)
		c := ok(tab.Create(running(p)))
		got := make(chan State, 2)
		for range 2 {
			go func() {
				s, err := c.Wait(context.Background())
				if err != nil {
					t.Error(what, err)
				}
				got <- s
			}()
		}
		time.Sleep(30 * time.Millisecond)
		if len(got) > 0 {
			t.Fatalf("%s: waited for nothing", what)
		}
		check(t, end(c))
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		for range 2 {
			if s := <-got; s.Exit == nil || s.Exit.Status != 7 || s.Finished.IsZero() {
				t.Errorf("%s: %+v", what, s)
			}
		}
	}
	cmd, p := sleeper(t)
	c := ok(tab.Create(running(p)))
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	_, err := c.Wait(ctx)
	wantErr(t, err, context.DeadlineExceeded)
	_ = cmd.Process.Kill()
	_ = cmd.Wait()
	if s, err := c.Wait(t.Context()); err != nil || !s.Exit.Unknown {
		t.Error(s, err)
	}
	check(t, c.Remove())
	_, err = c.Wait(t.Context())
	wantErr(t, err, ErrNotFound)
}
