package main

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"text/tabwriter"

	"docksmith/lib/cli"
	"docksmith/lib/layer"
)

const wasteLong = `
The layers are given from the bottom to the top. A row is a file that a layer carries and that
the merged view does not have: its bytes before compression, the layer, why it is not seen,
the layer that is why, and its path; the largest first. The causes:

    overwritten  something else has its name
    metadata     the same content was written again, for a mode, an owner or a time
    removed      by a whiteout
    opaque       by an opaque directory

The sums follow, by cause and by layer.

    ds-layer waste base.tar.gz app.tar.gz
    docksmith waste app:v1 | head
`

func wasteCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name:  "waste",
		Args:  "LAYER...",
		Short: "List what layers carry in vain, since others hide it.",
		Long:  wasteLong,
		Flags: func(f *cli.Flags) { f.BoolVar(&asJSON, "json", false, `print JSON lines, closed by {"type":"end"}`) },
		Run: func(ctx context.Context, s *cli.IO, args []string) error {
			return withStack(s, args, func(layers []func() (io.ReadCloser, error)) error {
				res, err := layer.Waste(ctx, layers, layer.WasteOptions{})
				switch {
				case err != nil:
					return err
				case asJSON:
					return wasteJSON(s, res)
				}
				return wasteText(s.Stdout, res)
			})
		},
	}
}

// wasteSums are the bytes in vain, by cause and by layer.
type wasteSums struct {
	Files  int                   `json:"files"`
	Bytes  int64                 `json:"bytes"`
	Total  int64                 `json:"total"`
	Causes map[layer.Cause]int64 `json:"causes"`
	layers []int64
}

func sumWaste(res layer.WasteReport) wasteSums {
	s := wasteSums{Files: len(res.Files), Causes: map[layer.Cause]int64{}, layers: make([]int64, len(res.Layers))}
	for _, n := range res.Layers {
		s.Total += n
	}
	for _, f := range res.Files {
		s.Bytes += f.Bytes
		s.Causes[f.Cause] += f.Bytes
		s.layers[f.Layer-1] += f.Bytes
	}
	return s
}

func wasteText(w io.Writer, res layer.WasteReport) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "BYTES\tLAYER\tCAUSE\tBY\tPATH")
	for _, f := range res.Files {
		fmt.Fprintf(t, "%d\t%d\t%s\t%d\t%s\n", f.Bytes, f.Layer, f.Cause, f.By, cli.Escape("/"+f.Path))
	}
	sums := sumWaste(res)
	fmt.Fprintf(t, "%d\tall\t-\t-\tof %d in %d layers%s\n", sums.Bytes, sums.Total, len(res.Layers), percent(sums.Bytes, sums.Total))
	for _, c := range slices.Sorted(maps.Keys(sums.Causes)) {
		fmt.Fprintf(t, "%d\tall\t%s\t-\t-\n", sums.Causes[c], c)
	}
	for i, n := range sums.layers {
		fmt.Fprintf(t, "%d\t%d\t-\t-\tof %d%s\n", n, i+1, res.Layers[i], percent(n, res.Layers[i]))
	}
	return t.Flush()
}

func percent(part, whole int64) string {
	if whole == 0 {
		return ""
	}
	return fmt.Sprintf(", %.1f%%", 100*float64(part)/float64(whole))
}

func wasteJSON(s *cli.IO, res layer.WasteReport) error {
	for _, f := range res.Files {
		row := struct {
			Type string `json:"type"`
			layer.Wasted
			PathBytes []byte `json:"pathBytes,omitempty"`
		}{"file", f, notText(f.Path)}
		if err := s.JSON(row); err != nil {
			return err
		}
	}
	sums := sumWaste(res)
	for i, n := range sums.layers {
		err := s.JSON(struct {
			Type  string `json:"type"`
			Layer int    `json:"layer"`
			Bytes int64  `json:"bytes"`
			Total int64  `json:"total"`
		}{"layer", i + 1, n, res.Layers[i]})
		if err != nil {
			return err
		}
	}
	return s.JSON(struct {
		Type string `json:"type"`
		wasteSums
	}{"end", sums})
}
