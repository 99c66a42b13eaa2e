package tests

import (
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
)

// onTerminal runs a shell command as the container, on a terminal whose near end
// is received, and gives what is written to it.
func (b *bundle) onTerminal(command string) string {
	b.Helper()
	b.Process.Args = []string{"sh", "-c", command}
	b.write()
	path := filepath.Join(b.dir, "console")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	b.must(err)
	defer l.Close()
	got := make(chan *os.File, 1)
	go func() { got <- receiveFile(l) }()
	b.ok("create", "--bundle", b.dir, "--console-socket", path, b.id)
	near := <-got
	if near == nil {
		b.Fatal("no terminal came")
	}
	defer near.Close()
	b.ok("start", b.id)
	out, err := io.ReadAll(near)
	if err != nil && !errors.Is(err, syscall.EIO) {
		b.Fatal(err)
	}
	b.ends()
	return string(out)
}

func receiveFile(l *net.UnixListener) *os.File {
	c, err := l.AcceptUnix()
	if err != nil {
		return nil
	}
	defer c.Close()
	rights := make([]byte, syscall.CmsgSpace(4))
	_, n, _, _, err := c.ReadMsgUnix(make([]byte, 100), rights)
	if err != nil {
		return nil
	}
	list, err := syscall.ParseSocketControlMessage(rights[:n])
	if err != nil || len(list) != 1 {
		return nil
	}
	fds, err := syscall.ParseUnixRights(&list[0])
	if err != nil || len(fds) != 1 {
		return nil
	}
	return os.NewFile(uintptr(fds[0]), "terminal")
}
