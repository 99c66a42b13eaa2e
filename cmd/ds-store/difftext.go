package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/compare"
	"docksmith/lib/layer"
	"docksmith/lib/oci"
)

var changeLetters = map[compare.Change]string{compare.Added: "A", compare.Deleted: "D", compare.Changed: "C"}

// differenceText is a difference as a line.
func differenceText(d compare.Difference) string {
	line := changeLetters[d.Change] + " "
	switch d.Kind {
	case compare.Manifest, compare.Config:
		return line + documentText(d)
	case compare.History:
		return line + fmt.Sprintf("history %d %s%s", d.Index, fromTo(d, historyText), layerLost(d))
	case compare.Layer:
		return line + fmt.Sprintf("layer %d %s%s", d.Index, fromTo(d, layerText), inBrackets(d.What))
	}
	if d.Path == "." {
		d.Path = ""
	}
	line += cli.Escape("/" + d.Path)
	if d.Change != compare.Changed {
		return line
	}
	old, now := d.Old.(compare.File), d.New.(compare.File)
	var what []string
	for _, aspect := range d.What {
		what = append(what, aspectText(aspect, old, now))
	}
	return line + " (" + strings.Join(what, ", ") + ")"
}

func documentText(d compare.Difference) string {
	if d.Key == "" {
		return fmt.Sprintf("%s%s", d.Kind, inBrackets(d.What))
	}
	key := cli.Printable(d.Key)
	if d.Kind == compare.Manifest {
		key = "manifest." + key
	}
	return key + " " + fromTo(d, func(v any) string { return cli.Printable(string(v.(json.RawMessage))) })
}

// fromTo shows what there was and what there is.
func fromTo(d compare.Difference, text func(any) string) string {
	switch {
	case d.Old == nil:
		return text(d.New)
	case d.New == nil:
		return text(d.Old)
	}
	return text(d.Old) + " -> " + text(d.New)
}

func historyText(v any) string {
	h := v.(oci.History)
	text := strconv.Quote(h.CreatedBy)
	if h.CreatedBy == "" && h.Comment != "" {
		text = "(" + strconv.Quote(h.Comment) + ")"
	}
	if h.Created != nil && h.Created.Unix() > 0 {
		text += " of " + h.Created.UTC().Format(time.RFC3339)
	}
	return text
}

// layerLost tells of an instruction that has a layer on one side only.
func layerLost(d compare.Difference) string {
	old, had := d.Old.(oci.History)
	now, has := d.New.(oci.History)
	switch {
	case !had || !has || old.EmptyLayer == now.EmptyLayer:
		return ""
	case now.EmptyLayer:
		return " (no layer any more)"
	}
	return " (now a layer)"
}

func layerText(v any) string {
	l := v.(compare.LayerItem)
	id := l.Digest
	if id == "" {
		id = l.DiffID
	}
	text := fmt.Sprintf("%s %s", id, cli.Size(l.Size))
	if l.CreatedBy != "" {
		text += " " + strconv.Quote(l.CreatedBy)
	}
	return text
}

func inBrackets(what []compare.Aspect) string {
	if len(what) == 0 {
		return ""
	}
	var words []string
	for _, w := range what {
		words = append(words, string(w))
	}
	return " (" + strings.Join(words, ", ") + ")"
}

// aspectText is an aspect with its old and new value, where those are short.
func aspectText(aspect compare.Aspect, old, now compare.File) string {
	var from, to string
	switch aspect {
	case compare.Type:
		from, to = old.Type.String(), now.Type.String()
	case compare.Mode:
		from, to = fmt.Sprintf("%04o", old.Mode), fmt.Sprintf("%04o", now.Mode)
	case compare.Owner:
		from, to = fmt.Sprintf("%d:%d", old.UID, old.GID), fmt.Sprintf("%d:%d", now.UID, now.GID)
	case compare.Link:
		from, to = linkText(old), linkText(now)
	case compare.Device:
		from, to = fmt.Sprintf("%d:%d", old.Major, old.Minor), fmt.Sprintf("%d:%d", now.Major, now.Minor)
	case compare.Size:
		from, to = strconv.FormatInt(old.Size, 10), strconv.FormatInt(now.Size, 10)
	case compare.Time:
		from, to = old.ModTime.Format(time.RFC3339Nano), now.ModTime.Format(time.RFC3339Nano)
	case compare.Xattr:
		return "xattr " + strings.Join(changedXattrs(old, now), " ")
	default:
		return string(aspect)
	}
	return fmt.Sprintf("%s %s -> %s", aspect, from, to)
}

// linkText is what a symbolic link says, or with what a file is one.
func linkText(f compare.File) string {
	switch {
	case f.Type == layer.TypeSymlink:
		return cli.Escape(f.Linkname)
	case f.Linkname != "":
		return cli.Escape("/" + f.Linkname)
	}
	return "none"
}

func changedXattrs(old, now compare.File) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(union(old.Xattrs, now.Xattrs))) {
		was, had := old.Xattrs[name]
		is, has := now.Xattrs[name]
		if had != has || string(was) != string(is) {
			names = append(names, cli.Escape(name))
		}
	}
	return names
}

func union(a, b map[string][]byte) map[string][]byte {
	all := maps.Clone(a)
	if all == nil {
		all = map[string][]byte{}
	}
	maps.Copy(all, b)
	return all
}
