package main

import (
	"context"
	"io"
	"strconv"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
)

// treeFlags are the flags of create and diff.
type treeFlags struct {
	out        string
	chown      string
	normalize  bool
	timestamps string
}

func (t *treeFlags) declare(f *cli.Flags) {
	outputFlag(f, &t.out)
	f.StringVar(&t.chown, "chown", "", "make everything belong to `UID:GID` (numbers)")
	f.BoolVar(&t.normalize, "normalize", false, "modes 0755 and 0644, owner 0:0, no capabilities or ACLs")
	f.StringVar(&t.timestamps, "timestamps", "epoch", "`WHICH` times: epoch (SOURCE_DATE_EPOCH, else 0) or keep")
	f.Complete("timestamps", "epoch,keep")
}

func (t *treeFlags) options(s *cli.IO) (layer.CreateOptions, error) {
	o := layer.CreateOptions{Normalize: t.normalize, Warn: func(w string) { s.Warnf("%s", w) }}
	var err error
	if o.Epoch, err = cli.SourceDateEpoch(); err != nil {
		return o, err
	}
	switch t.timestamps {
	case "epoch":
	case "keep":
		o.KeepTimes = true
	default:
		return o, cli.Usagef("--timestamps %q: not epoch or keep", t.timestamps)
	}
	if t.chown != "" {
		uid, gid, err := parseOwner(t.chown)
		if err != nil {
			return o, err
		}
		o.Owner = &[2]uint32{uid, gid}
	}
	return o, nil
}

// parseOwner reads UID:GID; the group defaults to the number of the user.
func parseOwner(s string) (uid, gid uint32, err error) {
	u, g, ok := strings.Cut(s, ":")
	if !ok {
		g = u
	}
	nu, err1 := strconv.ParseUint(u, 10, 32)
	ng, err2 := strconv.ParseUint(g, 10, 32)
	if err1 != nil || err2 != nil {
		return 0, 0, cli.Usagef("owner %q: not UID:GID in numbers", s)
	}
	return uint32(nu), uint32(ng), nil
}

const createLong = `
DEST is a path in the layer; a leading "/" changes nothing. MODE is octal. A
--file has by default the permissions of SRC (0644 from standard input), a --dir
0755, both owner 0:0 and the time of --timestamps; --chown, and UID:GID behind
MODE, say otherwise. Of several entries with one path the last one counts. No
directories above DEST are written: what is there in the layers below stays as
it is, and what is not is made 0755, owner 0:0. Use --dir to say more.

The root directory itself is only written with --root. Sockets are left out.

    ds-layer create rootfs | ds-store add-layer
    ds-layer create --chown 0:0 --tree build/out:/srv/www -o www.tar
    echo hello | ds-layer create --file -:/etc/motd:0644 --dir /data:0700:1000:1000 | ds-layer list
`

type createFlags struct {
	treeFlags
	root    bool
	overlay bool
	files   []string
	trees   []string
	dirs    []string
}

func createCommand() *cli.Command {
	var o createFlags
	return &cli.Command{
		Name:  "create",
		Args:  "[DIR]",
		Short: "Write a directory tree, or what the flags name, as a layer.",
		Long:  createLong,
		Flags: func(f *cli.Flags) {
			o.declare(f)
			f.StringArrayVar(&o.files, "file", nil, "add a file, `SRC:DEST[:MODE[:UID:GID]]`; SRC - is standard input")
			f.StringArrayVar(&o.dirs, "dir", nil, "add an empty directory, `DEST[:MODE[:UID:GID]]`")
			f.StringArrayVar(&o.trees, "tree", nil, "add the contents of a directory, `DIR:DEST`")
			f.BoolVar(&o.root, "root", false, "write an entry for DIR itself, ./")
			f.BoolVar(&o.overlay, "overlay", false, "DIR is the upper directory of an overlay: write its whiteouts")
		},
		Run: func(ctx context.Context, s *cli.IO, args []string) error { return runCreate(ctx, s, o, args) },
	}
}

func runCreate(ctx context.Context, s *cli.IO, o createFlags, args []string) error {
	parts := len(o.files) + len(o.trees) + len(o.dirs)
	switch {
	case len(args) > 1:
		return cli.Usagef("one DIR expected, got %d", len(args))
	case len(args)+parts == 0:
		return cli.Usagef("name a DIR, or use --file, --dir or --tree")
	case o.overlay && (parts > 0 || len(args) == 0 || o.root):
		return cli.Usagef("--overlay takes one DIR and no other source")
	}
	options, err := o.options(s)
	if err != nil {
		return err
	}
	options.Root = o.root
	return s.WithOutput(o.out, func(w io.Writer) error {
		switch {
		case o.overlay:
			return layer.PackUpper(ctx, w, args[0], options)
		case parts == 0:
			return layer.Create(ctx, w, args[0], options)
		}
		return createParts(ctx, s, w, o, args, options)
	})
}

// createParts writes a layer that is put together from several sources.
func createParts(ctx context.Context, s *cli.IO, w io.Writer, o createFlags, args []string, options layer.CreateOptions) error {
	p := parts{io: s, options: options}
	defer p.close()
	for _, dir := range args {
		if err := p.tree(ctx, dir, "."); err != nil {
			return err
		}
	}
	for _, spec := range o.trees {
		dir, dest, ok := strings.Cut(spec, ":")
		if !ok {
			return cli.Usagef("--tree %q: write it DIR:DEST", spec)
		}
		if err := p.tree(ctx, dir, dest); err != nil {
			return err
		}
	}
	for _, spec := range o.dirs {
		if err := p.dir(spec); err != nil {
			return err
		}
	}
	for _, spec := range o.files {
		if err := p.file(spec); err != nil {
			return err
		}
	}
	return layer.Pack(ctx, w, "", p.list, layer.PackOptions{
		Epoch: options.Epoch, KeepTimes: options.KeepTimes, Warn: options.Warn,
	})
}

func diffCommand() *cli.Command {
	var o treeFlags
	return &cli.Command{
		Name:  "diff",
		Args:  "LOWER UPPER",
		Short: "Write the layer that turns the tree LOWER into the tree UPPER.",
		Long: `
What differs in content, type, mode, owner, link or extended attributes is
written with the directories above it, what is gone as a whiteout. A different
time is a difference only with --timestamps=keep.

    cp -a rootfs before && touch rootfs/etc/new && rm rootfs/etc/old
    ds-layer diff before rootfs | ds-layer list
`,
		Flags: func(f *cli.Flags) { o.declare(f) },
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			if len(args) != 2 {
				return cli.Usagef("LOWER and UPPER expected, got %d operands", len(args))
			}
			options, err := o.options(s)
			if err != nil {
				return err
			}
			return s.WithOutput(o.out, func(w io.Writer) error {
				return layer.Diff(ctx, w, args[0], args[1], options)
			})
		},
	}
}
