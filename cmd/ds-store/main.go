// Ds-store keeps images: content-addressed blobs, layers and names in an OCI
// image layout on disk, and what is made of them.
package main

import (
	"errors"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func main() {
	cli.Main(&cli.Command{
		Name:  "ds-store",
		Short: "Keep container images: blobs, layers and names in an OCI image layout.",
		Long: `IMAGE is NAME[:TAG][@DIGEST], the digest of a manifest, or the beginning of one.
The store is in $DOCKSMITH_ROOT and described in docksmith-store(5).
Exit status: 0 done, 1 failed or not there, 2 wrong usage.

    layer=$(ds-layer create rootfs | ds-store add-layer)
    ds-store commit -t app:v1 --layer "$layer" --cmd '["/app"]'
    ds-store inspect app:v1 | jq .config.Cmd
    ds-store export app:v1 -o app.tar
    ds-store bundle app:v1 run/ && ds-exec run run/`,
		Commands: []*cli.Command{
			putCommand(), getCommand(), addLayerCommand(), commitCommand(), tagCommand(),
			lsCommand(), rmCommand(), inspectCommand(), historyCommand(), diffCommand(), squashCommand(), rebaseCommand(),
			importCommand(), exportCommand(), bundleCommand(), unpackCommand(), logsCommand(),
			gcCommand(), duCommand(), fsckCommand(), dashboardCommand(),
		},
	})
}

// withStore opens the store for f.
func withStore(stdio *cli.IO, f func(*store.Store) error) (err error) {
	root, err := stdio.Root()
	if err != nil {
		return err
	}
	s, err := store.Open(root)
	if err != nil {
		return err
	}
	defer func() {
		if cerr := s.Close(); err == nil {
			err = cerr
		}
	}()
	return hinted(f(s))
}

// hinted adds the names that a missing one may have meant.
func hinted(err error) error {
	var missing *store.NotFoundError
	if errors.As(err, &missing) {
		if len(missing.Nearest) > 0 {
			return cli.WithHint(err, "there is %s", missing.Nearest[0])
		}
		return cli.WithHint(err, "ds-store ls lists the images, ds-store import brings one in")
	}
	return err
}

func operands(args []string, least, most int, what string) error {
	switch {
	case len(args) < least:
		return cli.Usagef("%s missing", what)
	case most >= 0 && len(args) > most:
		return cli.Usagef("unexpected operand %q", args[most])
	}
	return nil
}

func parseRefs(names []string) ([]oci.Ref, error) {
	var refs []oci.Ref
	for _, n := range names {
		r, err := oci.ParseRef(n)
		if err != nil {
			return nil, cli.Usagef("%v", err)
		}
		if r.Digest != "" {
			return nil, cli.Usagef("%q: a name that is given has no digest", n)
		}
		refs = append(refs, r)
	}
	return refs, nil
}

// compressFlags are --compress and --level.
type compressFlags struct {
	name  string
	level int
}

func (c *compressFlags) declare(f *cli.Flags, byDefault, usage string) {
	f.StringVar(&c.name, "compress", byDefault, usage+": `FORMAT` is gzip, zstd or none")
	f.Complete("compress", "gzip,zstd,none")
	f.IntVar(&c.level, "level", 0, "compression level `N` (default 0: that of the format)")
}

func (c *compressFlags) options() (store.LayerOptions, error) {
	format, err := layer.ParseCompression(c.name)
	if err != nil {
		return store.LayerOptions{}, cli.Usagef("%v", err)
	}
	return store.LayerOptions{Compression: format, Level: c.level}, nil
}

// defaultCompression is the environment's wish, else what everything reads.
func defaultCompression() string {
	if c := os.Getenv("DOCKSMITH_COMPRESS"); c != "" {
		return c
	}
	return "gzip"
}
