package sandbox

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// create makes a container of the box; what its process writes goes to out.
func (b *box) create(o CreateOptions) (*Created, error) {
	b.t.Helper()
	raw, err := json.Marshal(b.spec)
	b.check(err)
	b.check(os.WriteFile(filepath.Join(b.dir, "config.json"), raw, 0o600))
	bundle, err := OpenBundle(b.dir)
	b.check(err)
	defer bundle.Close()
	null, err := os.Open("/dev/null")
	b.check(err)
	defer null.Close()
	out, err := os.OpenFile(filepath.Join(b.dir, "out"), os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	b.check(err)
	defer out.Close()
	o.Stdin, o.Stdout, o.Stderr = null, out, out
	o.Gate = filepath.Join(b.dir, "gate")
	return Create(bundle, o)
}

func (b *box) written() string {
	raw, err := os.ReadFile(filepath.Join(b.dir, "out"))
	b.check(err)
	return string(raw)
}

// reap waits for the end of a created container, which is our child here.
func reap(t *testing.T, pid int) unix.WaitStatus {
	t.Helper()
	var status unix.WaitStatus
	if _, err := wait(pid, &status, nil); err != nil {
		t.Fatal(err)
	}
	return status
}

func TestCreateWaitsForStart(t *testing.T) {
	b := newBox(t)
	if staticBusybox() == "" {
		t.Skip("no static busybox")
	}
	for _, noNew := range []bool{true, false} {
		b.spec.Process.NoNewPrivileges = noNew
		b.spec.Process.Args = []string{"sh", "-c", "echo $$; cat /proc/self/status; exit 7"}
		made, err := b.create(CreateOptions{})
		b.check(err)
		time.Sleep(20 * time.Millisecond)
		if out := b.written(); out != "" {
			t.Errorf("the command runs before it is started: %s", out)
		}
		raw, err := json.Marshal(made)
		b.check(err)
		var later Created
		b.check(json.Unmarshal(raw, &later))
		b.check(later.Start())
		if status := reap(t, made.PID); status.ExitStatus() != 7 {
			t.Errorf("status %v", status)
		}
		out := b.written()
		for _, want := range []string{"1\n", "Seccomp:\t2", "CapEff:\t" + boxCapsMask, "SigBlk:\t0000000000000000"} {
			if !strings.Contains(out, want) {
				t.Errorf("the output lacks %q:\n%s", want, out)
			}
		}
		if err := made.Start(); err == nil {
			t.Error("a container that has ended was started")
		}
		b.check(os.Remove(made.Gate))
	}
}

func TestCreatedCanBeKilled(t *testing.T) {
	b := newBox(t)
	made, err := b.create(CreateOptions{})
	b.check(err)
	b.check(unix.Kill(made.PID, unix.SIGKILL))
	if status := reap(t, made.PID); status.Signal() != unix.SIGKILL {
		t.Errorf("status %v", status)
	}
}

func TestStartTellsWhatFails(t *testing.T) {
	b := newBox(t)
	b.write("script", "#!/not/there\n")
	b.check(os.Chmod(filepath.Join(b.lower, "script"), 0o755))
	b.spec.Process.Args = []string{"/script"}
	made, err := b.create(CreateOptions{})
	b.check(err)
	if err := made.Start(); !errors.Is(err, ErrCommandNotFound) {
		t.Errorf("start: %v", err)
	}
	reap(t, made.PID)
}

func TestFailedCreateLeavesNothing(t *testing.T) {
	b := newBox(t)
	b.spec.Process.Args = []string{"/not/there"}
	if _, err := b.create(CreateOptions{}); !errors.Is(err, ErrCommandNotFound) {
		t.Errorf("create: %v", err)
	}
	if _, err := os.Lstat(filepath.Join(b.dir, "gate")); err == nil {
		t.Error("the gate is still there")
	}
	if left, err := os.ReadFile("/proc/self/task/" + strconv.Itoa(unix.Gettid()) + "/children"); err == nil && len(left) > 0 {
		t.Errorf("children: %s", left)
	}
}
