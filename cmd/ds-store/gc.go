package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/keep"
	"docksmith/lib/limits"
	"docksmith/lib/store"
)

// maxBytesVariable is the cap under which builds keep the store.
const maxBytesVariable = "DOCKSMITH_MAX_BYTES"

// gcFlags are the flags of gc.
type gcFlags struct {
	maxBytes, maxAge            string
	all, failed, dryRun, asJSON bool
	keepTagged                  bool
	grace                       time.Duration
}

func gcCommand() *cli.Command {
	var o gcFlags
	return &cli.Command{
		Name:  "gc",
		Short: "Remove what nothing needs and, within limits, what can be had again; print it.",
		Long: `Without a limit that goes which nothing needs: images without a name, blobs, snapshots,
the remains of killed programs, the containers of commands that failed in a build. What is
younger than --grace stays, so that a layer is still there for the commit that follows.
With --max-bytes or --max-age other things go as well, those first that were not used for
longest: layers and snapshots, cache records and mounts, what was fetched, logs of builds.
What a running program or a container needs stays, and so do images with a name, unless
--keep-tagged=false lets those go too. Volumes and containers are not looked at.
Exit status: 0 done, 1 failed, or above --max-bytes because of what has to stay.`,
		Flags: func(f *cli.Flags) {
			f.StringVar(&o.maxBytes, "max-bytes", "", "remove until all takes no more than `SIZE`, such as 10GB")
			f.StringVar(&o.maxAge, "max-age", "", "remove what was not used for `TIME`, such as 24h or 30d")
			f.BoolVar(&o.keepTagged, "keep-tagged", true, "keep images that have a name, whatever the limits are")
			f.BoolVarP(&o.all, "all", "a", false, "also remove what only the build cache needs")
			f.BoolVar(&o.failed, "failed", false, "only remove what commands that failed in a build left, and print its names")
			f.BoolVarP(&o.dryRun, "dry-run", "n", false, "only say what would be removed")
			f.DurationVar(&o.grace, "grace", time.Hour, "without a limit, spare what is younger than `TIME`")
			f.BoolVar(&o.asJSON, "json", false, "print one line of JSON for each thing removed, and one for all")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if err := operands(args, 0, 0, ""); err != nil {
				return err
			}
			p, err := o.policy()
			if err != nil {
				return err
			}
			return withStore(stdio, func(s *store.Store) error {
				if err := enterToRemove(s); err != nil {
					return err
				}
				if o.failed {
					return removeFailed(stdio, s)
				}
				res, err := keep.Collect(ctx, s, p)
				return errors.Join(o.print(stdio, res, err == nil), err, over(res, p))
			})
		},
	}
}

func (o *gcFlags) policy() (p keep.Policy, err error) {
	if o.failed && (o.all || o.dryRun || o.asJSON || o.maxBytes != "" || o.maxAge != "") {
		return p, cli.Usagef("--failed: no other option goes with it")
	}
	p = keep.Policy{TagsToo: !o.keepTagged, Grace: o.grace, CacheToo: o.all, DryRun: o.dryRun}
	limit, whose, parse := o.maxBytes, "--max-bytes", parseCap
	if limit == "" && !o.failed { // builds do not take 0 for a cap either
		limit, whose, parse = os.Getenv(maxBytesVariable), maxBytesVariable, limits.ParseSize
	}
	if limit != "" {
		p.Capped = true
		if p.MaxBytes, err = parse(limit); err != nil {
			return p, cli.Usagef("%s: %v", whose, err)
		}
	}
	if o.maxAge != "" {
		if p.MaxAge, err = parseAge(o.maxAge); err != nil {
			return p, cli.Usagef("--max-age: %v", err)
		}
	}
	if p.TagsToo && !p.Limited() {
		return p, cli.Usagef("--keep-tagged=false: images with a name go only by --max-bytes or --max-age")
	}
	return p, nil
}

// parseCap is a size of which nothing is one, too.
func parseCap(text string) (int64, error) {
	if text == "0" {
		return 0, nil
	}
	return limits.ParseSize(text)
}

