package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

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
	if err := errors.Join(unix.Chmod(p.path, s.Mode), unix.Listen(fd, 16)); err != nil {
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
			p.join(os.NewFile(uintptr(fd), "agent connection"))
		}
	}
}

// join connects a client with the agent.
func (p *agentProxy) join(client *os.File) {
	agent, err := dial(p.to)
	if err != nil {
		client.Close()
		return
	}
	if !p.keep(client, agent) {
		return
	}
	pass := func(to, from *os.File) {
		_, _ = io.Copy(to, from)
		_ = shutdown(to)
	}
	p.done.Go(func() {
		var both sync.WaitGroup
		both.Go(func() { pass(agent, client) })
		both.Go(func() { pass(client, agent) })
		both.Wait()
		p.mu.Lock()
		defer p.mu.Unlock()
		for _, c := range []*os.File{client, agent} {
			c.Close()
			delete(p.conns, c)
		}
	})
}

func (p *agentProxy) keep(conns ...*os.File) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range conns {
		if p.ended {
			c.Close()
		} else {
			p.conns[c] = true
		}
	}
	return !p.ended
}

func dial(path string) (*os.File, error) {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	if err := withAddress(path, func(a unix.Sockaddr) error { return unix.Connect(fd, a) }); err != nil {
		unix.Close(fd)
		return nil, err
	}
	if err := unix.SetNonblock(fd, true); err != nil {
		unix.Close(fd)
		return nil, err
	}
	return os.NewFile(uintptr(fd), "agent"), nil
}

// shutdown tells the other end that nothing more comes.
func shutdown(f *os.File) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	return raw.Control(func(fd uintptr) { _ = unix.Shutdown(int(fd), unix.SHUT_WR) })
}
