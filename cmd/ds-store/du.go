package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/keep"
	"docksmith/lib/store"
)

func duCommand() *cli.Command {
	var asJSON, verbose bool
	return &cli.Command{
		Name:  "du",
		Short: "Show the disk space the store takes, by area, and who needs it.",
		Long: `BYTES is what the file system has given out, with files of several names counted once;
RECLAIMABLE what "gc --max-bytes 0" would free of it. With -v the images follow, and then
all things, the largest first, with who refers to them.`,
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&verbose, "verbose", "v", false, "show each image and each thing as well")
			f.BoolVar(&asJSON, "json", false, "print one line of JSON per area and, with -v, image and thing")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 0, ""); err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				inv, err := keep.Take(ctx, s)
				if err != nil {
					return err
				}
				if inv.Denied != nil {
					// Directories of mapped users: look again as their owner.
					if err := enterUserNamespace(s, nil); err != nil {
						return err
					}
					stdio.Warnf("incomplete: %v", inv.Denied)
				}
				slices.SortStableFunc(inv.Items, func(a, b *keep.Item) int {
					return cmp.Or(cmp.Compare(b.Bytes, a.Bytes), strings.Compare(a.Kind, b.Kind), strings.Compare(a.Name, b.Name))
				})
				if asJSON {
					return jsonUsage(stdio, inv, verbose)
				}
				return printUsage(stdio, inv, verbose)
			})
		},
	}
}

// The lines of du --json.
type areaLine struct {
	Type string `json:"type"`
	keep.Area
}

type imageLine struct {
	Type string `json:"type"`
	keep.ImageUse
}

type itemLine struct {
	Type string `json:"type"`
	*keep.Item
}

type usageEnd struct {
	Type        string `json:"type"`
	Bytes       int64  `json:"bytes"` // that count for a limit
	Reclaimable int64  `json:"reclaimable"`
}

func jsonUsage(stdio *cli.IO, inv *keep.Inventory, verbose bool) error {
	var lines []any
	for _, a := range inv.Areas {
		lines = append(lines, areaLine{"area", a})
	}
	if verbose {
		for _, i := range inv.Images() {
			lines = append(lines, imageLine{"image", i})
		}
		for _, i := range inv.Items {
			if i.Kind != keep.KindImage {
				lines = append(lines, itemLine{"item", i})
			}
		}
	}
	for _, l := range append(lines, usageEnd{"end", inv.Bytes(), inv.Reclaimable()}) {
		if err := stdio.JSON(l); err != nil {
			return err
		}
	}
	return nil
}

func printUsage(stdio *cli.IO, inv *keep.Inventory, verbose bool) error {
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "AREA\tITEMS\tBYTES\tSIZE\tRECLAIMABLE")
	total := keep.Area{Area: "total"}
	for _, a := range inv.Areas {
		total.Items += a.Items
		total.Bytes += a.Bytes
		total.Reclaimable += a.Reclaimable
	}
	for _, a := range append(inv.Areas, total) {
		fmt.Fprintf(w, "%s\t%d\t%d\t%s\t%s\n", a.Area, a.Items, a.Bytes, cli.Size(a.Bytes), cli.Size(a.Reclaimable))
	}
	if verbose {
		fmt.Fprintln(w)
		printImages(w, inv)
		fmt.Fprintln(w)
		printItems(w, inv)
	}
	return w.Flush()
}

func printImages(w io.Writer, inv *keep.Inventory) {
	fmt.Fprintln(w, "IMAGE\tID\tLAYERS\tTOTAL\tSHARED\tUNIQUE")
	for _, i := range inv.Images() {
		names := cli.Printable(strings.Join(i.Names, " "))
		fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", cmp.Or(names, "-"), i.Digest.Encoded()[:12], i.Layers, cli.Size(i.Total), cli.Size(i.Shared), cli.Size(i.Unique))
	}
}

func printItems(w io.Writer, inv *keep.Inventory) {
	fmt.Fprintln(w, "KIND\tNAME\tSIZE\tLAST USED\tNEEDED BY")
	for _, i := range inv.Items {
		if i.Kind == keep.KindImage {
			continue
		}
		var refs []string
		for _, r := range i.Refs {
			refs = append(refs, shortRef(r))
		}
		if i.Held != "" && !strings.HasPrefix(i.Held, "under ") {
			refs = append(refs, i.Held)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", i.Kind, shown(i), cli.Size(i.Bytes), ago(i.Used), cmp.Or(clip(strings.Join(refs, ", "), 100), "-"))
	}
}

// shown is the name of a thing for people: short, with what they know it by.
func shown(i *keep.Item) string {
	name := shortRef(i.Name)
	if i.Kind == keep.KindImage {
		name = i.Name
	}
	if i.Text == "" || i.Kind == keep.KindImage {
		return cli.Printable(name)
	}
	return clip(name+" "+i.Text, 60)
}

// shortRef shortens the digests in a text to what is enough to find them by.
func shortRef(text string) string {
	words := strings.Split(text, " ")
	for n, word := range words {
		for _, prefix := range []string{"sha256:", "blake3:"} {
			if hex, ok := strings.CutPrefix(word, prefix); ok && len(hex) == 64 {
				words[n] = prefix + hex[:12]
			}
		}
	}
	return strings.Join(words, " ")
}

// clip is printable text of no more than most characters.
func clip(text string, most int) string {
	r := []rune(cli.Printable(text))
	if len(r) > most {
		return string(r[:most-3]) + "..."
	}
	return string(r)
}

// ago is when something was last used; it is known to the hour.
func ago(t time.Time) string {
	switch d := time.Since(t); {
	case t.IsZero():
		return "-"
	case d < time.Hour:
		return "within 1h"
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", int(d.Hours()))
	default:
		return fmt.Sprintf("%dd ago", int(d.Hours()/24))
	}
}
