package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func importCommand() *cli.Command {
	var tag, as string
	var platform oci.PlatformFlag
	var noReplace, all, asJSON bool
	var compress compressFlags
	return &cli.Command{
		Name: "import", Args: "[FILE|DIRECTORY]",
		Short: "Take images in: an OCI layout, docker save output, or a root file system's tar.",
		Long: `What the input is is told by its content: a directory or a tar with an OCI image layout,
with what docker save writes, or the tar of a root file system; plain or compressed
with gzip, zstd, bzip2 or xz. Everything is checked before anything is visible. It prints the digest
of each image. A name that another image has moves, as with docker load, and a warning
says what it was.`,
		Flags: func(f *cli.Flags) {
			f.StringVarP(&tag, "tag", "t", "", "name the only image `NAME` instead of what the archive says")
			f.Complete("tag", "image")
			f.StringVar(&as, "as", "", "take the input for `KIND`: oci, docker or rootfs")
			f.Complete("as", "oci,docker,rootfs")
			f.Var(&platform, "platform", "`OS/ARCH` to pick, or to label a root file system with")
			f.BoolVar(&all, "all-platforms", false, "keep an image for several platforms whole")
			f.BoolVar(&noReplace, "no-replace", false, "fail when another image has the name")
			compress.declare(f, defaultCompression(), "store a root file system compressed")
			f.BoolVar(&asJSON, "json", false, "print one line of JSON per image")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if all && platform.Platform != nil {
				return cli.Usagef("--all-platforms and --platform exclude each other")
			}
			o := store.ImportOptions{Kind: store.Kind(as), NoReplace: noReplace, AllPlatforms: all, Platform: platform.Platform}
			if err := importOptions(&o, tag, &compress); err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				list, err := importFrom(ctx, stdio, s, args, o)
				if err != nil {
					return err
				}
				return printImported(stdio, list, asJSON)
			})
		},
	}
}

func importOptions(o *store.ImportOptions, tag string, compress *compressFlags) (err error) {
	switch o.Kind {
	case "", store.KindOCI, store.KindDocker, store.KindRootFS:
	default:
		return cli.Usagef("--as %q: want oci, docker or rootfs", o.Kind)
	}
	if tag != "" {
		refs, err := parseRefs([]string{tag})
		if err != nil {
			return err
		}
		o.Name = &refs[0]
	}
	if o.Layer, err = compress.options(); err != nil {
		return err
	}
	o.Created, err = cli.SourceDateEpoch()
	return err
}

func importFrom(ctx context.Context, stdio *cli.IO, s *store.Store, args []string, o store.ImportOptions) ([]store.Imported, error) {
	if len(args) == 1 && args[0] != "-" {
		st, err := os.Stat(args[0])
		if err != nil {
			return nil, err
		}
		if st.IsDir() {
			list, err := s.ImportDir(ctx, args[0], o)
			if err != nil {
				return nil, fmt.Errorf("import %s: %w", args[0], err)
			}
			return list, nil
		}
	}
	name, in, err := stdio.Input(args)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	list, err := s.Import(ctx, in, o)
	if err != nil {
		return nil, fmt.Errorf("import %s: %w", name, err)
	}
	return list, nil
}

func printImported(stdio *cli.IO, list []store.Imported, asJSON bool) error {
	for _, i := range list {
		if i.Replaced != "" {
			stdio.Warnf("%s was %s before", i.Name, i.Replaced)
		}
		if len(i.OtherPlatforms) > 0 {
			stdio.Hintf("there was also %s: --platform picks", strings.Join(i.OtherPlatforms, ", "))
		}
		if i.Name == "" {
			stdio.Hintf("the image has no name yet: ds-store tag %s NAME", i.Digest)
		}
		if err := printResult(stdio, asJSON, i.Digest, i); err != nil {
			return err
		}
	}
	return nil
}

func exportCommand() *cli.Command {
	var out string
	var platform oci.PlatformFlag
	var compress compressFlags
	return &cli.Command{
		Name: "export", Args: "IMAGE...",
		Short: "Write images as one archive, for OCI tools and for docker load.",
		Long: `The archive has the same bytes each time. With --compress the layers are converted, and
an image whose layers change has another digest in the archive.`,
		Flags: func(f *cli.Flags) {
			f.StringVarP(&out, "output", "o", "", "write to `FILE`, which appears whole or not at all")
			f.Complete("output", "file")
			compress.declare(f, "", "convert the layers")
			f.Var(&platform, "platform", "`OS/ARCH` to pick from an index")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 1, -1, "IMAGE"); err != nil {
				return err
			}
			o := store.ExportOptions{Platform: platform.Platform}
			var err error
			if o.Convert = compress.name != ""; o.Convert {
				if o.Layer, err = compress.options(); err != nil {
					return err
				}
			}
			return withStore(stdio, func(s *store.Store) error {
				return stdio.WithOutput(out, func(w io.Writer) error { return s.Export(ctx, w, args, o) })
			})
		},
	}
}
