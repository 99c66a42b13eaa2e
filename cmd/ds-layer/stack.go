package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
)

func flattenCommand() *cli.Command {
	var out string
	return &cli.Command{
		Name:  "flatten",
		Args:  "LAYER...",
		Short: "Write the merged view of a stack of layers as one.",
		Long: `
The layers are given from the bottom to the top. The result has no whiteouts.

    ds-layer flatten base.tar.gz app.tar.gz | ds-store add-layer
`,
		Flags: func(f *cli.Flags) { outputFlag(f, &out) },
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			if err := refuseSame(out, args...); err != nil {
				return err
			}
			return withStack(s, args, func(layers []func() (io.ReadCloser, error)) error {
				return s.WithOutput(out, func(w io.Writer) error {
					return layer.Flatten(ctx, w, layers, layer.FlattenOptions{})
				})
			})
		},
	}
}

func catCommand() *cli.Command {
	return &cli.Command{
		Name:  "cat",
		Args:  "PATH LAYER...",
		Short: "Print one file of the merged view of a stack of layers.",
		Long: `
The layers are given from the bottom to the top. Links in the directories of
PATH are followed inside the layers; PATH itself must be a regular file.

    ds-layer cat /etc/os-release base.tar.gz
`,
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("PATH is missing")
			}
			return withStack(s, args[1:], func(layers []func() (io.ReadCloser, error)) error {
				return layer.Cat(ctx, s.Stdout, layers, args[0])
			})
		},
	}
}

// withStack calls f with openers of the named layers. They are opened more than
// once, so standard input, which one of them may be, goes through a temporary file.
func withStack(s *cli.IO, names []string, f func([]func() (io.ReadCloser, error)) error) error {
	if len(names) == 0 {
		return cli.Usagef("LAYER is missing")
	}
	var stdin *os.File
	layers := make([]func() (io.ReadCloser, error), len(names))
	for i, name := range names {
		if name != "-" {
			layers[i] = func() (io.ReadCloser, error) { return os.Open(name) }
			continue
		}
		if stdin != nil {
			return cli.Usagef("standard input can be only one layer")
		}
		_, r, err := s.Input(nil)
		if err != nil {
			return err
		}
		file, size, err := spool(r)
		if err != nil {
			return fmt.Errorf("read standard input: %w", err)
		}
		defer file.Close()
		stdin = file
		layers[i] = func() (io.ReadCloser, error) {
			return io.NopCloser(io.NewSectionReader(file, 0, size)), nil
		}
	}
	return f(layers)
}
