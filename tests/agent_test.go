package tests

import (
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"
)

// agent SOCKET COMMENT is an ssh agent that has one key with that comment until
// the script ends, and says what it does not know back. It writes a line for each
// request to SOCKET.log.
func agent(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 2 {
		ts.Fatalf("usage: agent SOCKET COMMENT")
	}
	socket := ts.MkAbs(args[0])
	log, err := os.Create(socket + ".log")
	ts.Check(err)
	// The path of a socket is short, that of a script's directory may not be.
	dir, err := os.MkdirTemp("", "agent-")
	ts.Check(err)
	short := filepath.Join(dir, "s")
	l, err := net.Listen("unix", short)
	ts.Check(err)
	ts.Check(os.Symlink(short, socket))
	ts.Defer(func() {
		l.Close()
		log.Close()
		os.RemoveAll(dir)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				for answer(c, log, args[1]) == nil {
				}
			}()
		}
	}()
}

func answer(c io.ReadWriter, log io.Writer, comment string) error {
	var size [4]byte
	if _, err := io.ReadFull(c, size[:]); err != nil {
		return err
	}
	message := make([]byte, binary.BigEndian.Uint32(size[:]))
	if _, err := io.ReadFull(c, message); err != nil {
		return err
	}
	fmt.Fprintln(log, "request", message[0])
	if message[0] == 11 {
		message = binary.BigEndian.AppendUint32([]byte{12}, 1)
		for _, word := range []string{"key", comment} {
			message = append(binary.BigEndian.AppendUint32(message, uint32(len(word))), word...)
		}
	}
	_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...))
	return err
}
