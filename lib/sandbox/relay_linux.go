package sandbox

import (
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// relay connects the caller's standard input and output to a terminal of a
// container, as long as its process runs: what is typed goes in as it is, the
// size follows the caller's, and the caller's terminal is afterwards what it was.
type relay struct {
	near    *os.File
	in, out *os.File
	saved   *unix.Termios // of in, when it is a terminal
	drained chan struct{}
	once    sync.Once
	winch   chan os.Signal
}

// startRelay takes near over.
func startRelay(near, in, out *os.File) (*relay, error) {
	if in == nil {
		in = os.Stdin
	}
	if out == nil {
		out = os.Stdout
	}
	r := &relay{near: near, in: in, out: out, drained: make(chan struct{}), winch: make(chan os.Signal, 1)}
	if isTerminal(int(in.Fd())) {
		signal.Notify(r.winch, unix.SIGWINCH)
		r.resize()
		go func() {
			for range r.winch {
				r.resize()
			}
		}()
		if err := r.raw(); err != nil {
			r.stop()
			return nil, err
		}
	}
	go func() { _, _ = io.Copy(near, in) }() // ends with the program, or with the input
	go func() {
		defer close(r.drained)
		_, _ = io.Copy(out, near) // EIO once nobody has the far end open
	}()
	return r, nil
}

// raw has the terminal pass every byte on as it is.
func (r *relay) raw() error {
	t, err := unix.IoctlGetTermios(int(r.in.Fd()), unix.TCGETS)
	if err != nil {
		return err
	}
	saved := *t
	t.Iflag &^= unix.IGNBRK | unix.BRKINT | unix.PARMRK | unix.ISTRIP | unix.INLCR | unix.IGNCR | unix.ICRNL | unix.IXON
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ECHONL | unix.ICANON | unix.ISIG | unix.IEXTEN
	t.Cflag = t.Cflag&^(unix.CSIZE|unix.PARENB) | unix.CS8
	t.Cc[unix.VMIN], t.Cc[unix.VTIME] = 1, 0
	r.saved = &saved
	return unix.IoctlSetTermios(int(r.in.Fd()), unix.TCSETSW, t)
}

func (r *relay) resize() {
	size, err := unix.IoctlGetWinsize(int(r.in.Fd()), unix.TIOCGWINSZ)
	if err == nil {
		_ = unix.IoctlSetWinsize(int(r.near.Fd()), unix.TIOCSWINSZ, size)
	}
}

// finish ends the relay when the process has ended. What it wrote comes out
// before; what others still write, who have the terminal open, need not.
func (r *relay) finish() {
	select {
	case <-r.drained:
	case <-time.After(time.Second):
	}
	r.stop()
}

// stop gives the caller its terminal back.
func (r *relay) stop() {
	r.once.Do(func() {
		signal.Stop(r.winch)
		close(r.winch)
		if r.saved != nil {
			_ = unix.IoctlSetTermios(int(r.in.Fd()), unix.TCSETSW, r.saved)
		}
		_ = r.near.Close()
	})
}
