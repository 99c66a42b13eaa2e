package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"docksmith/lib/cache"
	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
	"docksmith/lib/store"
)

func mountsCommand() *cli.Command {
	return &cli.Command{
		Name:  "mounts",
		Short: "List, export, import and remove the directories of RUN --mount=type=cache.",
		Long: `MOUNT is the id of the mount, which is its target where it has no other, or a NAME of "ls".
One that a build uses is left alone.
Exit status: 0 done, 1 failed, in use or not there, 2 wrong usage.

    ds-cache mounts export /root/.cache | ds-layer list
    layer=$(ds-cache mounts export /root/.cache | ds-store add-layer)
    ds-store commit -t cache:v1 --layer "$layer"
    ds-store get "$(ds-store inspect cache:v1 | jq -r '.layers[0].digest')" |
        ds-cache mounts import /root/.cache`,
		Commands: []*cli.Command{mountsListCommand(), mountsExportCommand(), mountsImportCommand(), mountsRemoveCommand()},
	}
}

// mountLine is a directory of a mount in a listing.
type mountLine struct {
	Type    string         `json:"type"`
	Name    string         `json:"name"`
	ID      string         `json:"id"`
	Base    string         `json:"base,omitempty"`
	Dir     string         `json:"dir"`
	Bytes   int64          `json:"bytes"`
	Used    time.Time      `json:"used"`
	InUse   bool           `json:"inUse"`
	Holders []cache.Holder `json:"holders,omitempty"`
}

func mountsListCommand() *cli.Command {
	var asJSON bool
	return &cli.Command{
		Name: "ls", Args: "",
		Short: "List the mounts with the disk space they take, their last use and who has them.",
		Long: `SCOPE is what a new directory began with, where that was not empty: one id may be several mounts.
A mount of private steps may have several directories, NAME/0, NAME/1 and so on.`,
		Flags: func(f *cli.Flags) { f.BoolVar(&asJSON, "json", false, "print one line of JSON per directory") },
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := noOperands(args); err != nil {
				return err
			}
			return withCache(stdio, func(c *cache.Cache) error {
				list, err := mountLines(c)
				if errors.Is(err, fs.ErrPermission) { // files of mapped users: look as their owner
					if err := enterNamespace(stdio); err != nil {
						return err
					}
				}
				switch {
				case err != nil:
					return err
				case asJSON:
					return cli.JSONLines(stdio, list)
				}
				return mountsText(stdio, list)
			})
		},
	}
}

func mountLines(c *cache.Cache) ([]mountLine, error) {
	dirs, err := c.MountDirs()
	if err != nil {
		return nil, err
	}
	var list []mountLine
	for _, d := range dirs {
		l := mountLine{
			Type: "mount", Name: mountName(d), ID: d.ID, Base: d.Base, Dir: d.Dir,
			Used: d.Used.UTC().Truncate(time.Second), InUse: d.InUse(),
		}
		if l.InUse {
			l.Holders = d.Holders()
		}
		if l.Bytes, err = store.DiskUsage(d.Dir); err != nil {
			return nil, err
		}
		list = append(list, l)
	}
	return list, nil
}

// mountName is short, and enough to tell a directory from all others.
func mountName(d cache.MountDir) string {
	return d.Name[:min(len(d.Name), 12)] + "/" + strconv.Itoa(d.Number)
}

func mountsText(stdio *cli.IO, list []mountLine) error {
	w := tabwriter.NewWriter(stdio.Stdout, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "NAME\tID\tSCOPE\tBYTES\tLAST USED\tIN USE BY")
	for _, l := range list {
		by := "-"
		if l.InUse {
			by = "somebody"
		}
		for i, h := range l.Holders {
			if i == 0 {
				by = ""
			}
			by = strings.TrimSpace(fmt.Sprintf("%s %s:%d", by, h.Program, h.PID))
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%s\t%s\n", l.Name, oneLine(l.ID), scopeText(l.Base), l.Bytes, timestamp(l.Used), cli.Printable(by))
	}
	return w.Flush()
}

// scopeText shows what a base says, short of its digests.
func scopeText(base string) string {
	if base == "" {
		return "-"
	}
	words := strings.NewReplacer(`["`, "", `"]`, "", `","`, ",").Replace(base)
	parts := strings.Split(words, ",")
	for i, p := range parts {
		if at := strings.Index(p, "sha256:"); at >= 0 {
			parts[i] = p[:at] + short(p[at:])
		}
	}
	return oneLine(strings.Join(parts, ","))
}

// enterNamespace makes an ordinary user the owner of what belongs to the users
// that steps ran as.
func enterNamespace(stdio *cli.IO) error {
	root, err := stdio.Root()
	if err != nil {
		return err
	}
	return sandbox.EnterUserNamespace(sandbox.UserNamespaceOptions{Root: root})
}

// findMount finds the directories that an operand means: those of the mount with
// that id, or those whose name begins so.
func findMount(c *cache.Cache, operand string) ([]cache.MountDir, error) {
	dirs, err := c.MountDirs()
	if err != nil {
		return nil, err
	}
	var found []cache.MountDir
	names := map[string]bool{}
	for _, d := range dirs {
		if d.ID == operand {
			found, names[d.Name] = append(found, d), true
		}
	}
	if found == nil {
		for _, d := range dirs {
			if named(d, operand) {
				found, names[d.Name] = append(found, d), true
			}
		}
	}
	if len(names) > 1 {
		return nil, cli.WithHint(fmt.Errorf("cache mount %q: %d mounts are called so", operand, len(names)),
			`use a NAME that "ds-cache mounts ls" shows`)
	}
	if found == nil {
		return nil, cli.WithHint(fmt.Errorf("cache mount %q: %w", operand, fs.ErrNotExist),
			`"ds-cache mounts ls" lists the mounts`)
	}
	return found, nil
}

// minName is the fewest digits that may stand for a mount.
const minName = 6

// named tells whether an operand is the beginning of a directory's name, with or
// without its number.
func named(d cache.MountDir, operand string) bool {
	digits, number, numbered := strings.Cut(operand, "/")
	return len(digits) >= minName && strings.HasPrefix(d.Name, digits) && (!numbered || number == strconv.Itoa(d.Number))
}
