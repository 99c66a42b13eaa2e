package container

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// here is what this process counts pids and ticks in.
var here = sync.OnceValue(func() (p Process) {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err == nil {
		p.Boot = strings.TrimSpace(string(boot))
	}
	var st unix.Stat_t
	if unix.Stat("/proc/self/ns/pid", &st) == nil {
		p.Namespace = st.Ino
	}
	return p
})

// Self is the calling process.
func Self() (Process, error) { return Identify(os.Getpid()) }

// Identify tells who has a pid now. The caller knows that it is the right one,
// as a parent does of its child.
func Identify(pid int) (Process, error) {
	started, state, err := stat(pid)
	if err != nil {
		return Process{}, err
	}
	if state == 'X' {
		return Process{}, fmt.Errorf("identify process %d: %w", pid, os.ErrProcessDone)
	}
	p := here()
	p.PID, p.StartTime = pid, started
	return p, nil
}

// stat reads /proc/PID/stat, whose second field, in parentheses, can be anything.
func stat(pid int) (started uint64, state byte, err error) {
	raw, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if errors.Is(err, unix.ESRCH) || errors.Is(err, unix.ENOENT) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return 0, 0, fmt.Errorf("identify process %d: %w", pid, err)
	}
	const stateField, startField = 0, 19 // counted behind the parentheses
	fields := bytes.Fields(raw[bytes.LastIndexByte(raw, ')')+1:])
	if len(fields) <= startField {
		return 0, 0, fmt.Errorf("identify process %d: %q is no process's status", pid, raw)
	}
	started, err = strconv.ParseUint(string(fields[startField]), 10, 64)
	return started, fields[stateField][0], err
}

// foreign tells whether the process is of another pid namespace, in which we
// cannot see it.
func (p Process) foreign() bool { return p.Namespace != 0 && p.Namespace != here().Namespace }

// Alive tells whether the process lives. One that has ended does not, though
// nobody has reaped it; one that is out of sight, in another pid namespace, does
// until the machine starts anew.
func (p Process) Alive() bool {
	if p.PID <= 0 || p.Boot != here().Boot {
		return false
	}
	if p.foreign() {
		return true
	}
	started, state, err := stat(p.PID)
	if err != nil || started != p.StartTime || state == 'X' {
		return false
	}
	return state != 'Z' || !ended(p.PID)
}

// ended tells a process that waits to be reaped from one whose first thread has
// ended before the others: both look dead in /proc.
func ended(pid int) bool {
	fd, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		return true
	}
	defer unix.Close(fd)
	return readable(fd)
}

// readable tells whether what a pidfd is of has ended.
func readable(fd int) bool {
	for {
		n, err := unix.Poll([]unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}, 0)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}

// Open gives a pidfd of the process and of no other one. The error is
// os.ErrProcessDone when it has ended.
func (p Process) Open() (*os.File, error) {
	if p.foreign() {
		return nil, fmt.Errorf("open process %d: it is in another pid namespace", p.PID)
	}
	if p.PID <= 0 || p.Boot != here().Boot {
		return nil, fmt.Errorf("open process %d: %w", p.PID, os.ErrProcessDone)
	}
	fd, err := unix.PidfdOpen(p.PID, unix.PIDFD_NONBLOCK)
	if errors.Is(err, unix.ESRCH) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return nil, fmt.Errorf("open process %d: %w", p.PID, err)
	}
	f := os.NewFile(uintptr(fd), "pidfd")
	if !p.Alive() { // asked now, it is asked of the process that fd is of
		return nil, errors.Join(fmt.Errorf("open process %d: %w", p.PID, os.ErrProcessDone), f.Close())
	}
	return f, nil
}

// Signal sends a signal to the process and to no other one. The error is
// os.ErrProcessDone when it has ended.
func (p Process) Signal(sig syscall.Signal) error {
	f, err := p.Open()
	if err != nil {
		return err
	}
	defer f.Close()
	err = unix.PidfdSendSignal(int(f.Fd()), sig, nil, 0)
	if errors.Is(err, unix.ESRCH) {
		err = os.ErrProcessDone
	}
	if err != nil {
		return fmt.Errorf("signal process %d: %w", p.PID, err)
	}
	return nil
}

// wait returns when the process has ended, or with the context's error.
func (p Process) wait(ctx context.Context) error {
	f, err := p.Open()
	if errors.Is(err, os.ErrProcessDone) {
		return nil
	}
	if err != nil {
		return err
	}
	defer f.Close()
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	over := make(chan error, 1)
	go func() {
		over <- conn.Read(func(fd uintptr) bool { return readable(int(fd)) })
	}()
	select {
	case err := <-over:
		return err
	case <-ctx.Done():
		f.Close() // ends the read
		<-over
		return ctx.Err()
	}
}
