package main

import (
	"context"
	"errors"
	"io"
	"os"
	"syscall"

	"golang.org/x/sys/unix"

	"docksmith/lib/cli"
)

// watched is standard error for the progress. When nobody reads it any more, as
// after "2>&1 | head -1", the build is cancelled like by Ctrl-C: steps that are
// done stay done, the log has its end, nothing temporary is left.
type watched struct {
	w    io.Writer
	gone context.CancelFunc
}

// watch takes standard error from descriptor 2, where Go has a broken pipe kill
// the program in the middle of whatever it does.
func watch(s *cli.IO, gone context.CancelFunc) (*watched, error) {
	fd, err := unix.FcntlInt(s.Stderr.Fd(), unix.F_DUPFD_CLOEXEC, 3)
	if err != nil {
		return nil, err
	}
	s.Stderr = os.NewFile(uintptr(fd), s.Stderr.Name())
	return &watched{s.Stderr, gone}, nil
}

func (s *watched) Write(p []byte) (int, error) {
	n, err := s.w.Write(p)
	if errors.Is(err, syscall.EPIPE) {
		s.gone()
	}
	return n, err
}
