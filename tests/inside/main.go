// Command inside is what the tests run inside images that have neither ssh nor a
// C library. Of an ssh agent "list" prints the comments of the keys; "many N"
// does it on N connections at once; "echo N" sends N bytes and wants them back,
// which only the agent of the tests does. "flip A B SECONDS" exchanges two names
// as fast as it can; "seize CANARY SECONDS" attacks processes that come in,
// "where CANARY" says whether the working directory leads out, and "now" how late
// it is.
package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync"
	"time"
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "inside:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	n := 1
	if len(args) > 1 {
		n, _ = strconv.Atoi(args[len(args)-1])
	}
	switch {
	case len(args) == 1 && args[0] == "list":
		return list(os.Stdout)
	case len(args) == 2 && args[0] == "many":
		return many(n)
	case len(args) == 2 && args[0] == "echo":
		sent := append([]byte{255}, bytes.Repeat([]byte("0123456789abcdef"), n/16)...)
		got, err := ask(sent)
		if err == nil && !bytes.Equal(sent, got) {
			err = fmt.Errorf("%d bytes came back, not the %d that were sent", len(got), len(sent))
		}
		return err
	case len(args) == 4 && args[0] == "flip":
		return flip(args[1], args[2], time.Duration(n)*time.Second)
	case len(args) == 3 && args[0] == "seize":
		return seize(args[1], time.Duration(n)*time.Second)
	case len(args) == 2 && args[0] == "where":
		return where(args[1])
	case len(args) == 1 && args[0] == "now":
		fmt.Println(time.Now().Unix())
		return nil
	}
	return errors.New("usage: inside list | many N | echo N | flip A B SECONDS | seize CANARY SECONDS | where CANARY | now")
}

// flip exchanges two names for a time.
func flip(a, b string, d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		for range 100 {
			if err := exchange(a, b); err != nil {
				return err
			}
		}
	}
	return nil
}

// many lists at the same time; all must say the same.
func many(n int) error {
	errs := make([]error, n)
	outs := make([]bytes.Buffer, n)
	var group sync.WaitGroup
	for i := range n {
		group.Go(func() { errs[i] = list(&outs[i]) })
	}
	group.Wait()
	for i := range outs {
		if !bytes.Equal(outs[i].Bytes(), outs[0].Bytes()) {
			errs = append(errs, errors.New("they say different things"))
		}
	}
	fmt.Print(outs[0].String())
	return errors.Join(errs...)
}

// list prints what SSH_AGENTC_REQUEST_IDENTITIES gives.
func list(w io.Writer) error {
	answer, err := ask([]byte{11})
	if err != nil {
		return err
	}
	if len(answer) < 5 || answer[0] != 12 {
		return fmt.Errorf("the answer is %q", answer)
	}
	rest := answer[5:]
	for range binary.BigEndian.Uint32(answer[1:]) {
		var comment []byte
		_, rest = word(rest)
		comment, rest = word(rest)
		fmt.Fprintf(w, "%s\n", comment)
	}
	return nil
}

func word(b []byte) (first, rest []byte) {
	n := binary.BigEndian.Uint32(b)
	return b[4 : 4+n], b[4+n:]
}

// ask sends one message, says that there is no other, and reads to the end.
func ask(message []byte) ([]byte, error) {
	c, err := net.Dial("unix", os.Getenv("SSH_AUTH_SOCK"))
	if err != nil {
		return nil, err
	}
	defer c.Close()
	sent := make(chan error, 1)
	go func() {
		_, err := c.Write(append(binary.BigEndian.AppendUint32(nil, uint32(len(message))), message...))
		sent <- errors.Join(err, c.(*net.UnixConn).CloseWrite())
	}()
	answer, err := io.ReadAll(c)
	if err = errors.Join(err, <-sent); err != nil {
		return nil, err
	}
	if len(answer) < 4 || int(binary.BigEndian.Uint32(answer)) != len(answer)-4 {
		return nil, fmt.Errorf("the answer was cut after %d bytes", len(answer))
	}
	return answer[4:], nil
}
