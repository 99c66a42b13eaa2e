package sandbox

import (
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// passed are the signals that a stand-in for another process passes on. Those
// that stop and continue are left alone: they reach a whole job.
var passed = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGALRM,
}

// signals are those that come to the caller for a process, from before there is one:
// what was sent while it was made is not lost.
type signals struct {
	ch chan os.Signal

	mu   sync.Mutex // held while one is passed on
	over bool
}

// catchSignals begins to keep signals. end must be called.
func catchSignals() *signals {
	s := &signals{ch: make(chan os.Signal, 16)}
	for _, sig := range passed {
		if !signal.Ignored(sig) {
			signal.Notify(s.ch, sig)
		}
	}
	return s
}

// pass begins to pass signals on to pid. On a terminal that both share, the
// keyboard's signals already go to both.
func (s *signals) pass(pid int, terminal bool) {
	early := len(s.ch)
	go func() {
		for got := range s.ch {
			sig := got.(unix.Signal)
			early--
			if terminal && early < 0 && (sig == unix.SIGINT || sig == unix.SIGQUIT || sig == unix.SIGWINCH) {
				continue
			}
			s.send(pid, sig)
		}
	}()
}

// send passes one on, unless pid may be another's by now.
func (s *signals) send(pid int, sig unix.Signal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.over {
		_ = unix.Kill(pid, sig) // it may have ended: its status tells
	}
}

// end sees to it that none is passed on any more when it returns. The rest it
// leaves to the background: for each signal the Go runtime waits for a thread of
// its own, twice.
func (s *signals) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.over {
		return
	}
	s.over = true
	go func() {
		signal.Stop(s.ch)
		close(s.ch)
	}()
}

// onTerminal tells whether a standard stream is a terminal.
func onTerminal() bool { return isTerminal(0) || isTerminal(1) || isTerminal(2) }

// sharesTerminal tells whether the caller is in the foreground of a terminal, so
// that its children get the keyboard's signals with it.
func sharesTerminal() bool {
	for fd := range 3 {
		group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
		if err == nil {
			return group == unix.Getpgrp()
		}
	}
	return false
}
