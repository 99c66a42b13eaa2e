package container

import (
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

// TestLoadCountsTheProcessesBelow waits for what a busy machine takes its time
// for; nothing else ends the loops.
func TestLoadCountsTheProcessesBelow(t *testing.T) {
	cmd := exec.Command("sh", "-c", "sh -c 'sleep 1000 & wait' & while :; do :; done")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	check(t, cmd.Start())
	defer func() { _ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }()
	s := running(ok(Identify(cmd.Process.Pid)))
	var l Load
	for l.Processes < 3 || l.CPU == 0 {
		l = ok(s.Load())
		time.Sleep(time.Millisecond)
	}
	if one := ok(processLoad(s.PID)); one.Processes != 1 || one.Memory <= 0 || l.Memory <= one.Memory {
		t.Errorf("%+v of %+v", one, l)
	}
	check(t, syscall.Kill(-s.PID, syscall.SIGKILL))
	_ = cmd.Wait() // killed
	if l, err := s.Load(); !errors.Is(err, fs.ErrNotExist) {
		t.Error(l, err)
	}
	if _, err := (&State{}).Load(); !errors.Is(err, os.ErrProcessDone) {
		t.Error(err)
	}
}

func TestLoadPrefersCgroups(t *testing.T) {
	_, p := sleeper(t)
	dir := func(files map[string]string) string {
		d := t.TempDir()
		for name, text := range files {
			check(t, os.WriteFile(filepath.Join(d, name), []byte(text), 0o600))
		}
		return d
	}
	for what, cgroups := range map[string][]string{
		"version 1": {dir(map[string]string{"cpuacct.usage": "7000000000\n", "cpu.stat": "nr_periods 0\n"}), dir(map[string]string{"memory.usage_in_bytes": "4096\n"})},
		"version 2": {dir(map[string]string{"cpu.stat": "usage_usec 7000000\nuser_usec 1\n", "memory.current": "4096\n"})},
	} {
		s := running(p)
		s.Cgroups = cgroups
		if l := ok(s.Load()); l.CPU != 7*time.Second || l.Memory != 4096 || l.Processes != 1 {
			t.Errorf("%s: %+v", what, l)
		}
	}
	// Of a process that is large: what a small one has may not be counted yet.
	s := running(ok(Identify(os.Getpid())))
	s.Cgroups = []string{dir(map[string]string{"cpu.stat": "usage_usec", "memory.current": "max", "cpuacct.usage": ""}), "/none"}
	if l := ok(s.Load()); l.CPU == 7*time.Second || l.Memory <= 4096 {
		t.Errorf("what is no number is used: %+v", l)
	}
}
