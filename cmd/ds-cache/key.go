package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
)

// preimageSchema names the JSON form of a pre-image.
const preimageSchema = "docksmith.preimage/1"

// preimageDocument is a pre-image as JSON. With a record it is what put reads.
type preimageDocument struct {
	Schema string `json:"schema,omitempty"`
	Key    string `json:"key,omitempty"`
	cache.Preimage
	Record *cache.Record `json:"record,omitempty"`
}

func keyCommand() *cli.Command {
	return &cli.Command{
		Name: "key", Args: "[FILE]",
		Short: "Print the key of each pre-image in FILE or standard input.",
		Long: `Each pre-image is a JSON object with "components", a list of {"name", "value"} and
{"name", "files"}; a file has "path", "type", "mode" and, as far as it has them,
"owner", "link", "hash" and "xattrs". The order counts. Output of "show" is input for "key".

    echo '{"components":[{"name":"instruction","value":"RUN make"}]}' | ds-cache key`,
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return eachPreimage(stdio, args, func(doc *preimageDocument) error {
				_, err := fmt.Fprintln(stdio.Stdout, doc.Preimage.Key())
				return err
			})
		},
	}
}

func putCommand() *cli.Command {
	return &cli.Command{
		Name: "put", Args: "[FILE]",
		Short: "Keep the record of each pre-image in FILE or standard input, and print its key.",
		Long: `Each JSON object is a pre-image as for "key" with one more member, "record": what the step
gave, as "get" prints it. A record without "layer" stands for a step that changed no file.`,
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return withCache(stdio, func(c *cache.Cache) error {
				return eachPreimage(stdio, args, func(doc *preimageDocument) error {
					if doc.Record == nil {
						return errors.New(`put: the input has no "record"`)
					}
					if err := c.Put(&doc.Preimage, *doc.Record); err != nil {
						return err
					}
					_, err := fmt.Fprintln(stdio.Stdout, doc.Preimage.Key())
					return err
				})
			})
		},
	}
}

// eachPreimage reads the objects of an input. No object at all is a cut input.
func eachPreimage(stdio *cli.IO, args []string, f func(*preimageDocument) error) error {
	name, in, err := stdio.Input(args)
	if err != nil {
		return err
	}
	defer in.Close()
	d := json.NewDecoder(in)
	for n := 0; ; n++ {
		doc := &preimageDocument{}
		err := d.Decode(doc)
		if err == io.EOF && n > 0 {
			return nil
		}
		if err == io.EOF {
			return fmt.Errorf("read %s: it is empty", name)
		}
		if err == nil {
			err = doc.check()
		}
		if err != nil {
			return fmt.Errorf("read pre-image %d of %s: %w", n+1, name, err)
		}
		if err := f(doc); err != nil {
			return err
		}
	}
}

func (doc *preimageDocument) check() error {
	if doc.Schema != "" && doc.Schema != preimageSchema {
		return fmt.Errorf("schema %q, want %q", doc.Schema, preimageSchema)
	}
	if len(doc.Components) == 0 {
		return errors.New(`no "components"`)
	}
	return nil
}

func showCommand() *cli.Command {
	return &cli.Command{
		Name: "show", Args: "KEY...",
		Short: "Print what keys stand for: everything the step's result depends on.",
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return withCache(stdio, func(c *cache.Cache) error {
				return eachKey(c, args, func(key string) error {
					p, err := c.Preimage(key)
					if err != nil {
						return err
					}
					return stdio.JSON(preimageDocument{Schema: preimageSchema, Key: key, Preimage: *p})
				})
			})
		},
	}
}
