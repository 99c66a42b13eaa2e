package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
	"docksmith/lib/layer"
	"docksmith/lib/store"
)

func mountsExportCommand() *cli.Command {
	var out, timestamps string
	var wait bool
	return &cli.Command{
		Name: "export", Args: "MOUNT",
		Short: "Write a mount as a layer.",
		Long: `The bytes are those of "ds-layer create --root" of its directory, the same whenever its files are.
A build that wants the mount meanwhile waits.`,
		Flags: func(f *cli.Flags) {
			f.StringVarP(&out, "output", "o", "", "write to `FILE`, which appears whole or not at all")
			f.StringVar(&timestamps, "timestamps", "epoch", "`WHICH` times: epoch (SOURCE_DATE_EPOCH, else 0) or keep")
			waitFlag(f, &wait)
			f.Complete("output", "file")
			f.Complete("timestamps", "epoch,keep")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("want one MOUNT, got %d operands", len(args))
			}
			o, err := exportOptions(stdio, timestamps)
			if err != nil {
				return err
			}
			if err := enterNamespace(stdio); err != nil {
				return err
			}
			return withCache(stdio, func(c *cache.Cache) error {
				return stdio.WithOutput(out, func(w io.Writer) error { return exportMount(ctx, c, w, args[0], wait, o) })
			})
		},
	}
}

func waitFlag(f *cli.Flags, wait *bool) {
	f.BoolVar(wait, "wait", false, "wait until nobody uses the mount, instead of failing")
}

func exportOptions(stdio *cli.IO, timestamps string) (o layer.CreateOptions, err error) {
	o = layer.CreateOptions{Root: true, Warn: func(w string) { stdio.Warnf("%s", w) }}
	switch timestamps {
	case "epoch":
	case "keep":
		o.KeepTimes = true
	default:
		return o, cli.Usagef("--timestamps %q: not epoch or keep", timestamps)
	}
	o.Epoch, err = cli.SourceDateEpoch()
	return o, err
}

func exportMount(ctx context.Context, c *cache.Cache, w io.Writer, operand string, wait bool, o layer.CreateOptions) (err error) {
	dirs, err := findMount(c, operand)
	if err != nil {
		return err
	}
	r, err := restMount(ctx, c, dirs[0], wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	return layer.Create(ctx, w, r.Dir, o)
}

// restMount gives the error of a mount in use the ways out of it.
func restMount(ctx context.Context, c *cache.Cache, d cache.MountDir, wait bool) (*cache.RestingMount, error) {
	r, err := c.RestMount(ctx, d, wait)
	if _, busy := errors.AsType[*cache.MountBusyError](err); busy {
		err = cli.WithHint(err, "--wait waits until nobody uses it")
	}
	return r, err
}

func mountsImportCommand() *cli.Command {
	var merge, wait bool
	var base string
	return &cli.Command{
		Name: "import", Args: "MOUNT [LAYER|-]",
		Short: "Make a layer the content of a mount, which need not be there.",
		Long: `Any compression will do, and nothing in the layer reaches outside the mount.
The mount changes in one step, when the layer has been read to its end, or not at all.`,
		Flags: func(f *cli.Flags) {
			f.StringVar(&base, "base", "", "the mount whose new directory begins with `BASE`, as ls --json shows it, instead of empty")
			f.BoolVar(&merge, "merge", false, "apply the layer to what the mount has, instead of replacing it")
			waitFlag(f, &wait)
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("MOUNT is missing")
			}
			if err := enterNamespace(stdio); err != nil {
				return err
			}
			name, in, err := stdio.Input(args[1:])
			if err != nil {
				return err
			}
			defer in.Close()
			plain, _, err := layer.Decompress(in, layer.DecompressOptions{})
			if err == nil {
				defer plain.Close()
				i := mountImport{io: stdio, plain: plain, base: base, merge: merge, wait: wait}
				err = withCache(stdio, func(c *cache.Cache) error { return i.run(ctx, c, args[0]) })
			}
			if err != nil && name != "-" {
				err = fmt.Errorf("%s: %w", name, err)
			}
			return err
		},
	}
}

// mountImport makes what the mount is to have aside, among the temporary files of
// the store, which whoever is killed leaves to the next program.
type mountImport struct {
	io          *cli.IO
	plain       io.Reader
	base        string
	merge, wait bool
}

func (i *mountImport) run(ctx context.Context, c *cache.Cache, operand string) error {
	d, err := i.target(c, operand)
	if err != nil {
		return err
	}
	return withStore(i.io, func(st *store.Store) error { return i.replace(ctx, c, st, d) })
}

