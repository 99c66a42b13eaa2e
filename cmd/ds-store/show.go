package main

import (
	"context"
	"encoding/json"

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
	var format string
	var platform oci.PlatformFlag
	var manifest, config bool
	return &cli.Command{
		Name: "inspect", Args: "IMAGE...",
		Short: "Print all about images, one line of JSON each.",
		Long: `The document has the members of the image's config ("config", "rootfs", "history", ...)
and "digest", "names", "layers", "manifest": see docksmith-store(5).
` + formatHelp + `;
"json" is the document, "docksmith" the manifest of the Docksmith assignment.

    ds-store inspect app:v1 | jq -r '.config.Env[]'
    ds-store inspect --format '{{join .Config.Cmd " "}}' app:v1`,
		Flags: func(f *cli.Flags) {
			f.Var(&platform, "platform", "`OS/ARCH` to pick from an index")
			f.StringVarP(&format, "format", "f", "", formatUsage)
			f.Complete("format", "json,docksmith")
			f.BoolVar(&manifest, "manifest", false, "print the manifest, byte for byte as it is stored")
			f.BoolVar(&config, "config", false, "print the config, byte for byte as it is stored")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 1, -1, "IMAGE"); err != nil {
				return err
			}
			show, err := imagePrinter(stdio, format)
			if err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				for _, name := range args {
					img, err := s.Image(name, platform.Platform)
					if err != nil {
						return err
					}
					switch {
					case manifest:
						_, err = stdio.Stdout.Write(img.RawManifest)
					case config:
						_, err = stdio.Stdout.Write(img.RawConfig)
					default:
						err = show(s, img)
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

// imagePrinter prints an image as format says.
func imagePrinter(stdio *cli.IO, format string) (func(*store.Store, *store.Image) error, error) {
	switch format {
	case "", "json":
		return func(s *store.Store, img *store.Image) error {
			doc, err := describeImage(s, img)
			if err != nil {
				return err
			}
			return stdio.JSON(doc)
		}, nil
	case "docksmith":
		return func(_ *store.Store, img *store.Image) error {
			doc, err := classic(img)
			if err != nil {
				return err
			}
			return stdio.JSON(doc)
		}, nil
	}
	f, err := newFormatter(stdio.Stdout, format, nil)
	return func(s *store.Store, img *store.Image) error {
		doc, err := describeImage(s, img)
		if err != nil {
			return err
		}
		return f.write(newImageView(s, img, doc))
	}, err
}

func describeImage(s *store.Store, img *store.Image) (imageDocument, error) {
	doc := imageDocument{
		Schema: "docksmith.image/1", Name: img.Name, Digest: img.Descriptor.Digest, MediaType: img.Descriptor.MediaType,
		Stored: timestamp(img.Created), Layers: []layerDocument{}, Image: img.Config, Manifest: img.RawManifest,
	}
	doc.Size = img.Descriptor.Size + img.Manifest.Config.Size
	for _, l := range img.Layers {
		doc.Layers = append(doc.Layers, describeLayer(l))
		doc.Size += l.Size
	}
	var err error
	doc.Names, err = s.NamesOf(img.Descriptor.Digest)
	return doc, err
}
