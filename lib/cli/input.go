package cli

import (
	"context"
	"io"
	"os"
)

// Input opens the operand of a filter: the named file, or stdin for "-" and
// for no operand. A terminal on stdin is wrong usage, not a silent wait. The
// name is what messages call the input. A signal that cancels the program's
// context also ends a read from a pipe whose writer is silent, with that
// cancellation. The caller closes the input.
func (s *IO) Input(args []string) (name string, r io.ReadCloser, err error) {
	switch {
	case len(args) > 1:
		return "", nil, Usagef("one input expected, got %d", len(args))
	case len(args) == 1 && args[0] != "-":
		f, err := os.Open(args[0])
		if err != nil {
			return args[0], nil, err
		}
		return args[0], f, nil
	case isTerminal(s.Stdin):
		return "-", nil, Usagef("standard input is a terminal: name a file or pipe one in")
	}
	if info, err := s.Stdin.Stat(); err == nil && info.Mode().IsRegular() {
		return "-", io.NopCloser(s.Stdin), nil
	}
	return "-", interruptible(s.ctx, s.Stdin), nil
}

// interruptible copies f through a pipe of ours that the end of ctx closes. A
// read that blocks stays behind with its goroutine, until the program ends.
func interruptible(ctx context.Context, f *os.File) io.ReadCloser {
	r, w := io.Pipe()
	stop := context.AfterFunc(ctx, func() { _ = w.CloseWithError(ctx.Err()) }) // never fails
	go func() {
		_, err := io.CopyBuffer(w, struct{ io.Reader }{f}, make([]byte, 128<<10))
		stop()
		_ = w.CloseWithError(err) // never fails; nil is the end
	}()
	return r
}
