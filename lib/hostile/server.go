package hostile

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// server answers HTTP requests on a loopback address, and remembers them. It is
// made of system calls: what it needs is little, and this program is one of those
// that open no connection, which a test proves by what they import.
type server struct {
	fd     int
	host   string // and port
	answer func(path string) string
	stop   chan struct{}
	done   chan struct{}

	mu   sync.Mutex
	seen []string // requests
}

// listen begins to answer at a loopback address, which others may also have.
func listen(ip [4]byte) (*server, error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0)
	if err != nil {
		return nil, err
	}
	unix.CloseOnExec(fd)
	s := &server{fd: fd, stop: make(chan struct{}), done: make(chan struct{})}
	var name unix.Sockaddr
	if err = unix.Bind(fd, &unix.SockaddrInet4{Addr: ip}); err == nil {
		err = unix.Listen(fd, 16)
	}
	if err == nil {
		name, err = unix.Getsockname(fd)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen on %d.%d.%d.%d: %w", ip[0], ip[1], ip[2], ip[3], err), unix.Close(fd))
	}
	s.host = fmt.Sprintf("%d.%d.%d.%d:%d", ip[0], ip[1], ip[2], ip[3], name.(*unix.SockaddrInet4).Port)
	return s, nil
}

// serve answers until close is called.
func (s *server) serve(answer func(path string) string) {
	s.answer = answer
	go func() {
		defer close(s.done)
		for {
			select {
			case <-s.stop:
				return
			default:
			}
			ready := []unix.PollFd{{Fd: int32(s.fd), Events: unix.POLLIN}}
			if n, err := unix.Poll(ready, 20); err != nil || n == 0 {
				continue
			}
			if conn, _, err := unix.Accept(s.fd); err == nil {
				unix.CloseOnExec(conn)
				s.talk(conn)
			}
		}
	}()
}

// talk has one request and one answer.
func (s *server) talk(fd int) {
	_ = unix.SetNonblock(fd, true)
	conn := os.NewFile(uintptr(fd), "connection")
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	var request []byte
	for b := make([]byte, 4096); !bytes.Contains(request, []byte("\r\n\r\n")) && len(request) < megabyte; {
		n, err := conn.Read(b)
		request = append(request, b[:n]...)
		if err != nil {
			break
		}
	}
	s.mu.Lock()
	s.seen = append(s.seen, string(request))
	s.mu.Unlock()
	path := ""
	if words := bytes.Fields(request); len(words) > 1 {
		path = string(words[1])
	}
	_, _ = conn.WriteString(s.answer(path))
	_ = unix.Shutdown(fd, unix.SHUT_WR)
	_, _ = conn.Read(make([]byte, 1)) // until the other end has read it
}

// requests are those so far.
func (s *server) requests() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]string(nil), s.seen...)
}

func (s *server) close() error {
	if s.answer != nil {
		close(s.stop)
		<-s.done
	}
	return unix.Close(s.fd)
}

// response is an HTTP response with a body.
func response(status, body string, headers ...string) string {
	text := "HTTP/1.1 " + status + "\r\nConnection: close\r\n" + fmt.Sprintf("Content-Length: %d\r\n", len(body))
	for _, h := range headers {
		text += h + "\r\n"
	}
	return text + "\r\n" + body
}
