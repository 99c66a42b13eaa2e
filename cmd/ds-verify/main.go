// Command ds-verify proves that images, layers and stores are what they claim.
package main

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
	"docksmith/lib/verify"
)

func main() {
	cli.Main(&cli.Command{
		Name:       "ds-verify",
		Short:      "Prove that images, layers and the store are what they claim to be.",
		Long:       long,
		FailStatus: unknown,
		Commands:   []*cli.Command{imageCommand(), layerCommand(), storeCommand(), rebuildCommand(), secretsCommand(), hostileCommand()},
	})
}

const long = `
Everything is read again from the disk; nothing is changed. Each finding is a
line on standard output, and so is the verdict on each subject.
Exit status: 0 proven, 1 refuted, 2 could not tell.

    ds-verify image app:v1
    ds-verify image ./app.tar oci:layout
    ds-layer create rootfs | ds-verify layer
    ds-verify store --json | jq -r 'select(.type == "finding").name'
`

// unknown is the exit status when it could not be told.
const unknown = 2

func imageCommand() *cli.Command {
	var platform oci.PlatformFlag
	var out output
	return &cli.Command{
		Name: "image", Args: "IMAGE...",
		Short:      "Prove images, in the store or in archives and layouts, from their digests to their layers' entries.",
		FailStatus: unknown,
		Flags: func(f *cli.Flags) {
			f.Var(&platform, "platform", "look at the image for `OS/ARCH` where there are several")
			out.flags(f)
		},
		Run: func(ctx context.Context, io *cli.IO, args []string) error {
			if len(args) == 0 {
				return cli.Usagef("name at least one image")
			}
			return proveImages(ctx, io, args, verify.ImageOptions{Platform: platform.Platform, Found: out.finder(io)}, &out)
		},
	}
}

// proveImages opens the store only for those that are in it.
func proveImages(ctx context.Context, io *cli.IO, args []string, o verify.ImageOptions, out *output) error {
	jobs := make([]job, len(args))
	var s *store.Store
	for i, ref := range args {
		if path, ok := imagePath(ref); ok {
			jobs[i] = func() (verify.Summary, error) { return verify.Path(ctx, path, o) }
			continue
		}
		jobs[i] = func() (verify.Summary, error) { return verify.Image(ctx, s, ref, o) }
		if s != nil {
			continue
		}
		var err error
		if s, err = openStore(io); err != nil {
			return err
		}
		defer s.Close()
	}
	return out.verdicts(io, "image", jobs)
}

// imagePath tells an archive or a layout from the name of an image: it begins
// like a path, or with a word for what it is.
func imagePath(ref string) (string, bool) {
	for _, kind := range []string{"oci:", "oci-archive:", "docker-archive:"} {
		if path, ok := strings.CutPrefix(ref, kind); ok && path != "" {
			return path, true
		}
	}
	return ref, strings.HasPrefix(ref, "/") || ref == "." || strings.HasPrefix(ref, "./") || strings.HasPrefix(ref, "../") || isArchive(ref)
}

// isArchive is for files that are called so and are there: "app.tar" may be an
// image's name as well.
func isArchive(name string) bool {
	for _, ext := range []string{".tar", ".tgz", ".tar.gz", ".tar.zst", ".tar.xz", ".tar.bz2"} {
		if strings.HasSuffix(name, ext) {
			_, err := os.Stat(name)
			return err == nil
		}
	}
	return false
}

func layerCommand() *cli.Command {
	var out output
	var o verify.LayerOptions
	return &cli.Command{
		Name: "layer", Args: "[FILE]",
		Short:      "Prove a layer: one well-formed tar whose entries are safe to apply.",
		FailStatus: unknown,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&o.Canonical, "canonical", false, "also prove that the order and the headers are those that we write")
			out.flags(f)
		},
		Run: func(ctx context.Context, io *cli.IO, args []string) error {
			name, r, err := io.Input(args)
			if err != nil {
				return err
			}
			defer r.Close()
			return out.verdicts(io, "layer", []job{func() (verify.Summary, error) {
				o.Found = out.finder(io)
				return verify.Layer(ctx, r, name, o)
			}})
		},
	}
}

func openStore(io *cli.IO) (*store.Store, error) {
	root, err := io.Root()
	if err != nil {
		return nil, err
	}
	return store.Open(root)
}

func withStore(io *cli.IO, work func(*store.Store) error) error {
	s, err := openStore(io)
	if err != nil {
		return err
	}
	defer s.Close()
	return work(s)
}

// job proves one subject.
type job func() (verify.Summary, error)

// output writes findings and verdicts as lines or as JSON.
type output struct{ json bool }

func (o *output) flags(f *cli.Flags) {
	f.BoolVar(&o.json, "json", false, "write JSON lines, closed by {\"type\":\"end\"}")
}

func (o *output) finder(io *cli.IO) verify.Found {
	return func(f verify.Finding) {
		if o.json {
			_ = io.JSON(struct {
				Type string `json:"type"`
				verify.Finding
			}{"finding", f}) // the output's error is kept and reported at its end
			return
		}
		fmt.Fprintln(io.Stdout, f)
	}
}

// verdicts proves each subject and exits with the worst verdict: one that is
// refuted is worse than one that could not be told.
func (o *output) verdicts(io *cli.IO, kind string, jobs []job) error {
	refuted := false
	var failed error
	for _, prove := range jobs {
		sum, err := prove()
		verdict := "proven"
		switch {
		case sum.Findings > 0:
			verdict, refuted = "refuted", true
		case err != nil:
			verdict = "unknown"
		}
		if failed != nil && err != nil {
			io.Warnf("%v", failed)
		}
		failed = cmp.Or(err, failed)
		if err := o.verdict(io, kind, verdict, sum); err != nil {
			return err
		}
	}
	if o.json {
		if err := io.End(); err != nil {
			return err
		}
	}
	if refuted {
		return &cli.StatusError{Status: 1, Err: failed}
	}
	return failed
}

func (o *output) verdict(io *cli.IO, kind, verdict string, sum verify.Summary) error {
	if o.json {
		return io.JSON(struct {
			Type    string `json:"type"`
			Kind    string `json:"kind"`
			Verdict string `json:"verdict"`
			verify.Summary
		}{"verdict", kind, verdict, sum})
	}
	line := fmt.Sprintf("%s %s: %s", kind, sum.Subject, verdict)
	if sum.Digest != "" {
		line += " " + sum.Digest.String()
	}
	_, err := fmt.Fprintln(io.Stdout, line)
	return err
}
