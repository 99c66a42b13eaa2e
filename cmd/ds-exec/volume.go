package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/volume"
)

func volumeCommand() *cli.Command {
	return &cli.Command{
		Name: "volume", Short: "List, make, show and remove volumes.",
		Commands: []*cli.Command{
			volumeListCommand(), volumeCreateCommand(), volumeInspectCommand(), volumeRemoveCommand(), volumePruneCommand(),
		},
	}
}

// volumeReport is a volume as it is shown.
type volumeReport struct {
	volume.Record
	Mountpoint string   `json:"mountpoint"`
	Containers []string `json:"containers,omitempty"`
}

func reportOf(v *volume.Volume, users map[string][]string) volumeReport {
	return volumeReport{v.Record, v.Data(), users[v.Name]}
}

func volumeListCommand() *cli.Command {
	var quiet, asJSON bool
	return &cli.Command{
		Name: "ls", Args: "",
		Short: "List the volumes, with the containers that have them.",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&quiet, "quiet", "q", false, "print names only")
			f.BoolVar(&asJSON, "json", false, "print lines of JSON")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("no operand is taken")
			}
			set, err := volumeSet(stdio)
			if err != nil {
				return err
			}
			list, err := set.List()
			if err != nil {
				return err
			}
			return listVolumes(stdio, list, quiet, asJSON)
		},
	}
}

func listVolumes(stdio *cli.IO, list []*volume.Volume, quiet, asJSON bool) error {
	users, err := allUsers(stdio, "")
	if err != nil {
		return err
	}
	w := tabwriter.NewWriter(stdio.Stdout, 0, 0, 3, ' ', 0)
	if !quiet && !asJSON {
		fmt.Fprintln(w, "NAME\tCREATED\tCONTAINERS")
	}
	for _, v := range list {
		r := reportOf(v, users)
		switch {
		case asJSON:
			err = stdio.JSON(r)
		case quiet:
			_, err = fmt.Fprintln(stdio.Stdout, r.Name)
		default:
			_, err = fmt.Fprintf(w, "%s\t%s ago\t%s\n", r.Name, ago(time.Since(r.Created)), strings.Join(r.Containers, ", "))
		}
		if err != nil {
			return err
		}
	}
	if asJSON {
		return stdio.End()
	}
	return w.Flush()
}

func volumeCreateCommand() *cli.Command {
	var labels []string
	return &cli.Command{
		Name: "create", Args: "[NAME]",
		Short: "Make a volume, with a random name if none is given, and print its name.",
		Long:  "One that is there already is left as it is.",
		Flags: func(f *cli.Flags) {
			f.StringArrayVar(&labels, "label", nil, "add a label, `KEY=VALUE`; may be repeated")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) > 1 {
				return cli.Usagef("one name is taken")
			}
			name, o := "", volume.Options{Anonymous: len(args) == 0}
			if len(args) == 1 {
				if name = args[0]; !volume.ValidName(name) {
					return cli.Usagef("volume %q: %v", name, volume.ErrName)
				}
			}
			for _, l := range labels {
				if o.Labels == nil {
					o.Labels = map[string]string{}
				}
				key, value, _ := strings.Cut(l, "=")
				if key == "" {
					return cli.Usagef("--label %q: want KEY=VALUE", l)
				}
				o.Labels[key] = value
			}
			set, err := volumeSet(stdio)
			if err != nil {
				return err
			}
			v, err := set.Create(name, o)
			if err != nil {
				return err
			}
			_, err = fmt.Fprintln(stdio.Stdout, v.Name)
			return err
		},
	}
}

func volumeInspectCommand() *cli.Command {
	return &cli.Command{
		Name: "inspect", Args: "VOLUME...",
		Short: "Print volumes as lines of JSON.",
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			users, err := allUsers(stdio, "")
			if err != nil {
				return err
			}
			return eachVolume(stdio, args, func(set *volume.Set, name string) error {
				v, err := set.Get(name)
				if err != nil {
					return err
				}
				return stdio.JSON(reportOf(v, users))
			})
		},
	}
}

func volumeRemoveCommand() *cli.Command {
	var force bool
	return &cli.Command{
		Name: "rm", Args: "VOLUME...",
		Short: "Remove volumes that no container has, with their files.",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&force, "force", "f", false, "no error if there is none of the name")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if err := enterNamespace(stdio); err != nil {
				return err
			}
			return eachVolume(stdio, args, func(set *volume.Set, name string) error {
				err := set.Remove(name, users(stdio, ""))
				if force && errors.Is(err, volume.ErrNotFound) {
					return nil
				}
				if errors.Is(err, volume.ErrInUse) {
					err = cli.WithHint(err, "ds-exec rm removes containers, ds-exec gc those that were killed")
				}
				if err == nil {
					_, err = fmt.Fprintln(stdio.Stdout, name)
				}
				return err
			})
		},
	}
}

// eachVolume does something to volumes, and reports each error on its own.
func eachVolume(stdio *cli.IO, names []string, do func(set *volume.Set, name string) error) error {
	if len(names) == 0 {
		return cli.Usagef("a volume is missing")
	}
	set, err := volumeSet(stdio)
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		if err := do(set, name); err != nil {
			errs = append(errs, err)
		}
	}
	return joinLines(stdio, errs)
}

func volumePruneCommand() *cli.Command {
	var all bool
	return &cli.Command{
		Name: "prune", Args: "",
		Short: "Remove the volumes that were made for containers which have gone; print their names.",
		Flags: func(f *cli.Flags) {
			f.BoolVarP(&all, "all", "a", false, "remove those with a name that no container has, too")
		},
		Run: func(_ context.Context, stdio *cli.IO, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("no operand is taken")
			}
			if err := enterNamespace(stdio); err != nil {
				return err
			}
			return pruneVolumes(stdio, all)
		},
	}
}

func pruneVolumes(stdio *cli.IO, all bool) error {
	set, err := volumeSet(stdio)
	if err != nil {
		return err
	}
	list, err := set.List()
	if err != nil {
		return err
	}
	errs := []error{}
	for _, v := range list {
		if !all && !v.Anonymous {
			continue
		}
		err := set.Remove(v.Name, users(stdio, ""))
		switch {
		case errors.Is(err, volume.ErrInUse), errors.Is(err, volume.ErrNotFound):
		case err != nil:
			errs = append(errs, err)
		default:
			if _, err := fmt.Fprintln(stdio.Stdout, v.Name); err != nil {
				return err
			}
		}
	}
	if err := set.Sweep(); err != nil {
		errs = append(errs, err)
	}
	return joinLines(stdio, errs)
}
