package main

import (
	"context"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/restack"
	"docksmith/lib/store"
)

func squashCommand() *cli.Command {
	var names []string
	var base string
	var platform oci.PlatformFlag
	var from int
	var compress compressFlags
	var asJSON bool
	return &cli.Command{
		Name: "squash", Args: "[-t NAME]... [--from N | --keep-base BASE] IMAGE",
		Short: "Make an image whose layers are one, and print its digest.",
		Long: `The new image has the same files and settings: its tree is compared with that of IMAGE before
it gets a name. The history keeps the instructions, without layers of their own. The same
call makes the same image.

    ds-store squash app:v1 -t app:small
    ds-store squash app:v1 -t app:v1 --keep-base debian:12`,
		Flags: func(f *cli.Flags) {
			f.StringArrayVarP(&names, "tag", "t", nil, "name it `NAME[:TAG]`; may be repeated")
			f.Complete("tag", "image")
			f.IntVar(&from, "from", 1, "begin with layer `N`, counted from the bottom; keep those below")
			f.StringVar(&base, "keep-base", "", "keep the layers of the image `BASE`, on which IMAGE lies")
			f.Complete("keep-base", "image")
			compress.declare(f, defaultCompression(), "store the layer compressed")
			f.Var(&platform, "platform", "`OS/ARCH` to pick from an index")
			f.BoolVar(&asJSON, "json", false, "print the descriptor")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if stdio.Flags.Changed("from") && base != "" {
				return cli.Usagef("--from and --keep-base exclude each other")
			}
			o := restack.SquashOptions{Keep: from - 1}
			var err error
			if o.Layer, err = compress.options(); err != nil {
				return err
			}
			return withRestacked(ctx, stdio, names, args, platform.Platform, func(s *store.Store, img *store.Image) (oci.Descriptor, error) {
				if base != "" {
					below, err := s.Image(base, platform.Platform)
					if err != nil {
						return oci.Descriptor{}, err
					}
					if err := restack.LiesOn(img, below); err != nil {
						return oci.Descriptor{}, err
					}
					o.Keep = len(below.Layers)
				}
				if o.Keep < 0 || o.Keep >= max(1, len(img.Layers)) {
					return oci.Descriptor{}, cli.Usagef("--from %d: the image has %d layers", o.Keep+1, len(img.Layers))
				}
				return restack.Squash(ctx, s, img, o)
			}, func(desc oci.Descriptor) error { return printResult(stdio, asJSON, desc.Digest, desc) })
		},
	}
}

// maker makes an image of another.
type maker func(s *store.Store, img *store.Image) (oci.Descriptor, error)

// withRestacked makes an image of the operand, names it and calls done.
func withRestacked(ctx context.Context, stdio *cli.IO, names, args []string, p *oci.Platform, from maker, done func(oci.Descriptor) error) error {
	if err := operands(args, 1, 1, "IMAGE"); err != nil {
		return err
	}
	refs, err := parseRefs(names)
	if err != nil {
		return err
	}
	return withStore(stdio, func(s *store.Store) error {
		img, err := s.Image(args[0], p)
		if err != nil {
			return err
		}
		desc, err := from(s, img)
		if err != nil {
			return err
		}
		if err := s.Tag(ctx, desc, refs...); err != nil {
			return err
		}
		return done(desc)
	})
}

// rebased is what rebase prints as JSON.
type rebased struct {
	oci.Descriptor
	Hidden []string `json:"hidden,omitempty"`
}

func rebaseCommand() *cli.Command {
	var names []string
	var from, onto string
	var platform oci.PlatformFlag
	var asJSON bool
	return &cli.Command{
		Name: "rebase", Args: "[-t NAME]... --from OLDBASE --onto NEWBASE IMAGE",
		Short: "Put the layers of an image onto another base, and print its digest.",
		Long: `The layers that IMAGE has on those of OLDBASE stay as they are, byte for byte. Settings that it
has from OLDBASE become those of NEWBASE. A warning names files of NEWBASE that the
layers on top hide. Nothing is run: what a build wrote because of OLDBASE stays as it was.

    ds-store rebase app:v1 --from debian:12.4 --onto debian:12.5 -t app:v1.1`,
		Flags: func(f *cli.Flags) {
			f.StringArrayVarP(&names, "tag", "t", nil, "name it `NAME[:TAG]`; may be repeated")
			f.Complete("tag", "image")
			f.StringVar(&from, "from", "", "the image `OLDBASE` that it lies on")
			f.Complete("from", "image")
			f.StringVar(&onto, "onto", "", "the image `NEWBASE` that it shall lie on")
			f.Complete("onto", "image")
			f.Var(&platform, "platform", "`OS/ARCH` to pick from an index")
			f.BoolVar(&asJSON, "json", false, "print the descriptor, and what is hidden")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if from == "" || onto == "" {
				return cli.Usagef("--from OLDBASE and --onto NEWBASE are needed")
			}
			var res restack.Rebased
			return withRestacked(ctx, stdio, names, args, platform.Platform, func(s *store.Store, img *store.Image) (oci.Descriptor, error) {
				old, err := s.Image(from, platform.Platform)
				if err != nil {
					return oci.Descriptor{}, err
				}
				base, err := s.Image(onto, platform.Platform)
				if err != nil {
					return oci.Descriptor{}, err
				}
				res, err = restack.Rebase(ctx, s, img, old, base)
				return res.Descriptor, err
			}, func(desc oci.Descriptor) error {
				if n := len(res.Hidden); n > 0 {
					stdio.Warnf("%d files that the new base has otherwise are hidden by the layers on top: %s", n, firstPaths(res.Hidden))
				}
				return printResult(stdio, asJSON, desc.Digest, rebased{desc, res.Hidden})
			})
		},
	}
}

// firstPaths shows some of a list of paths.
func firstPaths(list []string) string {
	const most = 5
	var shown []string
	for _, path := range list[:min(most, len(list))] {
		shown = append(shown, cli.Escape("/"+path))
	}
	if len(list) > most {
		shown = append(shown, "...")
	}
	return strings.Join(shown, ", ")
}
