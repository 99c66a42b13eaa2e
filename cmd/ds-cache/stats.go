package main

import (
	"context"
	"fmt"
	"text/tabwriter"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
)

func statsCommand() *cli.Command {
	var asJSON, reset bool
	return &cli.Command{
		Name: "stats", Args: "[IMAGE]",
		Short: "Print the counters of all builds, or of those of IMAGE: hits, misses and the time that hits saved.",
		Long: `The time saved by a hit is what the step took when it was done, as its record says.
Without IMAGE the sum comes first, then each image.`,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&asJSON, "json", false, "print one line of JSON")
			f.BoolVar(&reset, "reset", false, "set the counters that are printed to zero")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) > 1 {
				return cli.Usagef("one IMAGE expected, got %d", len(args))
			}
			return withCache(stdio, func(c *cache.Cache) error {
				s := cache.Stats{Schema: cache.StatsSchema}
				var err error
				image := ""
				if len(args) == 0 {
					s, err = c.StatsByImage(reset)
				} else {
					image, s.Counts, err = imageCounts(c, args[0], reset)
				}
				switch {
				case err != nil:
					return err
				case asJSON && image != "":
					return stdio.JSON(imageStats{s.Schema, image, s.Counts})
				case asJSON:
					return stdio.JSON(s)
				}
				return printStats(stdio, s)
			})
		},
	}
}

// imageStats is the document of one image.
type imageStats struct {
	Schema string `json:"schema"`
	Image  string `json:"image"`
	cache.Counts
}

func imageCounts(c *cache.Cache, name string, reset bool) (string, cache.Counts, error) {
	h, err := findHistory(c, name)
	if err != nil {
		return "", cache.Counts{}, err
	}
	if !reset {
		return h.Image, h.Counts, nil
	}
	n, err := c.ResetImage(h.Image)
	return h.Image, n, err
}

func printStats(stdio *cli.IO, s cache.Stats) error {
	if err := printCounts(stdio, s.Counts); err != nil || len(s.Images) == 0 {
		return err
	}
	w := tabwriter.NewWriter(stdio.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "\nIMAGE\tBUILDS\tHITS\tMISSES\tRATE\tSAVED")
	for _, i := range s.Images {
		fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.0f%%\t%.2fs\n", oneLine(i.Image), i.Builds, i.Hits, i.Misses, rate(i.Counts), i.SavedSeconds)
	}
	return w.Flush()
}

func printCounts(stdio *cli.IO, n cache.Counts) error {
	_, err := fmt.Fprintf(stdio.Stdout, "builds  %d\nhits    %d (%.0f%%)\nmisses  %d\nsaved   %.2fs\n",
		n.Builds, n.Hits, rate(n), n.Misses, n.SavedSeconds)
	return err
}

// rate is how many of a hundred steps hit.
func rate(n cache.Counts) float64 {
	if n.Hits+n.Misses == 0 {
		return 0
	}
	return 100 * float64(n.Hits) / float64(n.Hits+n.Misses)
}
