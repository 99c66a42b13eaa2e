package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
)

func applyCommand() *cli.Command {
	var overlay, plain bool
	var lowers []string
	var limits layer.Limits
	return &cli.Command{
		Name:  "apply",
		Args:  "DIR [LAYER|-]",
		Short: "Apply a layer to the directory tree DIR.",
		Long: `
DIR is made if it is not there. Whiteouts delete. With --overlay DIR becomes a
lower directory of overlayfs instead: whiteouts become character devices 0:0,
opaque directories get an attribute; --lower names the directories below it,
which give parents that the layer does not mention their modes and owners.

Nothing outside DIR is touched, whatever the layer says. What is made before an
error stays. An owner that this user may not set is kept in an extended
attribute, from which "create" and "diff" take it again.

    mkdir rootfs && for l in base.tar.gz app.tar.gz; do ds-layer apply rootfs "$l"; done
`,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&overlay, "overlay", false, "make a lower directory of overlayfs")
			f.StringArrayVar(&lowers, "lower", nil, "with --overlay: a `DIR` below it, top first")
			f.BoolVar(&plain, "plain", false, "an ordinary archive: names that begin with .wh. are just names")
			f.Int64Var(&limits.Bytes, "max-bytes", 0, "refuse files of more than `N` bytes together, holes included; default 1 TiB")
			f.Int64Var(&limits.Entries, "max-entries", 0, "refuse more than `N` entries; default 4 Mi")
			f.Complete("lower", "dir")
		},
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("DIR is missing")
			}
			if limits.Bytes < 0 || limits.Entries < 0 {
				return cli.Usagef("--max-bytes and --max-entries want numbers above 0")
			}
			if len(lowers) > 0 && !overlay {
				return cli.Usagef("--lower goes with --overlay")
			}
			o := layer.ApplyOptions{Lowers: lowers, Plain: plain, Limits: limits, Warn: func(w string) { s.Warnf("%s", w) }}
			if overlay {
				o.Form = layer.Overlay
				o.KeepWhiteouts = len(lowers) == 0
			}
			return readTar(s, args[1:], false, func(in *input) error {
				if err := os.MkdirAll(args[0], 0o755); err != nil {
					return err
				}
				return layer.Apply(ctx, in.plain, args[0], o)
			})
		},
	}
}

// input is a layer that is being read: its bytes as they are, and plain.
type input struct {
	blob        *hashReader // nil unless asked for
	plain       io.Reader
	compression layer.Compression
}

// readTar opens the operand of a filter for f; with hash it digests the bytes as they are.
func readTar(s *cli.IO, args []string, hash bool, f func(*input) error) error {
	name, r, err := s.Input(args)
	if err != nil {
		return err
	}
	defer r.Close()
	if name == "-" {
		name = "standard input"
	}
	in := &input{}
	src := io.Reader(r)
	if hash {
		in.blob = newHashReader(r)
		src = in.blob
	}
	plain, c, err := layer.Decompress(src, layer.DecompressOptions{})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	defer plain.Close()
	in.plain, in.compression = plain, c
	if err := f(in); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// checkTar reads the plain tar r to its end, showing every byte of it to w, and
// fails if it is not whole.
func checkTar(ctx context.Context, r io.Reader, w io.Writer) error {
	for _, err := range layer.Entries(io.TeeReader(r, w)) {
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// digests is what "digest --json" prints.
type digests struct {
	Schema      string `json:"schema"`
	DiffID      string `json:"diffId"`
	DiffSize    int64  `json:"diffSize"`
	Digest      string `json:"digest"`
	Size        int64  `json:"size"`
	Compression string `json:"compression"`
}

func digestCommand() *cli.Command {
	var blob, asJSON bool
	return &cli.Command{
		Name:  "digest",
		Args:  "[LAYER|-]",
		Short: "Print the diff ID of a layer: the SHA-256 of its plain tar.",
		Long: `
With --blob the second line is the digest of the bytes as they are. --json
prints both with the sizes and the compression.

    ds-layer create rootfs | ds-layer compress | ds-layer digest --json
`,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&blob, "blob", false, "print the digest of the bytes as they are, too")
			f.BoolVar(&asJSON, "json", false, "print a JSON document")
		},
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			return readTar(s, args, true, func(in *input) error {
				plain := newHashReader(in.plain)
				if err := checkTar(ctx, plain, io.Discard); err != nil {
					return err
				}
				switch {
				case asJSON:
					return s.JSON(digests{
						Schema: "docksmith.layer-digest/1", DiffID: plain.digest(), DiffSize: plain.n,
						Digest: in.blob.digest(), Size: in.blob.n, Compression: in.compression.String(),
					})
				case blob:
					fmt.Fprintf(s.Stdout, "%s\n%s\n", plain.digest(), in.blob.digest())
				default:
					fmt.Fprintln(s.Stdout, plain.digest())
				}
				return nil
			})
		},
	}
}

func compressCommand() *cli.Command {
	var out, format string
	var level int
	return &cli.Command{
		Name:  "compress",
		Args:  "[LAYER|-]",
		Short: "Write a layer in another compression.",
		Long: `
The bytes are the same on every machine and any number of cores, for one
version of this program. The plain tar, and so the diff ID, stays as it is.

    ds-layer compress --compress=zstd layer.tar.gz -o layer.tar.zst
`,
		Flags: func(f *cli.Flags) {
			outputFlag(f, &out)
			f.StringVar(&format, "compress", "", "`FORMAT`: gzip, zstd or none; default $DOCKSMITH_COMPRESS, else gzip")
			f.IntVar(&level, "level", 0, "compress at level `N`; default 3")
			f.Complete("compress", "gzip,zstd,none")
		},
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			c, err := compression(format)
			if err != nil {
				return err
			}
			if _, err := layer.NewCompressor(io.Discard, c, level); err != nil {
				return cli.Usagef("%v", err)
			}
			if err := refuseSame(out, args...); err != nil {
				return err
			}
			return readTar(s, args, false, func(in *input) error {
				return s.WithOutput(out, func(w io.Writer) error { return recompress(ctx, in, w, c, level) })
			})
		},
	}
}

// compression reads the name of a format; "" is the environment's choice.
func compression(name string) (layer.Compression, error) {
	if name == "" {
		name = os.Getenv("DOCKSMITH_COMPRESS")
	}
	if name == "" {
		name = layer.Gzip.String()
	}
	c, err := layer.ParseCompression(name)
	if err != nil {
		return c, cli.Usagef("%v", err)
	}
	return c, nil
}

func recompress(ctx context.Context, in *input, w io.Writer, c layer.Compression, level int) error {
	z, err := layer.NewCompressor(w, c, level)
	if err != nil {
		return err
	}
	err = checkTar(ctx, in.plain, z)
	if cerr := z.Close(); err == nil && cerr != nil {
		err = fmt.Errorf("write: %w", cerr)
	}
	return err
}

// hashReader counts and hashes what is read.
type hashReader struct {
	r   io.Reader
	sum interface {
		io.Writer
		Sum([]byte) []byte
	}
	n int64
}

func newHashReader(r io.Reader) *hashReader { return &hashReader{r: r, sum: sha256.New()} }

func (h *hashReader) Read(p []byte) (int, error) {
	n, err := h.r.Read(p)
	h.sum.Write(p[:n])
	h.n += int64(n)
	return n, err
}

func (h *hashReader) digest() string { return "sha256:" + hex.EncodeToString(h.sum.Sum(nil)) }
