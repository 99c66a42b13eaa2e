package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/store"
)

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
	var h historyOutput
	var platform oci.PlatformFlag
	return &cli.Command{
		Name: "history", Args: "IMAGE",
		Short: "List the instructions that made an image, the last first.",
		Long: `A row is an instruction: the digest of its layer ("-" if it made none), its size, and its text.
` + formatHelp + `;
"table ..." prints a table with a header. Fields: ID Digest DiffID Size Created
CreatedAt CreatedSince CreatedBy Comment Empty.`,
		Flags: func(f *cli.Flags) {
			f.Var(&platform, "platform", "`OS/ARCH` to pick from an index")
			h.declare(f)
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 1, 1, "IMAGE"); err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				img, err := s.Image(args[0], platform.Platform)
				if err != nil {
					return err
				}
				return h.print(stdio, rows(img))
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

// historyOutput is how history prints.
type historyOutput struct {
	asJSON, quiet, human, noTrunc bool
	format                        string
}

func (h *historyOutput) declare(f *cli.Flags) {
	f.BoolVar(&h.asJSON, "json", false, "print one line of JSON per row")
	f.StringVarP(&h.format, "format", "f", "", formatUsage)
	f.Complete("format", "json,table")
	f.BoolVarP(&h.human, "human", "H", true, "print sizes in kB and MB; --human=false: in bytes")
	f.BoolVarP(&h.quiet, "quiet", "q", false, "print the digests of the layers only")
	f.BoolVar(&h.noTrunc, "no-trunc", false, "cut nothing, which nothing is; for scripts written for docker")
}

func (h *historyOutput) size(n int64) string { return sizeText(n, h.human) }

func sizeText(n int64, human bool) string {
	if human {
		return cli.Size(n)
	}
	return strconv.FormatInt(n, 10)
}

func (h *historyOutput) print(stdio *cli.IO, list []row) error {
	switch {
	case h.quiet:
		for _, r := range list {
			if r.Digest != "" {
				fmt.Fprintln(stdio.Stdout, r.Digest)
			}
		}
		return nil
	case h.asJSON || h.format == "json":
		for _, r := range list {
			if err := stdio.JSON(r); err != nil {
				return err
			}
		}
		return nil
	case h.format != "" && h.format != "table":
		return h.template(stdio, list)
	}
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "LAYER\tSIZE\tCREATED BY")
	for _, r := range list {
		fmt.Fprintf(w, "%s\t%s\t%s\n", r.id(), h.size(r.Size), cli.Printable(strings.ReplaceAll(r.CreatedBy, "\n", " ")))
	}
	return w.Flush()
}

// id is the digest of the row's layer.
func (r row) id() string {
	if r.Digest == "" {
		return "-"
	}
	return r.Digest.String()
}

// rowView is what a template sees of a row.
type rowView struct {
	row
	ID, Size, CreatedAt, CreatedSince string
}

// MarshalJSON is the row: what {{json .}} prints, and its members.
func (v rowView) MarshalJSON() ([]byte, error) { return oci.Marshal(v.row) }

var rowHeader = map[string]string{
	"ID": "LAYER", "Digest": "DIGEST", "DiffID": "DIFF ID", "Size": "SIZE", "Created": "CREATED", "CreatedAt": "CREATED AT",
	"CreatedSince": "CREATED", "CreatedBy": "CREATED BY", "Comment": "COMMENT", "Empty": "EMPTY",
}

func (h *historyOutput) template(stdio *cli.IO, list []row) error {
	f, err := newFormatter(stdio.Stdout, h.format, rowHeader)
	if err != nil {
		return err
	}
	for _, r := range list {
		v := rowView{row: r, ID: r.id(), Size: h.size(r.Size), CreatedAt: r.Created}
		if at, err := time.Parse(time.RFC3339, r.Created); err == nil {
			v.CreatedSince = since(at, time.Now())
		}
		if err := f.write(v); err != nil {
			return err
		}
	}
	return f.close()
}
