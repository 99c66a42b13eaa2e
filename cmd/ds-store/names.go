package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func named(name string, err error) error { return fmt.Errorf("%s: %w", name, err) }

func tagCommand() *cli.Command {
	return &cli.Command{
		Name: "tag", Args: "IMAGE NAME...",
		Short: "Give an image more names.",
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 2, -1, "IMAGE or NAME"); err != nil {
				return err
			}
			names, err := parseRefs(args[1:])
			if err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				desc, err := s.Resolve(args[0])
				if err != nil {
					return err
				}
				return s.Tag(ctx, desc, names...)
			})
		},
	}
}

// listed is one line of ls in JSON.
type listed struct {
	Name    string `json:"name,omitempty"`
	Digest  string `json:"digest"`
	Media   string `json:"mediaType"`
	Created string `json:"created,omitempty"`
	Size    int64  `json:"size"`
	Error   string `json:"error,omitempty"`
}

func lsCommand() *cli.Command {
	var asJSON, quiet, null bool
	var o listOutput
	return &cli.Command{
		Name: "ls", Args: "[NAME[:TAG]...]",
		Short: "List the images.",
		Long: `The columns are NAME, TAG, ID (the first 12 digits of the manifest's digest), CREATED
(when the image was made or came in) and SIZE (bytes of the blobs it refers to).
` + formatHelp + `;
"table ..." prints a table with a header. Fields: Name Repository Tag ID Digest
MediaType CreatedAt CreatedSince Size.`,
		Flags: func(f *cli.Flags) {
			o.declare(f)
			f.BoolVar(&asJSON, "json", false, "print one line of JSON per image")
			f.BoolVarP(&quiet, "quiet", "q", false, "print digests only")
			f.BoolVarP(&null, "null", "z", false, "print NAME:TAG only, each ended by a NUL")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			return withStore(stdio, func(s *store.Store) error {
				list, err := s.List()
				if err != nil {
					return err
				}
				if list, err = filter(list, args); err != nil {
					return err
				}
				switch {
				case asJSON, o.format == "json":
					return listJSON(stdio, list)
				case quiet, null:
					return listNames(stdio.Stdout, list, null)
				case o.format != "" && o.format != "table":
					return o.template(stdio, list)
				}
				return o.text(stdio, list)
			})
		},
	}
}

// filter keeps the images of the wished names; a name without a tag means all
// its tags.
func filter(list []store.Entry, names []string) ([]store.Entry, error) {
	if len(names) == 0 {
		return list, nil
	}
	var out []store.Entry
	for _, want := range names {
		found := false
		for _, e := range list {
			name, _ := splitName(e.Name)
			if e.Name == want || name == want {
				out, found = append(out, e), true
			}
		}
		if !found {
			return nil, &store.NotFoundError{Ref: want}
		}
	}
	return out, nil
}

// splitName tells name and tag apart, for a name other tools wrote too.
func splitName(name string) (string, string) {
	r, err := oci.ParseRef(name)
	switch {
	case name == "":
		return "<none>", "<none>"
	case err != nil:
		return cli.Printable(name), "<none>"
	}
	return r.Name, r.Tag
}

func listJSON(stdio *cli.IO, list []store.Entry) error {
	for _, e := range list {
		if err := stdio.JSON(describeEntry(e)); err != nil {
			return err
		}
	}
	return nil
}

func describeEntry(e store.Entry) listed {
	l := listed{Name: e.Name, Digest: e.Descriptor.Digest.String(), Media: e.Descriptor.MediaType, Size: e.Size, Created: timestamp(e.Created)}
	if e.Err != nil {
		l.Error = e.Err.Error()
	}
	return l
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func listNames(w io.Writer, list []store.Entry, null bool) error {
	for _, e := range list {
		line := e.Descriptor.Digest.String() + "\n"
		if null {
			if e.Name == "" {
				continue
			}
			line = e.Name + "\x00"
		}
		if _, err := io.WriteString(w, line); err != nil {
			return err
		}
	}
	return nil
}

func rmCommand() *cli.Command {
	var asJSON bool
	var o store.RemoveOptions
	return &cli.Command{
		Name: "rm", Args: "IMAGE...",
		Short: "Remove images by name, and the blobs and snapshots only they need.",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&o.Force, "force", "f", false, "remove an image given by digest with all its names")
			f.BoolVar(&asJSON, "json", false, "print one line of JSON per IMAGE")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 1, -1, "IMAGE"); err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				if err := enterToRemove(s); err != nil {
					return err
				}
				for _, name := range args {
					res, err := s.Remove(ctx, name, o)
					if err != nil {
						return err
					}
					if err := printRemoved(stdio, asJSON, res); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
}

type removed struct {
	Untagged  []string `json:"untagged,omitempty"`
	Blobs     []string `json:"blobs,omitempty"`
	Snapshots []string `json:"snapshots,omitempty"`
}

func printRemoved(stdio *cli.IO, asJSON bool, res store.RemoveResult) error {
	out := removed{Untagged: res.Names}
	for _, d := range res.Blobs {
		out.Blobs = append(out.Blobs, d.String())
	}
	for _, d := range res.Snapshots {
		out.Snapshots = append(out.Snapshots, d.String())
	}
	if asJSON {
		return stdio.JSON(out)
	}
	for _, n := range out.Untagged {
		fmt.Fprintf(stdio.Stdout, "untagged %s\n", cli.Printable(n))
	}
	for _, d := range out.Blobs {
		fmt.Fprintf(stdio.Stdout, "deleted %s\n", d)
	}
	return nil
}
