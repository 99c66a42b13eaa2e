package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/sandbox"
	"docksmith/lib/store"
)

// runtimeFlags change what an image asks for.
type runtimeFlags struct {
	o                   oci.RuntimeOptions
	entrypoint, network string
	platform            oci.PlatformFlag
	flags               *cli.Flags
}

func (r *runtimeFlags) declare(f *cli.Flags) {
	r.flags = f
	f.StringVar(&r.entrypoint, "entrypoint", "", "run `COMMAND` in the place of the entrypoint: words, or a JSON array")
	f.StringArrayVarP(&r.o.Env, "env", "e", nil, "set `KEY=VALUE`; may be repeated")
	f.StringVarP(&r.o.User, "user", "u", "", "run as `USER[:GROUP]`")
	f.StringVarP(&r.o.Cwd, "workdir", "w", "", "start in `DIR`")
	f.StringVar(&r.o.Hostname, "hostname", "", "host `NAME` inside")
	f.StringVar(&r.network, "network", "none", "`NET` is none or host")
	f.Complete("network", "none,host")
	f.BoolVar(&r.o.Readonly, "readonly", false, "mount the root file system read-only")
	f.BoolVarP(&r.o.Terminal, "tty", "t", false, "give the process a terminal")
	f.Var(&r.platform, "platform", "`OS/ARCH` to pick from an index")
}

// options reads the flags; command follows the operands, maybe after "--".
func (r *runtimeFlags) options(command []string) (oci.RuntimeOptions, error) {
	o := r.o
	if r.flags.Changed("entrypoint") {
		words, err := commandWords(r.entrypoint)
		if err != nil {
			return o, cli.Usagef("--entrypoint: %v", err)
		}
		o.Entrypoint = append([]string{}, words...)
	}
	if len(command) > 0 {
		o.Args = command
	}
	for _, kv := range o.Env {
		if err := validEnv(kv); err != nil {
			return o, cli.Usagef("--env: %v", err)
		}
	}
	switch r.network {
	case "none":
	case "host":
		o.HostNetwork = true
	default:
		return o, cli.Usagef("--network %q: want none or host", r.network)
	}
	return o, nil
}

func bundleCommand() *cli.Command {
	return bundleMaker(&cli.Command{
		Name:  "bundle",
		Short: "Make an OCI runtime bundle whose root is an overlay of the image's snapshots.",
		Long: `DIR is made, or must be empty. ds-exec assembles the overlay; "ds-store unpack" makes a
bundle for other runtimes. The image stays removable, its snapshots last as long as the bundle.

    ds-store bundle app:v1 run/ && ds-exec run run/
    ds-exec run --rm "$(ds-store bundle --new app:v1 -- sh -c id)"`,
	}, enterToUnpack, func(ctx context.Context, _ *cli.IO, s *store.Store, img *store.Image, dir string, o oci.RuntimeOptions) error {
		return s.WriteBundle(ctx, img, dir, o)
	})
}

func unpackCommand() *cli.Command {
	enter := func(s *store.Store, stdio *cli.IO, _ *store.Image) error { return enterUserNamespace(s, warner(stdio)) }
	return bundleMaker(&cli.Command{
		Name:  "unpack",
		Short: "Make an OCI runtime bundle with the whole file system in DIR/rootfs.",
		Long: `Nothing in DIR refers to the store, and any OCI runtime takes it.

    ds-store unpack app:v1 b && runc run -b b app`,
	}, enter, func(ctx context.Context, stdio *cli.IO, s *store.Store, img *store.Image, dir string, o oci.RuntimeOptions) error {
		return s.UnpackBundle(ctx, img, dir, o, func(m string) { stdio.Warnf("%s", m) })
	})
}

// bundleMaker completes a command that makes a bundle of an image: enter gives
// an ordinary user what write needs, write makes the bundle in dir.
func bundleMaker(c *cli.Command, enter func(*store.Store, *cli.IO, *store.Image) error,
	write func(ctx context.Context, stdio *cli.IO, s *store.Store, img *store.Image, dir string, o oci.RuntimeOptions) error,
) *cli.Command {
	var r runtimeFlags
	var fresh bool
	c.Args, c.StopAtOperand = "IMAGE DIR | --new IMAGE [[--] COMMAND [ARG]...]", true
	c.Flags = func(f *cli.Flags) {
		f.BoolVar(&fresh, "new", false, "make the bundle in the store's containers/ and print its path")
		r.declare(f)
	}
	c.Run = func(ctx context.Context, stdio *cli.IO, args []string) error {
		least := 2
		if fresh {
			least = 1
		}
		if err := operands(args, least, -1, "IMAGE or DIR"); err != nil {
			return err
		}
		o, err := r.options(afterDashes(args[least:]))
		if err != nil {
			return err
		}
		return withStore(stdio, func(s *store.Store) error {
			img, err := s.Image(args[0], r.platform.Platform)
			if err != nil {
				return err
			}
			if err := enter(s, stdio, img); err != nil {
				return err
			}
			if !fresh {
				return write(ctx, stdio, s, img, args[1], o)
			}
			return newBundle(stdio, s, func(dir string) error { return write(ctx, stdio, s, img, dir, o) })
		})
	}
	return c
}

func afterDashes(args []string) []string {
	if len(args) > 0 && args[0] == "--" {
		return args[1:]
	}
	return args
}

// newBundle makes a bundle in a new container of the store and prints its path.
func newBundle(stdio *cli.IO, s *store.Store, write func(dir string) error) error {
	dir, err := s.NewContainer()
	if err != nil {
		return err
	}
	if err := write(dir); err != nil {
		return errors.Join(err, os.RemoveAll(dir))
	}
	_, err = fmt.Fprintln(stdio.Stdout, dir)
	return err
}

// enterUserNamespace makes an ordinary user root in a user namespace, where the
// owners that layers speak of exist; see sandbox.EnterUserNamespace. Who makes no
// files needs no warn.
func enterUserNamespace(s *store.Store, warn func(string)) error {
	return sandbox.EnterUserNamespace(sandbox.UserNamespaceOptions{Root: s.Root(), Release: s.Close, Warn: warn})
}

func warner(stdio *cli.IO) func(string) {
	return func(m string) { stdio.Warnf("%s", m) }
}

// enterToUnpack enters when a layer is still to be unpacked.
func enterToUnpack(s *store.Store, stdio *cli.IO, img *store.Image) error {
	if s.HasSnapshots(img.Layers) {
		return nil
	}
	return enterUserNamespace(s, warner(stdio))
}

// enterToRemove enters when snapshots may have to go, whose files belong to
// mapped users.
func enterToRemove(s *store.Store) error {
	if !s.HasAnySnapshot() {
		return nil
	}
	return enterUserNamespace(s, nil)
}