// parseAge reads a duration in which days and weeks may be counted: 90m, 24h, 30d.
func parseAge(text string) (time.Duration, error) {
	for suffix, unit := range map[string]time.Duration{"d": 24 * time.Hour, "w": 7 * 24 * time.Hour} {
		if digits, ok := strings.CutSuffix(text, suffix); ok {
			n, err := strconv.ParseUint(digits, 10, 16)
			if err != nil {
				return 0, fmt.Errorf("age %q: want a number of days or weeks before the %s, at most 65535", text, suffix)
			}
			return max(time.Duration(n)*unit, 1), nil
		}
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		return 0, fmt.Errorf("age %q: want a time such as 90m, 24h or 30d", text)
	}
	return max(d, 1), nil
}

// over is the error of a cap that is not met.
func over(res keep.Result, p keep.Policy) error {
	err := res.Excess(cli.Size)
	if res.Tagged > 0 && !p.TagsToo {
		return cli.WithHint(err, "ds-store rm removes images, --keep-tagged=false those that were not used for longest")
	}
	return err
}

func removeFailed(stdio *cli.IO, s *store.Store) error {
	names, err := s.RemoveFailed()
	for _, name := range names {
		if _, werr := fmt.Fprintln(stdio.Stdout, name); werr != nil {
			return errors.Join(err, werr)
		}
	}
	return err
}

// victimLine is a thing that went, in a listing.
type victimLine struct {
	Type string `json:"type"`
	keep.Victim
}

// collectedLine ends the listing.
type collectedLine struct {
	Type      string `json:"type"`
	Images    int    `json:"images"`
	Blobs     int    `json:"blobs"`
	Snapshots int    `json:"snapshots"`
	Temps     int    `json:"temps"`
	Builds    int    `json:"builds"`
	Records   int    `json:"records"`
	Mounts    int    `json:"mounts"`
	Fetched   int    `json:"fetched"`
	Bytes     int64  `json:"bytes"`
	Left      int64  `json:"left,omitempty"`
	Over      int64  `json:"over,omitempty"`
	Held      int64  `json:"held,omitempty"`
	Tagged    int64  `json:"tagged,omitempty"`
}

func collected(res keep.Result) collectedLine {
	l := collectedLine{Type: "end", Bytes: res.Bytes, Left: res.Left, Over: res.Over, Held: res.Held, Tagged: res.Tagged}
	count := map[string]*int{
		keep.KindImage: &l.Images, keep.KindBlob: &l.Blobs, keep.KindSnapshot: &l.Snapshots, keep.KindLog: &l.Builds, keep.KindRecord: &l.Records,
		keep.KindMount: &l.Mounts, keep.KindFetched: &l.Fetched, keep.KindFailed: &l.Temps, keep.KindLeftover: &l.Temps,
	}
	for _, v := range res.Victims {
		if n := count[v.Kind]; n != nil {
			*n++
		}
	}
	return l
}

// String is the last line for people. What only limits take is counted if there
// is any.
func (c collectedLine) String() string {
	text := fmt.Sprintf("%d images, %d blobs, %d snapshots, %d leftovers: %s; %d old builds' logs",
		c.Images, c.Blobs, c.Snapshots, c.Temps, cli.Size(c.Bytes), c.Builds)
	if c.Records+c.Mounts+c.Fetched > 0 {
		text += fmt.Sprintf(", %d cache records, %d cache mounts, %d fetched", c.Records, c.Mounts, c.Fetched)
	}
	return text
}

// print writes what went; whole tells whether that is all.
func (o *gcFlags) print(stdio *cli.IO, res keep.Result, whole bool) error {
	if o.asJSON {
		for _, v := range res.Victims {
			if err := stdio.JSON(victimLine{"victim", v}); err != nil {
				return err
			}
		}
		if !whole {
			return nil
		}
		return stdio.JSON(collected(res))
	}
	if len(res.Victims) > 0 {
		w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, "KIND\tNAME\tSIZE\tLAST USED\tWHY")
		for _, v := range res.Victims {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", v.Kind, shown(v.Item), cli.Size(v.Bytes), ago(v.Used), v.Why)
		}
		if err := w.Flush(); err != nil {
			return err
		}
	}
	if !whole {
		return nil
	}
	_, err := fmt.Fprintln(stdio.Stdout, collected(res))
	return err
}
