package main

import (
	"cmp"
	"encoding/csv"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/limits"
	"docksmith/lib/sandbox"
	"docksmith/lib/volume"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// wish is a mount that the caller or the image asks for.
type wish struct {
	specs.Mount
	said   string // the option with its value, for messages
	volume bool   // the source is a volume's, of the name; without one, of a new one
	name   string
	labels map[string]string
}

// wishes are the mounts of the flags, the outer ones first: what lies in another
// one must come after it, whatever the order on the command line was.
func (s *settings) wishes() (list []wish, err error) {
	add := func(words []string, parse func(string) (wish, error)) {
		for _, word := range words {
			w, perr := parse(word)
			if err = cmp.Or(err, perr); err == nil {
				list = append(list, w)
			}
		}
	}
	add(s.volumes, parseVolume)
	add(s.mounts, parseMount)
	add(s.tmpfs, parseTmpfs)
	if err != nil {
		return nil, err
	}
	for i, w := range list {
		for _, other := range list[:i] {
			if w.Destination == other.Destination {
				return nil, cli.Usagef("%s: something is mounted on %s already, by %s", w.said, w.Destination, other.said)
			}
		}
	}
	return list, nil
}

func outerFirst(list []wish) {
	depth := func(w wish) int { return strings.Count(w.Destination, "/") }
	slices.SortStableFunc(list, func(a, b wish) int { return cmp.Compare(depth(a), depth(b)) })
}

// volumeOptions are those of --volume; what they stand for is the mount's.
var volumeOptions = map[string][]string{
	"ro": {"ro"}, "rw": nil, "noexec": {"noexec"}, "exec": nil, "nosuid": nil, "nodev": nil, "dev": {"dev"}, "rbind": nil,
	"bind": nil, "private": {"private"}, "rprivate": {"rprivate"}, "slave": {"slave"}, "rslave": {"rslave"},
	"shared": {"shared"}, "rshared": {"rshared"},
	"consistent": nil, "cached": nil, "delegated": nil, // they mean something on other systems
	"nocopy": nil, "z": nil, "Z": nil, // see option
}

// parseVolume reads [SOURCE:]DESTINATION[:OPTIONS]. A source without a slash is
// the name of a volume, and none a new volume. A directory or file must be there:
// one that is mistyped would otherwise become an empty directory of root's.
func parseVolume(word string) (w wish, err error) {
	w.said = "--volume " + word
	p := strings.Split(word, ":")
	source, dest, options := "", p[0], ""
	if len(p) > 1 {
		source, dest = p[0], p[1]
	}
	if len(p) == 3 {
		options = p[2]
	}
	if len(p) > 3 || len(p) > 1 && source == "" || !path.IsAbs(dest) {
		return w, cli.Usagef("--volume %q is not [SOURCE:]/DESTINATION[:OPTION,...]", word)
	}
	if said := w.said; strings.Contains(source, "/") {
		w.Destination, w.Mount.Type, w.Options = path.Clean(dest), "bind", bindOptions()
		if w.Source, err = filepath.Abs(source); err != nil {
			return w, err
		}
	} else {
		w = newVolume(dest)
		w.said, w.name = said, source
	}
	for _, o := range words(options) {
		if err := w.option(o); err != nil {
			return w, err
		}
	}
	return w, w.check()
}

func bindOptions() []string { return []string{"rbind", "nosuid", "rprivate"} }

// newVolume is a volume without a name on dest.
func newVolume(dest string) wish {
	return wish{volume: true, said: "a volume of the image", Mount: specs.Mount{
		Destination: path.Clean(dest), Type: "bind", Options: append(bindOptions(), sandbox.OptionFill),
	}}
}

// option adds one option of --volume.
func (w *wish) option(o string) error {
	add, known := volumeOptions[o]
	switch {
	case !known:
		return cli.Usagef("%s: unknown option %q", w.said, o)
	case o == "nocopy" && !w.volume:
		return cli.Usagef("%s: nocopy is for volumes", w.said)
	case o == "nocopy":
		w.Options = slices.DeleteFunc(w.Options, func(o string) bool { return o == sandbox.OptionFill })
	case o == "z" || o == "Z":
		if _, err := os.Stat("/sys/fs/selinux/enforce"); err == nil {
			return cli.Usagef("%s: option %s: security labels are not changed: chcon -t container_file_t does it", w.said, o)
		}
	}
	w.Options = append(w.Options, add...)
	return nil
}

// check refuses names and places that cannot be.
func (w *wish) check() error {
	switch {
	case w.Destination == "/":
		return cli.Usagef("%s: nothing is mounted on /", w.said)
	case w.volume && w.name != "" && !volume.ValidName(w.name):
		return cli.WithHint(cli.Usagef("%s: volume %q: %v", w.said, w.name, volume.ErrName),
			"write ./%s for a directory", w.name)
	}
	return nil
}

// parseTmpfs reads DESTINATION[:OPTIONS].
func parseTmpfs(word string) (w wish, err error) {
	dest, options, _ := strings.Cut(word, ":")
	w = memory(dest, append([]string{"mode=1777"}, words(options)...)...)
	w.said = "--tmpfs " + word
	if !path.IsAbs(dest) {
		return w, cli.Usagef("--tmpfs %q is not /DESTINATION[:OPTION,...]", word)
	}
	return w, w.check()
}

// memory is a file system in memory on dest.
func memory(dest string, options ...string) wish {
	return wish{said: "a file system in memory", Mount: specs.Mount{
		Destination: path.Clean(dest), Type: "tmpfs", Source: "tmpfs", Options: append([]string{"nosuid", "nodev", "noexec"}, options...),
	}}
}

// parseMount reads --mount: members as Docker has them, with commas between.
func parseMount(word string) (w wish, err error) {
	w.said = "--mount " + word
	fields, err := csv.NewReader(strings.NewReader(word)).Read()
	if err != nil {
		return w, cli.Usagef("%s: want type=bind|volume|tmpfs,source=...,target=...", w.said)
	}
	m := member{wish: &w, kind: "volume"}
	for _, f := range fields {
		if key, value, _ := strings.Cut(f, "="); strings.TrimSpace(key) == "type" {
			m.kind = value
		}
	}
	if err := m.begin(); err != nil {
		return w, err
	}
	for _, f := range fields {
		key, value, has := strings.Cut(f, "=")
		if err := m.set(strings.TrimSpace(key), value, has); err != nil {
			return w, err
		}
	}
	switch {
	case !path.IsAbs(w.Destination):
		return w, cli.Usagef("%s: target=/PATH is needed", w.said)
	case m.kind == "bind" && w.Source == "":
		return w, cli.Usagef("%s: source=PATH is needed", w.said)
	}
	w.Destination = path.Clean(w.Destination)
	return w, w.check()
}

// member is where the members of one --mount go.
type member struct {
	*wish
	kind string
}

func (m member) begin() error {
	switch m.kind {
	case "bind", "volume":
		m.Mount.Type, m.Options, m.volume = "bind", bindOptions(), m.kind == "volume"
		if m.volume {
			m.Options = append(m.Options, sandbox.OptionFill)
		}
	case "tmpfs":
		m.Mount.Type, m.Source, m.Options = "tmpfs", "tmpfs", []string{"nosuid", "nodev", "noexec", "mode=1777"}
	default:
		return cli.Usagef("%s: type %s: bind, volume and tmpfs are possible", m.said, m.kind)
	}
	return nil
}

// set reads a member. One that is of another type of mount is an error.
func (m member) set(key, value string, has bool) (err error) {
	flag := !has || value == "true" || value == "1"
	if of, _, ok := strings.Cut(key, "-"); ok && (of == "bind" || of == "volume" || of == "tmpfs") && of != m.kind {
		return cli.Usagef("%s: %s is not for type=%s", m.said, key, m.kind)
	}
	switch key {
	case "type", "consistency":
	case "target", "dst", "destination":
		m.Destination = value
	case "source", "src":
		return m.setSource(value)
	case "readonly", "ro":
		if flag {
			m.Options = append(m.Options, "ro")
		}
	case "bind-propagation":
		if !slices.Contains([]string{"private", "rprivate", "slave", "rslave", "shared", "rshared"}, value) {
			return cli.Usagef("%s: bind-propagation is private, slave or shared, or one of these with an r in front", m.said)
		}
		m.Options = append(m.Options, value)
	case "bind-nonrecursive":
		if flag {
			m.Options[0] = "bind"
		}
	case "volume-nocopy":
		if flag {
			err = m.option("nocopy")
		}
	case "volume-subpath":
		m.Options = append(slices.DeleteFunc(m.Options, func(o string) bool { return o == sandbox.OptionFill }), sandbox.OptionSubpath+"="+value)
	case "volume-label":
		name, text, _ := strings.Cut(value, "=")
		m.labels = map[string]string{name: text}
	case "tmpfs-size":
		n, err := limits.ParseSize(value)
		if err != nil {
			return cli.Usagef("%s: %v", m.said, err)
		}
		m.Options = append(m.Options, "size="+strconv.FormatInt(n, 10))
	case "tmpfs-mode":
		m.Options = append(m.Options, "mode="+value)
	default:
		return cli.Usagef("%s: unknown member %q", m.said, key)
	}
	return err
}

func (m member) setSource(value string) (err error) {
	switch m.kind {
	case "tmpfs":
		return cli.Usagef("%s: a file system in memory has no source", m.said)
	case "volume":
		m.name = value
		return nil
	}
	if value == "" {
		return nil
	}
	m.Source, err = filepath.Abs(value)
	return err
}
