package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
)

// parts collects the sources of a layer from the flags of create.
type parts struct {
	io      *cli.IO
	used    bool     // standard input
	spool   *os.File // of standard input
	options layer.CreateOptions
	list    []layer.Source
}

func (p *parts) close() {
	if p.spool != nil {
		p.spool.Close()
	}
}

func (p *parts) tree(ctx context.Context, dir, dest string) error {
	prefix, err := archivePath(dest)
	if err != nil {
		return err
	}
	list, err := layer.Scan(ctx, dir, prefix, p.options)
	p.list = append(p.list, list...)
	return err
}

// dir adds DEST[:MODE[:UID:GID]].
func (p *parts) dir(spec string) error {
	dest, rest, _ := strings.Cut(spec, ":")
	e := layer.Entry{Type: layer.TypeDir, Mode: 0o755}
	return p.add("--dir", spec, dest, rest, layer.Source{Entry: e})
}

// file adds SRC:DEST[:MODE[:UID:GID]].
func (p *parts) file(spec string) error {
	src, rest, ok := strings.Cut(spec, ":")
	if !ok || src == "" {
		return cli.Usagef("--file %q: write it SRC:DEST[:MODE[:UID:GID]]", spec)
	}
	dest, rest, _ := strings.Cut(rest, ":")
	if strings.HasSuffix(dest, "/") && strings.Trim(dest, "/") != "" {
		return cli.Usagef("--file %q: %q names a directory", spec, dest)
	}
	if src == "-" {
		s, err := p.standardInput()
		if err != nil {
			return err
		}
		return p.add("--file", spec, dest, rest, s)
	}
	st, err := os.Stat(src)
	if err != nil {
		return err
	}
	if !st.Mode().IsRegular() {
		return cli.WithHint(fmt.Errorf("--file %s: not a regular file", src), "a directory is added with --tree DIR:DEST")
	}
	e := layer.Entry{Mode: uint32(st.Mode().Perm()), Size: st.Size(), ModTime: st.ModTime()}
	return p.add("--file", spec, dest, rest, layer.Source{
		Entry: e, Open: func() (io.ReadCloser, error) { return os.Open(src) },
	})
}

// add completes s with what the flag says of path, mode and owner.
func (p *parts) add(flag, spec, dest, rest string, s layer.Source) error {
	var err error
	if s.Path, err = archivePath(dest); err != nil {
		return err
	}
	if s.Path == "." {
		return cli.Usagef("%s %q: the path in the layer cannot be the root directory or empty", flag, spec)
	}
	mode, owner, _ := strings.Cut(rest, ":")
	explicit := mode != ""
	if explicit {
		n, err := strconv.ParseUint(mode, 8, 32)
		if err != nil || n > 0o7777 {
			return cli.Usagef("%s %q: mode %q is not octal, at most 7777", flag, spec, mode)
		}
		s.Mode = uint32(n)
	}
	switch {
	case owner != "":
		s.UID, s.GID, err = parseOwner(owner)
	case p.options.Owner != nil:
		s.UID, s.GID = p.options.Owner[0], p.options.Owner[1]
	}
	if p.options.Normalize && !explicit && s.Type == layer.TypeFile {
		s.Mode = 0o644 | s.Mode&0o111
		if s.Mode != 0o644 {
			s.Mode = 0o755
		}
	}
	p.list = append(p.list, s)
	return err
}

// standardInput makes a source of stdin. A tar needs the size first, so what is no
// file already goes through a temporary one that has no name.
func (p *parts) standardInput() (layer.Source, error) {
	if p.used {
		return layer.Source{}, cli.Usagef("standard input can be only one file")
	}
	p.used = true
	_, in, err := p.io.Input(nil)
	if err != nil {
		return layer.Source{}, err
	}
	defer in.Close()
	f, size, err := spool(in)
	if err != nil {
		return layer.Source{}, fmt.Errorf("read standard input: %w", err)
	}
	p.spool = f
	e := layer.Entry{Mode: 0o644, Size: size, ModTime: time.Unix(0, 0)}
	return layer.Source{Entry: e, Open: func() (io.ReadCloser, error) {
		return io.NopCloser(io.NewSectionReader(f, 0, size)), nil
	}}, nil
}

// spool copies r to a temporary file that has no name any more.
func spool(r io.Reader) (*os.File, int64, error) {
	f, err := os.CreateTemp("", "ds-layer-")
	if err != nil {
		return nil, 0, err
	}
	if err := os.Remove(f.Name()); err != nil {
		f.Close()
		return nil, 0, err
	}
	n, err := io.Copy(f, r)
	if err != nil {
		f.Close()
		return nil, 0, err
	}
	return f, n, nil
}

// archivePath is dest as a path in a layer: without leading and doubled slashes; "."
// for the root. ".." is refused, as it has no meaning there.
func archivePath(dest string) (string, error) {
	for name := range strings.SplitSeq(dest, "/") {
		if name == ".." {
			return "", cli.Usagef("%q: a path in a layer has no \"..\"", dest)
		}
	}
	if strings.IndexByte(dest, 0) >= 0 {
		return "", cli.Usagef("%q: NUL in a path", dest)
	}
	return path.Clean(strings.TrimLeft("./"+strings.TrimLeft(dest, "/"), "/")), nil
}
