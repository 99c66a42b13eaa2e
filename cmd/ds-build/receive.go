package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
	"docksmith/lib/store"
)

// receive takes the context from standard input: a tar, compressed or not, or a
// Dockerfile or plan alone, whose context is empty.
func (in *inputs) receive(ctx context.Context, s *cli.IO, st *store.Store, file string) error {
	_, r, err := s.Input(nil)
	if err != nil {
		return err
	}
	defer r.Close()
	if in.temp, err = st.TempDir("context"); err != nil {
		return err
	}
	in.dir = filepath.Join(in.temp.Path, "context")
	if err := os.Mkdir(in.dir, 0o755); err != nil {
		return err
	}
	plain, form, err := layer.Decompress(r, layer.DecompressOptions{})
	if err != nil {
		return fmt.Errorf("read context from standard input: %w", err)
	}
	defer plain.Close()
	b := bufio.NewReaderSize(plain, 64<<10)
	text := false
	if form == layer.None {
		if text, err = startsAsText(b); err != nil {
			return fmt.Errorf("read context from standard input: %w", err)
		}
	}
	switch {
	case !text:
		if err := layer.Apply(ctx, b, in.dir, layer.ApplyOptions{Plain: true}); err != nil {
			return fmt.Errorf("read context from standard input: %w", err)
		}
		return nil
	case file != "":
		return cli.WithHint(errors.New("read context from standard input: it is text, not a tar"),
			"without -f it is taken for the Dockerfile, and the context is empty")
	}
	in.plan, err = decode(b, "<stdin>")
	return err
}

// startsAsText tells a Dockerfile from a tar: the header of a tar, which its
// first block is, has NUL bytes, and no text has any. Nothing at all is no text.
func startsAsText(r *bufio.Reader) (bool, error) {
	const block = 512
	head, err := r.Peek(block)
	if err != nil && err != io.EOF {
		return false, err
	}
	return len(head) > 0 && bytes.IndexByte(head, 0) < 0, nil
}
