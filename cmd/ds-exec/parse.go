package main

import (
	"errors"
	"os"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/limits"
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
	if s.storage != "" {
		if s.Storage, err = limits.ParseSize(s.storage); err != nil {
			return cli.Usagef("--storage-size: %v", err)
		}
	}
	s.Terminal = s.terminal
	if s.terminal && !s.detach && !cli.Terminal(io.Stdin) { // detached, its monitor is at the near end
		return cli.Usagef("--tty: standard input is not a terminal")
	}
	if s.Env, err = parseEnv(s.env); err != nil {
		return err
	}
	if s.readonlyTmpfs && !s.Readonly {
		return cli.Usagef("--read-only-tmpfs is for --read-only")
	}
	s.Readonly = s.Readonly || s.smith
	s.wished, err = s.wishes()
	return err
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
