package main

import (
	"context"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
)

// imageLine is an image name's counters in a listing.
type imageLine struct {
	Type  string `json:"type"`
	Image string `json:"image"`
	cache.Counts
}

// runLine is one outcome of a step in a listing.
type runLine struct {
	Type string `json:"type"`
	Step string `json:"step"`
	Text string `json:"text,omitempty"`
	cache.Run
}

func historyCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name: "history", Args: "[IMAGE]",
		Short: "List the last keys of each step of an image; without IMAGE the images.",
		Long: `IMAGE is the name that builds were given with -t. Of each step the latest key comes first:
"hit" says that its record was used, the time is when the key was first seen.`,
		Flags: func(f *cli.Flags) {
			f.BoolVar(&asJSON, "json", false, "print one line of JSON per key")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) > 1 {
				return cli.Usagef("one IMAGE expected, got %d", len(args))
			}
			return withCache(stdio, func(c *cache.Cache) error {
				if len(args) == 0 {
					return listImages(stdio, c, asJSON)
				}
				h, err := findHistory(c, args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return historyJSON(stdio, h)
				}
				return historyText(stdio, h)
			})
		},
	}
}

// findHistory also tries the name with the tag that a name without one means.
func findHistory(c *cache.Cache, name string) (*cache.History, error) {
	h, err := c.History(name)
	if err != nil && !strings.Contains(name[strings.LastIndexByte(name, '/')+1:], ":") {
		if latest, err := c.History(name + ":latest"); err == nil {
			return latest, nil
		}
	}
	if err != nil {
		return nil, cli.WithHint(err, `"ds-cache history" lists the images that builds were given as -t`)
	}
	return h, nil
}

func listImages(stdio *cli.IO, c *cache.Cache, asJSON bool) error {
	w := tabwriter.NewWriter(stdio.Stdout, 0, 8, 2, ' ', 0)
	if !asJSON {
		fmt.Fprintln(w, "IMAGE\tBUILDS\tHITS\tMISSES\tSAVED")
	}
	for h, err := range c.Histories() {
		switch {
		case err != nil:
			return err
		case asJSON:
			if err := stdio.JSON(imageLine{"image", h.Image, h.Counts}); err != nil {
				return err
			}
		default:
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%.2fs\n", oneLine(h.Image), h.Builds, h.Hits, h.Misses, h.SavedSeconds)
		}
	}
	if asJSON {
		return stdio.End()
	}
	return w.Flush()
}

func historyJSON(stdio *cli.IO, h *cache.History) error {
	for _, s := range h.Steps {
		for _, r := range s.Runs {
			if err := stdio.JSON(runLine{"run", s.Step, s.Text, r}); err != nil {
				return err
			}
		}
	}
	return stdio.End()
}

func historyText(stdio *cli.IO, h *cache.History) error {
	w := tabwriter.NewWriter(stdio.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "STEP\tKEY\tOUTCOME\tFIRST SEEN\tINSTRUCTION")
	for _, s := range h.Steps {
		step, text := oneLine(s.Step), oneLine(s.Text)
		for _, r := range s.Runs {
			outcome := "miss"
			if r.Hit {
				outcome = "hit"
			}
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", step, short(r.Key), outcome, timestamp(r.Time), text)
			step, text = "", ""
		}
	}
	return w.Flush()
}

// short is the beginning of a hash, enough to name it.
func short(hash string) string {
	_, digits, _ := strings.Cut(hash, ":")
	return digits[:min(len(digits), 12)]
}

func timestamp(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return t.UTC().Format(time.RFC3339)
}

// oneLine makes text that came from a Dockerfile fit for a terminal.
func oneLine(s string) string {
	const limit = 60
	clean := cli.Printable(strings.NewReplacer("\n", " ", "\t", " ").Replace(s))
	if r := []rune(clean); len(r) > limit {
		clean = string(r[:limit-3]) + "..."
	}
	return strings.TrimRight(clean, " ")
}
