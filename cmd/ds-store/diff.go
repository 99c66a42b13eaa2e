package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/compare"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

const diffLong = `
Each difference is a line: A added, D deleted or C changed, and what: a member of the manifest
or the config, an entry of the history, a layer, or the /path of a file in the merged tree,
with what of it changed: content, type, mode, owner, xattr, link, device, size, time.
IMAGE is one of the store, else an archive or a layout: FILE or DIRECTORY[:NAME].
Exit status: 0 the same, 1 not the same, 2 could not tell.

    ds-store diff app:v1 app:v2
    ds-store diff app:v1 ./app.tar --only=file
    ds-store diff app:v1 app:v2 --json | jq -r 'select(.type == "file").path'
`

// unknown is the exit status of a comparison when it could not be told.
const unknown = 2

func diffCommand() *cli.Command {
	var d diff
	return &cli.Command{
		Name: "diff", Args: "IMAGE IMAGE",
		Short:      "Show in what two images differ: settings, history, layers and files.",
		Long:       diffLong,
		FailStatus: unknown,
		Flags: func(f *cli.Flags) {
			f.StringArrayVar(&d.only, "only", nil, "compare `KIND` alone: manifest, config, history, layer or file; may be repeated")
			f.Complete("only", "manifest,config,history,layer,file")
			f.Var(&d.platform, "platform", "`OS/ARCH` to pick from an index")
			f.BoolVarP(&d.quiet, "quiet", "q", false, "print nothing")
			f.BoolVar(&d.asJSON, "json", false, `print JSON lines, closed by {"type":"end"}`)
		},
		Run: d.run,
	}
}

type diff struct {
	only          []string
	platform      oci.PlatformFlag
	quiet, asJSON bool

	store *store.Store
	found int
}

func (d *diff) run(ctx context.Context, stdio *cli.IO, args []string) (err error) {
	if err := operands(args, 2, 2, "IMAGE"); err != nil {
		return err
	}
	var o compare.Options
	for _, kind := range strings.FieldsFunc(strings.Join(d.only, ","), func(r rune) bool { return r == ',' }) {
		switch k := compare.Kind(kind); k {
		case compare.Manifest, compare.Config, compare.History, compare.Layer, compare.Tree:
			o.Only = append(o.Only, k)
		default:
			return cli.Usagef("--only %q: not manifest, config, history, layer or file", kind)
		}
	}
	defer func() {
		if d.store != nil {
			err = errors.Join(err, d.store.Close())
		}
	}()
	var sides [2]*compare.Image
	for i, name := range args {
		if sides[i], err = d.image(ctx, stdio, name); err != nil {
			return err
		}
		defer sides[i].Close() // only read from
	}
	if err := d.show(ctx, stdio, sides[0], sides[1], o); err != nil {
		return err
	}
	if d.found > 0 {
		return cli.ExitStatus(1)
	}
	return nil
}

// image finds what an operand means: an image of the store, unless it can only be
// a path, else a file or directory.
func (d *diff) image(ctx context.Context, stdio *cli.IO, name string) (*compare.Image, error) {
	path, inside, isFile := splitPath(name)
	if strings.HasPrefix(name, "/") || strings.HasPrefix(name, ".") {
		return compare.Open(ctx, path, compare.OpenOptions{Name: inside, Platform: d.platform.Platform})
	}
	if d.store == nil {
		root, err := stdio.Root()
		if err != nil {
			return nil, err
		}
		if d.store, err = store.Open(root); err != nil {
			return nil, err
		}
	}
	img, err := d.store.Image(name, d.platform.Platform)
	if err == nil {
		return compare.Stored(d.store, img), nil
	}
	if isFile && (errors.Is(err, oci.ErrNotFound) || invalidRef(name)) {
		return compare.Open(ctx, path, compare.OpenOptions{Name: inside, Platform: d.platform.Platform})
	}
	return nil, hinted(err)
}

func invalidRef(name string) bool {
	_, err := oci.ParseRef(name)
	return err != nil
}

// splitPath divides PATH[:NAME] at the first colon behind a path that is there.
func splitPath(name string) (path, inside string, ok bool) {
	for at := 0; at <= len(name); at++ {
		if at < len(name) && name[at] != ':' {
			continue
		}
		if _, err := os.Stat(name[:at]); err == nil {
			return name[:at], strings.TrimPrefix(name[at:], ":"), true
		}
	}
	return name, "", false
}

// differenceJSON is a difference with what JSON cannot hold in base64.
type differenceJSON struct {
	compare.Difference
	PathBytes []byte `json:"pathBytes,omitempty"`
}

func (d *diff) show(ctx context.Context, stdio *cli.IO, a, b *compare.Image, o compare.Options) error {
	for x, err := range compare.Images(ctx, a, b, o) {
		if err != nil {
			return err
		}
		d.found++
		switch {
		case d.quiet:
			return nil
		case d.asJSON:
			err = stdio.JSON(differenceJSON{x, x.PathBytes()})
		default:
			_, err = fmt.Fprintln(stdio.Stdout, differenceText(x))
		}
		if err != nil {
			return err
		}
	}
	if d.asJSON && !d.quiet {
		return stdio.JSON(struct {
			Type        string `json:"type"`
			Same        bool   `json:"same"`
			Differences int    `json:"differences"`
		}{"end", d.found == 0, d.found})
	}
	return nil
}