// replace makes the new content and puts it in the place of the old.
func (i *mountImport) replace(ctx context.Context, c *cache.Cache, st *store.Store, d cache.MountDir) (err error) {
	temp, err := st.TempDir("mount")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, temp.Close()) }()
	next := filepath.Join(temp.Path, "next")
	if err := errors.Join(os.Mkdir(next, 0o755), os.Chmod(next, 0o755)); err != nil {
		return err
	}
	if !i.merge { // the mount is free until its new content is there
		if err := i.begin(ctx, d.Dir, next); err != nil {
			return err
		}
		if err := i.apply(ctx, next); err != nil {
			return err
		}
	}
	r, err := restMount(ctx, c, d, i.wait)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	if i.merge {
		if err := i.copy(ctx, r, next); err != nil {
			return err
		}
		if err := i.apply(ctx, next); err != nil {
			return err
		}
	}
	return r.Replace(next)
}

// target is the directory that the operand means, or the one that a build would
// make for an id.
func (i *mountImport) target(c *cache.Cache, operand string) (cache.MountDir, error) {
	if i.base != "" {
		return c.FirstMountDir(operand, i.base), nil
	}
	dirs, err := findMount(c, operand)
	if errors.Is(err, fs.ErrNotExist) {
		return c.FirstMountDir(operand, ""), nil
	}
	if err != nil {
		return cache.MountDir{}, err
	}
	return dirs[0], nil
}

func (i *mountImport) warn(text string) { i.io.Warnf("%s", text) }

func (i *mountImport) apply(ctx context.Context, dir string) error {
	return layer.Apply(ctx, i.plain, dir, layer.ApplyOptions{Warn: i.warn})
}

// begin gives the new directory the mode and owner of the old one, for a layer
// that does not say them.
func (i *mountImport) begin(ctx context.Context, old, dir string) error {
	if _, err := os.Lstat(old); err != nil {
		return nil
	}
	return piped(
		func(w io.Writer) error { return layer.Create(ctx, w, old, layer.CreateOptions{Root: true}) },
		func(r io.Reader) error {
			for e, err := range layer.Entries(r) {
				if err != nil {
					return err
				}
				top := layer.Source{Entry: *e} // the first is the root
				return layer.Pack(ctx, io.Discard, dir, []layer.Source{top}, layer.PackOptions{})
			}
			return nil
		})
}

// copy makes dir what the mount has.
func (i *mountImport) copy(ctx context.Context, m *cache.RestingMount, dir string) error {
	there, err := m.Exists()
	if err != nil || !there {
		return err
	}
	o := layer.CreateOptions{Root: true, KeepTimes: true, Warn: i.warn}
	return piped(
		func(w io.Writer) error { return layer.Create(ctx, w, m.Dir, o) },
		func(r io.Reader) error { return layer.Apply(ctx, r, dir, layer.ApplyOptions{Plain: true}) })
}

// piped lets read have what write writes, as far as it wants to, and ends when
// both have. The error of write comes to read, which is the one to tell of it.
func piped(write func(io.Writer) error, read func(io.Reader) error) error {
	r, w := io.Pipe()
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = w.CloseWithError(write(w)) // never fails
	}()
	err := read(r)
	_ = r.Close() // never fails; ends the writer
	<-done
	return err
}

func mountsRemoveCommand() *cli.Command {
	var all bool
	return &cli.Command{
		Name: "rm", Args: "MOUNT...",
		Short: "Remove mounts. Those in use stay, which is an error.",
		Flags: func(f *cli.Flags) { f.BoolVarP(&all, "all", "a", false, "remove every mount") },
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if all == (len(args) > 0) {
				return cli.Usagef("name each MOUNT, or use --all for every one")
			}
			if err := enterNamespace(stdio); err != nil {
				return err
			}
			return withCache(stdio, func(c *cache.Cache) error { return removeMounts(stdio, c, args) })
		},
	}
}

func removeMounts(stdio *cli.IO, c *cache.Cache, args []string) (err error) {
	var dirs []cache.MountDir
	if len(args) == 0 {
		dirs, err = c.MountDirs()
	}
	for _, a := range args {
		found, ferr := findMount(c, a)
		if ferr != nil {
			return ferr // before any is removed
		}
		dirs = append(dirs, found...)
	}
	if err != nil || len(dirs) == 0 {
		return err
	}
	return withStore(stdio, func(st *store.Store) error {
		return st.TakeAside(func(take func(string) error) error {
			var errs []error
			for _, d := range dirs {
				done, err := c.TakeMountDir(d, take)
				if err == nil && !done {
					err = d.Busy()
				}
				errs = append(errs, err)
			}
			return errors.Join(errs...)
		})
	})
}

// withStore opens the store for f.
func withStore(stdio *cli.IO, f func(*store.Store) error) (err error) {
	root, err := stdio.Root()
	if err != nil {
		return err
	}
	st, err := store.Open(root)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, st.Close()) }()
	return f(st)
}
