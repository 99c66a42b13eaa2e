package main

import (
	"context"
	"io"

	"docksmith/lib/cli"
)

// openInput is cli's Input that a signal interrupts: a read from a pipe whose
// writer is silent would otherwise outlast it.
func openInput(ctx context.Context, stdio *cli.IO, args []string) (string, io.ReadCloser, error) {
	name, in, err := stdio.Input(args)
	if err != nil {
		return name, nil, err
	}
	pr, pw := io.Pipe()
	stop := context.AfterFunc(ctx, func() { pw.CloseWithError(ctx.Err()) })
	go func() {
		_, err := io.CopyBuffer(pw, in, make([]byte, 128<<10))
		stop()
		pw.CloseWithError(err) // nil is the end
	}()
	return name, &input{pr, in}, nil
}

// input closes both ends.
type input struct {
	*io.PipeReader
	in io.Closer
}

func (i *input) Close() error {
	_ = i.PipeReader.Close() // never fails, and ends the copy at its next write
	return i.in.Close()
}

// untilDone is a writer that a signal stops.
type untilDone struct {
	ctx context.Context
	w   io.Writer
}

func (u untilDone) Write(p []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.w.Write(p)
}
