package main

import (
	"bufio"
	"context"
	"io"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func putCommand() *cli.Command {
	var want, mediaType string
	var size int64
	var asJSON bool
	return &cli.Command{
		Name: "put", Args: "[FILE]",
		Short: "Store a file as a blob and print its digest.",
		Flags: func(f *cli.Flags) {
			f.StringVar(&want, "digest", "", "refuse anything but `DIGEST`")
			f.Int64Var(&size, "size", -1, "refuse anything but `BYTES`; needed with --digest")
			f.StringVar(&mediaType, "media-type", "application/octet-stream", "media type `TYPE` for --json")
			f.BoolVar(&asJSON, "json", false, "print the descriptor")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			var expected *oci.Descriptor
			if (want != "") != (size >= 0) {
				return cli.Usagef("--digest and --size go together")
			}
			if want != "" {
				expected = &oci.Descriptor{MediaType: mediaType, Digest: digest.Digest(want), Size: size}
			}
			_, in, err := stdio.Input(args)
			if err != nil {
				return err
			}
			defer in.Close()
			return withStore(stdio, func(s *store.Store) error {
				desc, err := s.Put(in, expected)
				if err != nil {
					return err
				}
				desc.MediaType = mediaType
				return printResult(stdio, asJSON, desc.Digest, desc)
			})
		},
	}
}

// printResult prints what a command made: one digest, or one line of JSON.
func printResult(stdio *cli.IO, asJSON bool, d digest.Digest, v any) error {
	if asJSON {
		return stdio.JSON(v)
	}
	_, err := io.WriteString(stdio.Stdout, d.String()+"\n")
	return err
}

func getCommand() *cli.Command {
	var out string
	var asTar bool
	return &cli.Command{
		Name: "get", Args: "DIGEST",
		Short: "Write a blob, proven, to standard output.",
		Flags: func(f *cli.Flags) {
			f.BoolVar(&asTar, "tar", false, "DIGEST is of a layer, its blob's or its diff ID: write the tar inside")
			f.StringVarP(&out, "output", "o", "", "write to `FILE`, which appears whole or not at all")
			f.Complete("output", "file")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 1, 1, "DIGEST"); err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				r, err := openContent(ctx, s, digest.Digest(args[0]), asTar)
				if err != nil {
					return err
				}
				defer r.Close()
				in := bufio.NewReaderSize(r, 64<<10)
				if head, _ := in.Peek(1); out == "" && len(head) == 1 && head[0] == '{' {
					out = "-" // a document does no harm to a terminal
				}
				return stdio.WithOutput(out, func(w io.Writer) error {
					_, err := in.WriteTo(untilDone{ctx, w})
					return err
				})
			})
		},
	}
}

func openContent(ctx context.Context, s *store.Store, d digest.Digest, asTar bool) (io.ReadCloser, error) {
	if asTar {
		l, err := s.FindLayer(ctx, d)
		if err != nil {
			return nil, err
		}
		return s.OpenLayer(l)
	}
	if err := oci.ValidDigest(d); err != nil {
		return nil, cli.Usagef("%v", err)
	}
	size, _ := s.Has(d)
	return s.Open(oci.Descriptor{Digest: d, Size: size})
}

func addLayerCommand() *cli.Command {
	var compress compressFlags
	var asJSON bool
	return &cli.Command{
		Name: "add-layer", Args: "[LAYER]",
		Short: "Store a layer tar and print its diff ID.",
		Long: `LAYER is a tar, plain or compressed with gzip, zstd, bzip2 or xz; "-" or none is standard
input. It is read to its end and must be a whole tar. The diff ID, the digest of
the plain tar, names the layer for "ds-store commit --layer".

    ds-layer create rootfs | ds-store add-layer`,
		Flags: func(f *cli.Flags) {
			compress.declare(f, defaultCompression(), "store it compressed")
			f.BoolVar(&asJSON, "json", false, "print mediaType, digest, size and diffID")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			o, err := compress.options()
			if err != nil {
				return err
			}
			name, in, err := stdio.Input(args)
			if err != nil {
				return err
			}
			defer in.Close()
			return withStore(stdio, func(s *store.Store) error {
				l, err := s.AddLayer(ctx, in, o)
				if err != nil {
					return named(name, err)
				}
				return printResult(stdio, asJSON, l.DiffID, describeLayer(l))
			})
		},
	}
}

type layerDocument struct {
	MediaType string        `json:"mediaType"`
	Digest    digest.Digest `json:"digest"`
	Size      int64         `json:"size"`
	DiffID    digest.Digest `json:"diffID"`
}

func describeLayer(l oci.Layer) layerDocument {
	return layerDocument{l.MediaType, l.Digest, l.Size, l.DiffID}
}
