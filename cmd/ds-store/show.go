package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

// imageDocument is what inspect prints, docksmith.image/1 in docksmith-store(5):
// the members of the image's config document, and beside them what the store knows.
type imageDocument struct {
	Schema    string          `json:"schema"`
	Name      string          `json:"name,omitempty"`
	Names     []string        `json:"names,omitempty"`
	Digest    digest.Digest   `json:"digest"`
	MediaType string          `json:"mediaType"`
	Size      int64           `json:"size"`
	Stored    string          `json:"stored,omitempty"`
	Layers    []layerDocument `json:"layers"`
	Manifest  json.RawMessage `json:"manifest"`
	oci.Image
}

func inspectCommand() *cli.Command {
	var platform string
	var manifest, config bool
	return &cli.Command{
		Name: "inspect", Args: "IMAGE...",
		Short: "Print all about images, one line of JSON each.",
		Long: `The document has the members of the image's config ("config", "rootfs", "history", ...)
and "digest", "names", "layers", "manifest": see docksmith-store(5).

    ds-store inspect app:v1 | jq -r '.config.Env[]'`,
		Flags: func(f *cli.Flags) {
			f.StringVar(&platform, "platform", "", "`OS/ARCH` to pick from an index")
			f.BoolVar(&manifest, "manifest", false, "print the manifest, byte for byte as it is stored")
			f.BoolVar(&config, "config", false, "print the config, byte for byte as it is stored")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 1, -1, "IMAGE"); err != nil {
				return err
			}
			p, err := parsePlatform(platform)
			if err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				for _, name := range args {
					img, err := s.Image(name, p)
					if err != nil {
						return err
					}
					switch {
					case manifest:
						_, err = stdio.Stdout.Write(img.RawManifest)
					case config:
						_, err = stdio.Stdout.Write(img.RawConfig)
					default:
						err = printImage(stdio, s, img)
					}
					if err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

func printImage(stdio *cli.IO, s *store.Store, img *store.Image) error {
	list, err := s.List()
	if err != nil {
		return err
	}
	doc := imageDocument{
		Schema: "docksmith.image/1", Name: img.Name, Digest: img.Descriptor.Digest, MediaType: img.Descriptor.MediaType,
		Stored: timestamp(img.Created), Layers: []layerDocument{}, Image: img.Config, Manifest: img.RawManifest,
	}
	doc.Size = img.Descriptor.Size + img.Manifest.Config.Size
	for _, l := range img.Layers {
		doc.Layers = append(doc.Layers, describeLayer(l))
		doc.Size += l.Size
	}
	for _, e := range list {
		if e.Descriptor.Digest == img.Descriptor.Digest && e.Name != "" {
			doc.Names = append(doc.Names, e.Name)
		}
	}
	return stdio.JSON(doc)
}

// row is an instruction of an image's history.
type row struct {
	Created   string        `json:"created,omitempty"`
	CreatedBy string        `json:"createdBy,omitempty"`
	Comment   string        `json:"comment,omitempty"`
	Empty     bool          `json:"emptyLayer,omitempty"`
	Digest    digest.Digest `json:"digest,omitempty"`
	DiffID    digest.Digest `json:"diffID,omitempty"`
	Size      int64         `json:"size"`
}

func historyCommand() *cli.Command {
	var platform string
	var asJSON bool
	return &cli.Command{
		Name: "history", Args: "IMAGE",
		Short: "List the instructions that made an image, the last first.",
		Long:  `A row is an instruction: the digest of its layer ("-" if it made none), its size, and its text.`,
		Flags: func(f *cli.Flags) {
			f.StringVar(&platform, "platform", "", "`OS/ARCH` to pick from an index")
			f.BoolVar(&asJSON, "json", false, "print one line of JSON per row")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 1, 1, "IMAGE"); err != nil {
				return err
			}
			p, err := parsePlatform(platform)
			if err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				img, err := s.Image(args[0], p)
				if err != nil {
					return err
				}
				return printHistory(stdio, rows(img), asJSON)
			})
		},
	}
}

// rows joins history and layers. Layers that no entry speaks of get rows of
// their own, at the end, where a tool that writes no history put them.
func rows(img *store.Image) []row {
	var out []row
	layers := img.Layers
	add := func(h oci.History) {
		r := row{CreatedBy: h.CreatedBy, Comment: h.Comment, Empty: h.EmptyLayer}
		if h.Created != nil {
			r.Created = timestamp(*h.Created)
		}
		if !h.EmptyLayer {
			r.Digest, r.DiffID, r.Size = layers[0].Digest, layers[0].DiffID, layers[0].Size
			layers = layers[1:]
		}
		out = append([]row{r}, out...)
	}
	for _, h := range img.Config.History {
		add(h)
	}
	for len(layers) > 0 {
		add(oci.History{})
	}
	return out
}

func printHistory(stdio *cli.IO, list []row, asJSON bool) error {
	if asJSON {
		for _, r := range list {
			if err := stdio.JSON(r); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAYER\tSIZE\tCREATED BY")
	for _, r := range list {
		id := "-"
		if r.Digest != "" {
			id = r.Digest.String()
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", id, humanSize(r.Size), cli.Printable(strings.ReplaceAll(r.CreatedBy, "\n", " ")))
	}
	return w.Flush()
}
