package main

import (
	"context"
	"errors"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"docksmith/lib/cli"
	"docksmith/lib/dashboard"
)

// What a terminal is told: the other screen, no cursor, no wrapping of lines
// that are too long; and all of that back.
const (
	screenOn  = "\x1b[?1049h\x1b[?25l\x1b[?7l"
	screenOff = "\x1b[?7h\x1b[?25h\x1b[?1049l"
)

// screen is a terminal that one program has for itself.
type screen struct {
	out   *cli.Output
	in    *os.File
	saved *unix.Termios // of in; nil if that is no terminal, and has no keys
}

// on takes the terminal: keys come one by one and are not shown. Those that
// send signals still do.
func (s *screen) on() error {
	if cli.Terminal(s.in) {
		t, err := unix.IoctlGetTermios(int(s.in.Fd()), getTermios)
		if err != nil {
			return err
		}
		keys := *t
		keys.Lflag &^= unix.ICANON | unix.ECHO
		keys.Cc[unix.VMIN], keys.Cc[unix.VTIME] = 1, 0
		if err := unix.IoctlSetTermios(int(s.in.Fd()), setTermios, &keys); err != nil {
			return err
		}
		s.saved = t
	}
	return s.write(screenOn)
}

// off gives the terminal back as it was.
func (s *screen) off() error {
	err := s.write(screenOff)
	if s.saved != nil {
		err = errors.Join(err, unix.IoctlSetTermios(int(s.in.Fd()), setTermios, s.saved))
	}
	return err
}

func (s *screen) write(text string) error {
	_, err := io.WriteString(s.out, text)
	return errors.Join(err, s.out.Flush())
}

// draw shows lines in the place of those before. Each is cleared behind its
// text, not before it: nothing flickers. The last column is left free, since
// text in it would be cleared, too.
func (s *screen) draw(lines []string) error {
	return s.write("\x1b[H" + strings.Join(lines, "\x1b[K\n") + "\x1b[K\x1b[J")
}

// size is that of the terminal, or what the oldest had.
func (s *screen) size() (width, height int) {
	w, err := unix.IoctlGetWinsize(int(s.out.File().Fd()), unix.TIOCGWINSZ)
	if err != nil || w.Col == 0 || w.Row == 0 {
		return 80, 24
	}
	return int(w.Col), int(w.Row)
}

// liveDashboard draws until q or a signal. Whatever ends it, a panic too, the
// terminal is given back.
func liveDashboard(ctx context.Context, stdio *cli.IO, r *dashboard.Reader, interval time.Duration, color bool) (err error) {
	s := &screen{out: stdio.Stdout, in: stdio.Stdin}
	if err := s.on(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.off()) }()
	resized, stopped := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(resized, syscall.SIGWINCH)
	signal.Notify(stopped, syscall.SIGTSTP)
	defer signal.Stop(resized)
	defer signal.Stop(stopped)
	keys := s.keys()
	var view dashboard.View
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	m, err := r.Read(ctx, time.Now())
	for err == nil {
		width, height := s.size()
		if err = s.draw(view.Draw(m, dashboard.TextOptions{Width: width - 1, Height: height, Color: color})); err != nil {
			break
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case key := <-keys:
			if key == "q" || key == "" {
				return nil
			}
			view.Key(key)
		case <-resized: // the same once more
		case <-stopped:
			err = s.stop()
		case <-ticker.C:
			m, err = r.Read(ctx, time.Now())
		}
	}
	return err
}

// keys gives what is typed, a key as the terminal sends it, and at the end of
// input an empty one. Whoever reads goes on until the program ends.
func (s *screen) keys() <-chan string {
	keys := make(chan string)
	if s.saved == nil {
		return keys
	}
	go func() {
		defer close(keys)
		sent := make([]byte, 64)
		for {
			n, err := s.in.Read(sent)
			if err != nil || n == 0 {
				return
			}
			for _, key := range split(string(sent[:n])) {
				keys <- key
			}
		}
	}()
	return keys
}

// split takes keys apart that were typed faster than they were read: a letter, or
// an escape character with "[", what goes with it and a letter or "~", or with "O" and a letter.
func split(sent string) (keys []string) {
	for sent != "" {
		n := 1
		switch {
		case strings.HasPrefix(sent, "\x1b["):
			n = len(sent)
			if i := strings.IndexFunc(sent[2:], func(r rune) bool { return r >= '@' && r <= '~' }); i >= 0 {
				n = 2 + i + 1
			}
		case strings.HasPrefix(sent, "\x1bO"):
			n = min(3, len(sent))
		}
		keys = append(keys, sent[:n])
		sent = sent[n:]
	}
	return keys
}

// stop lets the shell have the terminal until it says to go on. The signal may
// reach another thread first, so this one waits to be told.
func (s *screen) stop() error {
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	if err := s.off(); err != nil {
		return err
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGSTOP); err != nil {
		return err
	}
	<-resumed
	return s.on()
}
