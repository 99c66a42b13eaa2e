package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func commitCommand() *cli.Command {
	var c commit
	return &cli.Command{
		Name: "commit", Args: "[-t NAME]... [--from IMAGE] [--layer LAYER]... [OPTION]...",
		Short: "Make an image of layers and settings, and print its digest.",
		Long: `An image begins as IMAGE or as nothing. LAYERs, by diff ID or digest, go on top in the
order given. Settings change those of IMAGE: lists and maps grow, --entrypoint without --cmd drops
its command. A command is words in the manner of a shell, or a JSON array; "" clears it. The
same call makes the same image: "created" is $SOURCE_DATE_EPOCH or 1970.

    ds-store commit -t app:v1 --from base --layer "$layer" --cmd '/app --serve' --env PORT=80`,
		Flags: c.declare,
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 0, ""); err != nil {
				return err
			}
			names, err := parseRefs(c.names)
			if err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				desc, err := c.run(ctx, stdio, s)
				if err != nil {
					return err
				}
				if err := s.Tag(ctx, desc, names...); err != nil {
					return err
				}
				return printResult(stdio, c.asJSON, desc.Digest, desc)
			})
		},
	}
}

// commit is the command's flags.
type commit struct {
	names, layers, annotations []string
	from, configFile           string
	platform                   oci.PlatformFlag
	author                     string
	settings                   []*setting
	asJSON                     bool
	flags                      *cli.Flags
}

func (c *commit) declare(f *cli.Flags) {
	c.flags = f
	f.StringArrayVarP(&c.names, "tag", "t", nil, "name it `NAME[:TAG]`; may be repeated")
	f.Complete("tag", "image")
	f.StringVar(&c.from, "from", "", "begin with `IMAGE`")
	f.Complete("from", "image")
	f.StringArrayVar(&c.layers, "layer", nil, "put `LAYER` on top, a diff ID or digest; may be repeated")
	f.StringVar(&c.configFile, "config", "", "take settings from the JSON in `FILE`: an image's config document, or its config member")
	f.Complete("config", "file")
	c.settings = declareSettings(f)
	f.Var(&c.platform, "platform", "`OS/ARCH` the image is for; picks from IMAGE if that is an index")
	f.StringVar(&c.author, "author", "", "`NAME` of the author")
	f.StringArrayVar(&c.annotations, "annotation", nil, "annotate the manifest with `KEY=VALUE`; may be repeated")
	f.BoolVar(&c.asJSON, "json", false, "print the descriptor")
}

// run writes the image.
func (c *commit) run(ctx context.Context, stdio *cli.IO, s *store.Store) (oci.Descriptor, error) {
	epoch, err := cli.SourceDateEpoch()
	if err != nil {
		return oci.Descriptor{}, err
	}
	annotations, err := keyValues("--annotation", c.annotations)
	if err != nil {
		return oci.Descriptor{}, err
	}
	img, layers, err := c.base(s)
	if err != nil {
		return oci.Descriptor{}, err
	}
	img.Created = &epoch
	if c.configFile != "" {
		if err := c.readConfig(stdio, &img); err != nil {
			return oci.Descriptor{}, err
		}
	}
	if c.author != "" {
		img.Author = c.author
	}
	for _, d := range c.layers {
		l, err := findLayer(ctx, s, d)
		if err != nil {
			return oci.Descriptor{}, err
		}
		layers = append(layers, l)
		img.History = append(img.History, oci.History{Created: &epoch, CreatedBy: "ds-store commit --layer " + l.DiffID.String()})
	}
	texts, err := applySettings(&img.Config, c.settings)
	if err != nil {
		return oci.Descriptor{}, err
	}
	for _, t := range texts {
		img.History = append(img.History, oci.History{Created: &epoch, CreatedBy: t, EmptyLayer: true})
	}
	return s.WriteImage(ctx, img, layers, annotations)
}

func findLayer(ctx context.Context, s *store.Store, d string) (oci.Layer, error) {
	if err := oci.ValidDigest(digest.Digest(d)); err != nil {
		return oci.Layer{}, cli.Usagef("--layer: %v", err)
	}
	l, err := s.FindLayer(ctx, digest.Digest(d))
	if errors.Is(err, oci.ErrNotFound) {
		return l, cli.WithHint(err, "ds-store add-layer stores one and prints its diff ID")
	}
	return l, err
}

// base is what the image begins with.
func (c *commit) base(s *store.Store) (oci.Image, []oci.Layer, error) {
	p := c.platform.Platform
	if c.from != "" {
		img, err := s.Image(c.from, p)
		if err != nil {
			return oci.Image{}, nil, err
		}
		cfg := img.Config
		cfg.History = cfg.FillHistory(len(img.Layers))
		return cfg, img.Layers, nil
	}
	if p == nil {
		host := oci.HostPlatform()
		p = &host
	}
	return oci.Image{Platform: *p}, nil, nil
}

// readConfig takes settings from a document: of a whole config document all that
// is not about layers, else the settings alone.
func (c *commit) readConfig(stdio *cli.IO, img *oci.Image) error {
	raw, err := readDocument(stdio, c.configFile)
	if err != nil {
		return named(c.configFile, err)
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(raw, &members); err != nil {
		return named(c.configFile, err)
	}
	if members["config"] == nil && members["rootfs"] == nil && members["architecture"] == nil {
		var cfg oci.ImageConfig
		if err := json.Unmarshal(raw, &cfg); err != nil {
			return named(c.configFile, err)
		}
		img.Config = cfg
		return nil
	}
	var doc oci.Image
	if err := json.Unmarshal(raw, &doc); err != nil {
		return named(c.configFile, err)
	}
	img.Config = doc.Config
	if doc.Created != nil {
		img.Created = doc.Created
	}
	if doc.Author != "" {
		img.Author = doc.Author
	}
	if doc.Architecture != "" && c.platform.Platform == nil && c.from == "" {
		img.Platform = doc.Platform
	}
	return nil
}

func readDocument(stdio *cli.IO, file string) ([]byte, error) {
	var in io.ReadCloser
	var err error
	if file == "-" {
		_, in, err = stdio.Input(nil)
	} else {
		in, err = os.Open(file)
	}
	if err != nil {
		return nil, err
	}
	defer in.Close()
	raw, err := io.ReadAll(io.LimitReader(in, oci.MaxDocument+1))
	if err == nil && len(raw) > oci.MaxDocument {
		err = fmt.Errorf("longer than %d bytes", oci.MaxDocument)
	}
	return raw, err
}
