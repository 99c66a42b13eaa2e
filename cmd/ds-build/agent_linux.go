package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"docksmith/lib/build"
)

// An agent's socket is not mounted itself, for its owner and mode would be the
// user's: a command gets one of ours, and what is said on it is passed on. This
// is done with bare system calls because package net would cost every build
// part of a millisecond.

// agentProxy is a socket in a bundle that leads to an agent of the user.
type agentProxy struct {
	path     string
	to       string
	listener *os.File

	mu    sync.Mutex
	conns map[*os.File]bool
	ended bool
	done  sync.WaitGroup
}

// backlog is how many clients may wait: one that finds it full is told to try
// again, which few do for a socket of this kind. The kernel has a limit, too.
const backlog = 4096

// agentPatience is how long an agent may be too busy for a new connection.
const agentPatience = 10 * time.Second

// serveAgent listens on s in the directory dir until close.
func serveAgent(dir string, s build.Socket) (_ *agentProxy, err error) {
	p := &agentProxy{path: filepath.Join(dir, s.Name), to: s.To, conns: map[*os.File]bool{}}
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("make socket: %w", err)
	}
	p.listener = os.NewFile(uintptr(fd), "agent")
	defer func() {
		if err != nil {
			p.listener.Close()
		}
	}()
	if err := withAddress(p.path, func(a unix.Sockaddr) error { return unix.Bind(fd, a) }); err != nil {
		return nil, fmt.Errorf("bind %s: %w", p.path, err)
	}
	// Where the ids do not exist nobody but root can come.
	if err := unix.Lchown(p.path, int(s.UID), int(s.GID)); err != nil && !errors.Is(err, unix.EINVAL) {
		return nil, fmt.Errorf("set owner of %s: %w", p.path, err)
	}
	if err := errors.Join(unix.Chmod(p.path, s.Mode), unix.Listen(fd, backlog)); err != nil {
		return nil, fmt.Errorf("listen on %s: %w", p.path, err)
	}
	p.done.Go(p.accept)
	return p, nil
}

// withAddress gives the address of a path of any length.
func withAddress(path string, f func(unix.Sockaddr) error) error {
	dir, err := unix.Open(filepath.Dir(path), unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(dir)
	return f(&unix.SockaddrUnix{Name: "/proc/self/fd/" + strconv.Itoa(dir) + "/" + filepath.Base(path)})
}

// close ends all connections and removes the socket.
func (p *agentProxy) close() {
	p.mu.Lock()
	p.ended = true
	p.listener.Close()
	for c := range p.conns {
		c.Close()
	}
	p.mu.Unlock()
	p.done.Wait()
	_ = os.Remove(p.path) // the bundle is removed, too
}

func (p *agentProxy) accept() {
	raw, err := p.listener.SyscallConn()
	if err != nil {
		return
	}
	for {
		var fd int
		var aerr error
		err := raw.Read(func(l uintptr) bool {
			fd, _, aerr = unix.Accept4(int(l), unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
			return !errors.Is(aerr, unix.EAGAIN)
		})
		if err != nil {
			return // closed
		}
		if aerr == nil {
			client := os.NewFile(uintptr(fd), "agent connection")
			p.done.Go(func() { p.join(client) })
		}
	}
}

// join connects a client with the agent.
func (p *agentProxy) join(client *os.File) {
	if !p.keep(client) {
		return
	}
	defer p.drop(client)
	agent, err := p.dial()
	if err != nil || !p.keep(agent) {
		return
	}
	defer p.drop(agent)
	pass := func(to, from *os.File) {
		_, _ = io.Copy(to, from)
		_ = shutdown(to)
	}
	var both sync.WaitGroup
	both.Go(func() { pass(agent, client) })
	both.Go(func() { pass(client, agent) })
	both.Wait()
}

// keep notes a connection, for close to end; false if that has happened.
func (p *agentProxy) keep(c *os.File) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.ended {
		c.Close()
		return false
	}
	p.conns[c] = true
	return true
}

func (p *agentProxy) drop(c *os.File) {
	p.mu.Lock()
	defer p.mu.Unlock()
	c.Close()
	delete(p.conns, c)
}

// dial connects to the agent. It does not block: an agent that was stopped must
// not keep the build from its end.
func (p *agentProxy) dial() (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	for began := time.Now(); ; time.Sleep(5 * time.Millisecond) {
		err := withAddress(p.to, func(a unix.Sockaddr) error { return unix.Connect(fd, a) })
		if err == nil {
			return os.NewFile(uintptr(fd), "agent"), nil
		}
		p.mu.Lock()
		ended := p.ended
		p.mu.Unlock()
		if ended || !errors.Is(err, unix.EAGAIN) || time.Since(began) > agentPatience {
			unix.Close(fd)
			return nil, err
		}
	}
}

// shutdown tells the other end that nothing more comes.
func shutdown(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
}
