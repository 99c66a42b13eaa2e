package jobs

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

var errNoServer = errors.New("not open to this process")

// open opens both ends of the jobserver's pipe so that waiting can be ended. The
// inherited descriptors share their state, blocking or not, with make and all
// its other jobs: the pipe is opened anew.
func (s server) open() (in, out *os.File, err error) {
	if s.fifo != "" {
		in, err = openPipe(s.fifo, os.O_RDWR)
		return in, in, err
	}
	if in, err = openEnd(s.read, os.O_RDONLY); err != nil {
		return nil, nil, err
	}
	if out, err = openEnd(s.write, os.O_WRONLY); err != nil {
		in.Close()
		return nil, nil, err
	}
	return in, out, nil
}

func openEnd(fd, flag int) (*os.File, error) {
	if fd < 0 || !isPipe(fd) {
		return nil, errNoServer
	}
	f, err := openPipe(fmt.Sprintf("/proc/self/fd/%d", fd), flag)
	if err == nil {
		return f, nil
	}
	// No /proc: the descriptor as it is. Waiting on it may outlast its reason;
	// a token that comes then goes back.
	dup, err := unix.FcntlInt(uintptr(fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(dup), "jobserver"), nil
}

// openPipe opens a FIFO, and only that.
func openPipe(path string, flag int) (*os.File, error) {
	f, err := os.OpenFile(path, flag|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeNamedPipe == 0 {
		f.Close()
		return nil, errors.Join(errNoServer, err)
	}
	return f, nil
}

// isPipe tells whether a descriptor is open and a pipe. A number that make
// meant for others may be anything in this process.
func isPipe(fd int) bool {
	var st unix.Stat_t
	return unix.Fstat(fd, &st) == nil && st.Mode&unix.S_IFMT == unix.S_IFIFO
}

// keepFromChildren makes inherited descriptors end with the next program.
func (s server) keepFromChildren() {
	for _, fd := range []int{s.read, s.write} {
		if fd > 2 && isPipe(fd) {
			unix.CloseOnExec(fd)
		}
	}
}
