package tests

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// terminal is a terminal with a program on it.
type terminal struct {
	*testing.T
	near, far *os.File
	cmd       *exec.Cmd
	seen      []byte
}

// onScreen starts a program on a terminal of a size.
func onScreen(t *testing.T, width, height uint16, program string, args ...string) *terminal {
	t.Helper()
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { near.Close() })
	number, err := unix.IoctlGetInt(int(near.Fd()), unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(int(near.Fd()), unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	far, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { far.Close() })
	s := &terminal{T: t, near: near, far: far, cmd: exec.Command(filepath.Join(top, "bin", program), args...)}
	s.resize(width, height)
	s.cmd.Stdin, s.cmd.Stdout, s.cmd.Stderr = far, far, far
	s.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	s.cmd.Env = append(os.Environ(), "DOCKSMITH_ROOT="+t.TempDir(), "TERM=xterm", "NO_COLOR=1")
	return s
}

func (s *terminal) resize(width, height uint16) {
	if err := unix.IoctlSetWinsize(int(s.near.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: width, Row: height}); err != nil {
		s.Fatal(err)
	}
}

func (s *terminal) settings() unix.Termios {
	set, err := unix.IoctlGetTermios(int(s.far.Fd()), unix.TCGETS)
	if err != nil {
		s.Fatal(err)
	}
	return *set
}

// until reads until the screen was told something, and forgets what was before.
func (s *terminal) until(text string) (before string) {
	s.Helper()
	piece := make([]byte, 4096)
	for {
		if i := bytes.Index(s.seen, []byte(text)); i >= 0 {
			before, s.seen = string(s.seen[:i]), s.seen[i+len(text):]
			return before
		}
		n, err := s.near.Read(piece)
		if err != nil {
			s.Fatalf("%v before %q: %q", err, text, s.seen)
		}
		s.seen = append(s.seen, piece[:n]...)
	}
}

// What the dashboard tells the terminal when it takes it, draws, and gives it back.
const (
	screenTaken = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[H"
	frameEnd    = "\x1b[K\x1b[J"
	screenGiven = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// TestDashboardGivesTheTerminalBack, whatever ends it.
func TestDashboardGivesTheTerminalBack(t *testing.T) {
	t.Parallel()
	for what, end := range map[string]struct {
		do   func(*terminal) error
		want string
	}{
		"q":      {func(s *terminal) error { _, err := s.near.WriteString("xq"); return err }, "exit status 0"},
		"Ctrl-C": {func(s *terminal) error { _, err := s.near.WriteString("\x03"); return err }, "signal: interrupt"},
		"TERM":   {func(s *terminal) error { return s.cmd.Process.Signal(syscall.SIGTERM) }, "signal: terminated"},
		"HUP":    {func(s *terminal) error { return s.cmd.Process.Signal(syscall.SIGHUP) }, "signal: hangup"},
	} {
		s := onScreen(t, 80, 24, "ds-store", "dashboard")
		before := s.settings()
		if err := s.cmd.Start(); err != nil {
			t.Fatal(err)
		}
		s.until(screenTaken)
		s.until(frameEnd)
		if during := s.settings(); during.Lflag&(unix.ICANON|unix.ECHO) != 0 || during.Lflag&unix.ISIG == 0 {
			t.Errorf("%s: the terminal is not taken: %+v", what, during)
		}
		if err := end.do(s); err != nil {
			t.Fatal(err)
		}
		s.until(screenGiven)
		_ = s.cmd.Wait() // told by the state
		if got := s.cmd.ProcessState.String(); got != end.want {
			t.Errorf("%s: %s, want %s", what, got, end.want)
		}
		if after := s.settings(); after != before {
			t.Errorf("%s: the terminal was %+v and is %+v", what, before, after)
		}
	}
}

// TestDashboardFollowsTheTerminal: its size, and a stop and its end.
func TestDashboardFollowsTheTerminal(t *testing.T) {
	t.Parallel()
	s := onScreen(t, 80, 24, "ds-store", "dashboard", "--interval", "1h")
	before := s.settings()
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.cmd.Process.Kill(); _ = s.cmd.Wait() }()
	s.until(screenTaken)
	if frame := s.until(frameEnd); !strings.Contains(frame, "IMAGES AND LAYERS") || strings.Count(frame, "\n") > 23 {
		t.Errorf("%q", frame)
	}
	if _, err := s.near.WriteString("b\x1b[B\x1b[Ai"); err != nil {
		t.Fatal(err)
	}
	if frame := s.until(frameEnd); !strings.Contains(frame, "BUILDS") || strings.Contains(frame, "DISK") {
		t.Errorf("%q", frame)
	}
	s.until(frameEnd)
	s.until(frameEnd)
	if frame := s.until(frameEnd); !strings.Contains(frame, "IMAGES AND LAYERS") || strings.Contains(frame, "BUILDS") {
		t.Errorf("%q", frame)
	}
	s.resize(40, 6)
	if frame := s.until(frameEnd); !strings.Contains(frame, "· cac…") || strings.Count(frame, "\n") != 5 {
		t.Errorf("%q", frame)
	}
	if _, err := s.near.WriteString("\x1a"); err != nil { // Ctrl-Z
		t.Fatal(err)
	}
	s.until(screenGiven)
	var status unix.WaitStatus
	if _, err := unix.Wait4(s.cmd.Process.Pid, &status, unix.WUNTRACED, nil); err != nil || !status.Stopped() {
		t.Fatal(err, status)
	}
	if now := s.settings(); now != before {
		t.Errorf("the terminal was %+v and is %+v", before, now)
	}
	if err := s.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	s.until(screenTaken)
	s.until(frameEnd)
}
