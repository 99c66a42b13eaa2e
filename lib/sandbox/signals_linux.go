package sandbox

import (
	"os"
	"os/signal"

	"golang.org/x/sys/unix"
)

// passed are the signals that a stand-in for another process passes on. Those
// that stop and continue are left alone: they reach a whole job.
var passed = []os.Signal{
	unix.SIGHUP, unix.SIGINT, unix.SIGQUIT, unix.SIGTERM, unix.SIGUSR1, unix.SIGUSR2, unix.SIGWINCH, unix.SIGALRM,
}

// passSignals passes signals on to pid until the returned function is called,
// which waits for the last one. seen, which may be nil, is told of each first.
// On a terminal that both share, the keyboard's signals already go to both.
func passSignals(pid int, terminal bool, seen func(unix.Signal)) (stop func()) {
	ch := make(chan os.Signal, 16)
	for _, s := range passed {
		if !signal.Ignored(s) {
			signal.Notify(ch, s)
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for s := range ch {
			sig := s.(unix.Signal)
			if seen != nil {
				seen(sig)
			}
			if terminal && (sig == unix.SIGINT || sig == unix.SIGQUIT || sig == unix.SIGWINCH) {
				continue
			}
			_ = unix.Kill(pid, sig) // it may have ended: its status tells
		}
	}()
	return func() {
		signal.Stop(ch)
		close(ch)
		<-done
	}
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
