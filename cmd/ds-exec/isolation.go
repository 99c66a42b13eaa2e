package main

import (
	"errors"
	"maps"
	"os"
	"slices"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

const isolationHint = "docksmith info shows what this machine gives; --isolation=auto takes the strongest of it"

// checkLevel refuses levels that are none, and those that other options take
// something from.
func (s *settings) checkLevel() error {
	switch s.level {
	case "":
		return nil
	case string(sandbox.IsolationFull), string(sandbox.IsolationUser):
		if s.NoNamespaces || s.noSeccomp {
			return cli.Usagef("--isolation=%s has namespaces and a system call filter: --no-namespaces and --no-seccomp take them away", s.level)
		}
	}
	if !slices.Contains(sandbox.Isolations, s.level) {
		return cli.Usagef("--isolation %s: it is one of %s", s.level, strings.Join(sandbox.Isolations, ", "))
	}
	return nil
}

// enter makes an ordinary user root in a user namespace, and settles the level.
func (s *settings) enter(io *cli.IO) error {
	full, user := s.level == string(sandbox.IsolationFull), s.rootless || s.level == string(sandbox.IsolationUser)
	switch {
	case os.Geteuid() != 0 && s.noRootless:
		return cli.WithHint(errors.New("--no-rootless: an ordinary user cannot make a container without a user namespace"), "run as root")
	case os.Geteuid() != 0 && full:
		return cli.WithHint(errors.New("--isolation=full: an ordinary user cannot have it: namespaces take root, of the machine or of a user namespace"),
			"run as root; or without the option for the level user, which asks no less of the kernel")
	case os.Geteuid() == 0 && user && !sandbox.InUserNamespace():
		option := "--rootless"
		if !s.rootless {
			option = "--isolation=user"
		}
		return cli.Usagef("%s: already root: run as an ordinary user for a user namespace", option)
	}
	if err := enterNamespace(io); err != nil {
		return cli.WithHint(err, "docksmith info shows what this machine gives an ordinary user")
	}
	if s.level != string(sandbox.IsolationAuto) {
		s.Isolation = sandbox.Isolation(s.level)
		return nil
	}
	return s.choose(io)
}

// choose takes the strongest level that the machine gives. If it is the one that
// the caller would have without asking, nothing is to be said.
func (s *settings) choose(io *cli.IO) error {
	found, err := survey(io, nil)
	if err != nil {
		return err
	}
	if level := found.Isolation; level == sandbox.IsolationChroot || level == sandbox.IsolationNone {
		s.Isolation, s.Because = level, lacks(found)
	}
	return nil
}

// lacks says what a stronger level would have taken, by the kernel's refusals.
func lacks(s *sandbox.Survey) string {
	refusals := map[string][]string{}
	for _, t := range s.Trials {
		namespace := t.Area == "namespaces" && t.Name != "user" && t.Name != "time"
		if namespace {
			t.Name += " namespace"
		}
		if !t.OK && (namespace || t.Name == "pivot_root" || t.Name == "seccomp") {
			refusals[t.Errno] = append(refusals[t.Errno], t.Name)
		}
	}
	var list []string
	for _, errno := range slices.Sorted(maps.Keys(refusals)) {
		list = append(list, strings.Join(refusals[errno], ", ")+" ("+errno+")")
	}
	return strings.Join(list, "; ")
}

// survey tries what the machine gives. refused is why the caller is not in a user
// namespace, as it should be.
func survey(io *cli.IO, refused error) (*sandbox.Survey, error) {
	root, err := io.Root()
	if err != nil {
		return nil, err
	}
	o := sandbox.SurveyOptions{Dir: root, UserNamespace: refused}
	if _, err := os.Stat(root); err != nil {
		o.Dir = "" // no store yet
	}
	return sandbox.TakeSurvey(o)
}

// refusal is an error with what to do about a level that is not to be had.
func refusal(err error) error {
	switch {
	case errors.Is(err, sandbox.ErrIsolation):
		return cli.WithHint(err, "%s", isolationHint)
	case errors.Is(err, sandbox.ErrNotDelegated):
		return cli.WithHint(err, "run it as root, with --best-effort, or where a cgroup is delegated: systemd-run --user --scope -p Delegate=yes ...")
	}
	return err
}
