package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"

	"docksmith/lib/cli"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// parse turns the flags and what follows the bundle into options.
func (s *settings) parse(io *cli.IO, command []string) (err error) {
	if s.Args, err = commandBehind("BUNDLE", command); err != nil {
		return err
	}
	for _, pair := range [][2]bool{{s.namespaces, s.NoNamespaces}, {s.seccomp, s.noSeccomp}, {s.rootless, s.noRootless}} {
		if pair[0] && pair[1] {
			return cli.Usagef("an option and its --no- form are both given")
		}
	}
	if err := errors.Join(s.checkLevel(), s.life.check()); err != nil {
		return err
	}
	s.NoSeccomp = s.noSeccomp
	if s.Network = s.network; s.Network != "" && s.Network != "none" && s.Network != "host" {
		return cli.Usagef("--network %s: only none and host are possible yet", s.Network)
	}
	if s.Limits, err = s.limits.Limits(); err != nil {
		return err
	}
	s.Terminal = s.terminal
	if s.terminal && !s.detach && !cli.Terminal(io.Stdin) { // detached, its monitor is at the near end
		return cli.Usagef("--tty: standard input is not a terminal")
	}
	if s.Env, err = parseEnv(s.env); err != nil {
		return err
	}
	for _, v := range s.volumes {
		m, err := parseVolume(v)
		if err != nil {
			return err
		}
		s.Mounts = append(s.Mounts, m)
	}
	for _, t := range s.tmpfs {
		dest, options, _ := strings.Cut(t, ":")
		s.Mounts = append(s.Mounts, specs.Mount{
			Destination: dest, Type: "tmpfs", Source: "tmpfs",
			Options: append([]string{"nosuid", "nodev", "noexec", "mode=1777"}, words(options)...),
		})
	}
	return nil
}

// commandBehind is the command that follows an operand, maybe after "--".
func commandBehind(operand string, words []string) ([]string, error) {
	switch {
	case len(words) > 0 && words[0] == "--":
		return words[1:], nil
	case len(words) > 0 && strings.HasPrefix(words[0], "-"):
		return nil, cli.WithHint(cli.Usagef("%s stands behind %s", words[0], operand), "options come first; write -- before a command that begins with -")
	}
	return words, nil
}

func words(list string) []string {
	if list == "" {
		return nil
	}
	return strings.Split(list, ",")
}

func parseEnv(list []string) ([]string, error) {
	var out []string
	for _, e := range list {
		key, _, has := strings.Cut(e, "=")
		switch {
		case key == "":
			return nil, cli.Usagef("--env %q: a name is missing", e)
		case has:
			out = append(out, e)
		default:
			if v, ok := os.LookupEnv(key); ok {
				out = append(out, key+"="+v)
			}
		}
	}
	return out, nil
}

// volumeOptions are those a caller may give; what they stand for is the mount's.
var volumeOptions = map[string][]string{
	"ro": {"ro"}, "rw": nil, "noexec": {"noexec"}, "exec": nil, "nosuid": nil, "nodev": nil, "dev": {"dev"}, "rbind": nil,
	"bind": nil, "private": {"private"}, "rprivate": {"rprivate"}, "slave": {"slave"}, "rslave": {"rslave"},
}

// parseVolume reads SOURCE:DESTINATION[:OPTIONS]. The source must be there: one
// that is mistyped would otherwise become an empty directory of root's.
func parseVolume(v string) (specs.Mount, error) {
	p := strings.Split(v, ":")
	if len(p) < 2 || len(p) > 3 || p[0] == "" || !strings.HasPrefix(p[1], "/") {
		return specs.Mount{}, cli.Usagef("--volume %q is not SOURCE:/DESTINATION[:OPTION,...]", v)
	}
	if !strings.Contains(p[0], "/") {
		return specs.Mount{}, cli.WithHint(cli.Usagef("--volume %q: named volumes do not exist yet", v), "write ./%s for a directory", p[0])
	}
	source, err := filepath.Abs(p[0])
	if err != nil {
		return specs.Mount{}, err
	}
	m := specs.Mount{Destination: p[1], Type: "bind", Source: source, Options: []string{"rbind", "nosuid", "rprivate"}}
	if len(p) == 3 {
		for _, o := range words(p[2]) {
			add, ok := volumeOptions[o]
			if !ok {
				return specs.Mount{}, cli.Usagef("--volume %q: unknown option %q", v, o)
			}
			m.Options = append(m.Options, add...)
		}
	}
	return m, nil
}
