package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// setting is one flag of commit that changes the config: its values, and what
// they do. apply returns the instructions that say the same in a Dockerfile, for
// the history.
type setting struct {
	name   string
	values []string
	given  func() bool
	apply  func(*oci.ImageConfig, string) (string, error)
}

// declareSettings declares the flags. They are applied in this order, whatever
// that of the command line: the entrypoint, which drops an inherited command,
// before the command.
func declareSettings(f *cli.Flags) []*setting {
	var list []*setting
	many := func(name, letter, usage string, apply func(*oci.ImageConfig, string) (string, error)) {
		s := &setting{name: name, apply: apply, given: func() bool { return f.Changed(name) }}
		f.StringArrayVarP(&s.values, name, letter, nil, usage)
		list = append(list, s)
	}
	many("entrypoint", "", "run `COMMAND` as the entrypoint", setEntrypoint)
	many("cmd", "", "`COMMAND`, or arguments for the entrypoint", setCmd)
	many("env", "e", "set `KEY=VALUE` in the environment; may be repeated", setEnv)
	many("user", "u", "run as `USER[:GROUP]`", setUser)
	many("workdir", "w", "start in `DIR`", setWorkdir)
	many("label", "l", "label it `KEY=VALUE`; may be repeated", setLabel)
	many("expose", "p", "say that it listens on `PORT[/PROTO]`; may be repeated", setExpose)
	many("volume", "v", "say that `DIR` holds data; may be repeated", setVolume)
	many("stop-signal", "", "stop it with `SIGNAL`", setStopSignal)
	many("shell", "", "`COMMAND` that runs shell forms", setShell)
	many("onbuild", "", "`INSTRUCTION` for builds on top of it; may be repeated", setOnBuild)
	many("healthcheck", "", "check its health with `COMMAND`, or none", setHealthcheck)
	return list
}

// applySettings changes cfg and returns what it did as instructions.
func applySettings(cfg *oci.ImageConfig, list []*setting) ([]string, error) {
	var texts []string
	for _, s := range list {
		if !s.given() {
			continue
		}
		for _, v := range s.values {
			text, err := s.apply(cfg, v)
			if err != nil {
				return nil, cli.Usagef("--%s %q: %v", s.name, v, err)
			}
			texts = append(texts, text)
		}
	}
	return texts, nil
}

func setEntrypoint(c *oci.ImageConfig, v string) (string, error) {
	words, err := commandWords(v)
	// Docker's rule: an entrypoint takes no arguments that were meant for another.
	c.Entrypoint, c.Cmd = words, nil
	return "ENTRYPOINT " + jsonWords(words), err
}

func setCmd(c *oci.ImageConfig, v string) (string, error) {
	words, err := commandWords(v)
	c.Cmd = words
	return "CMD " + jsonWords(words), err
}

func setEnv(c *oci.ImageConfig, v string) (string, error) {
	c.Env = oci.MergeEnv(c.Env, v)
	return "ENV " + v, validEnv(v)
}

func validEnv(kv string) error {
	if key, _, ok := strings.Cut(kv, "="); !ok || key == "" {
		return errors.New("want KEY=VALUE")
	}
	if strings.ContainsRune(kv, 0) {
		return errors.New("has a NUL byte")
	}
	return nil
}

func setUser(c *oci.ImageConfig, v string) (string, error) {
	c.User = v
	return "USER " + v, nil
}

func setWorkdir(c *oci.ImageConfig, v string) (string, error) {
	if v == "" {
		return "", errors.New("is empty")
	}
	if !path.IsAbs(v) {
		v = path.Join("/", c.WorkingDir, v)
	}
	c.WorkingDir = path.Clean(v)
	return "WORKDIR " + c.WorkingDir, nil
}

func setLabel(c *oci.ImageConfig, v string) (string, error) {
	key, value, ok := strings.Cut(v, "=")
	if !ok || key == "" {
		return "", errors.New("want KEY=VALUE")
	}
	labels := map[string]string{key: value}
	for k, old := range c.Labels {
		if k != key {
			labels[k] = old
		}
	}
	c.Labels = labels
	return "LABEL " + v, nil
}

func setExpose(c *oci.ImageConfig, v string) (string, error) {
	port, proto, ok := strings.Cut(v, "/")
	if !ok {
		proto = "tcp"
	}
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 || !slices.Contains([]string{"tcp", "udp", "sctp"}, strings.ToLower(proto)) {
		return "", errors.New("want PORT, PORT/tcp, PORT/udp or PORT/sctp")
	}
	key := strconv.FormatUint(n, 10) + "/" + strings.ToLower(proto)
	c.ExposedPorts = withMember(c.ExposedPorts, key)
	return "EXPOSE " + key, nil
}

func setVolume(c *oci.ImageConfig, v string) (string, error) {
	if !path.IsAbs(v) {
		return "", errors.New("want an absolute path")
	}
	c.Volumes = withMember(c.Volumes, path.Clean(v))
	return "VOLUME " + path.Clean(v), nil
}

func withMember(set map[string]struct{}, key string) map[string]struct{} {
	out := map[string]struct{}{key: {}}
	for k := range set {
		out[k] = struct{}{}
	}
	return out
}

func setStopSignal(c *oci.ImageConfig, v string) (string, error) {
	n, err := strconv.Atoi(v)
	if err == nil && (n < 1 || n > 64) || err != nil && !strings.HasPrefix(v, "SIG") {
		return "", errors.New("want SIGNAME or a number up to 64")
	}
	c.StopSignal = v
	return "STOPSIGNAL " + v, nil
}

func setShell(c *oci.ImageConfig, v string) (string, error) {
	words, err := commandWords(v)
	if err == nil && len(words) == 0 {
		err = errors.New("is empty")
	}
	c.Shell = words
	return "SHELL " + jsonWords(words), err
}

func setOnBuild(c *oci.ImageConfig, v string) (string, error) {
	if strings.TrimSpace(v) == "" {
		return "", errors.New("is empty")
	}
	c.OnBuild = append(slices.Clone(c.OnBuild), v)
	return "ONBUILD " + v, nil
}

func setHealthcheck(c *oci.ImageConfig, v string) (string, error) {
	if strings.EqualFold(v, "none") {
		c.Healthcheck = &oci.Healthcheck{Test: []string{"NONE"}}
		return "HEALTHCHECK NONE", nil
	}
	words, err := commandWords(v)
	if err == nil && len(words) == 0 {
		err = errors.New("is empty")
	}
	c.Healthcheck = &oci.Healthcheck{Test: append([]string{"CMD"}, words...)}
	return "HEALTHCHECK CMD " + jsonWords(words), err
}

func jsonWords(words []string) string {
	if words == nil {
		words = []string{}
	}
	b, err := oci.Marshal(words)
	if err != nil {
		panic("ds-store: strings cannot be marshalled: " + err.Error())
	}
	return string(b)
}

func keyValues(flag string, list []string) (map[string]string, error) {
	var out map[string]string
	for _, kv := range list {
		key, value, ok := strings.Cut(kv, "=")
		if !ok || key == "" {
			return nil, cli.Usagef("%s %q: want KEY=VALUE", flag, kv)
		}
		if out == nil {
			out = map[string]string{}
		}
		out[key] = value
	}
	return out, nil
}

// commandWords reads a command: a JSON array of strings, or words separated by
// blanks in which quotes and backslashes work as in a shell. Nothing is expanded.
func commandWords(s string) ([]string, error) {
	if strings.HasPrefix(strings.TrimSpace(s), "[") {
		var words []string
		if err := json.Unmarshal([]byte(s), &words); err != nil {
			return nil, fmt.Errorf("not a JSON array of strings: %w", err)
		}
		return words, nil
	}
	var words []string
	var word strings.Builder
	in := false // a word, maybe an empty one
	var quote rune
	escaped := false
	for _, r := range s {
		switch {
		case escaped:
			if quote == '"' && !strings.ContainsRune("\"\\$`", r) {
				word.WriteRune('\\')
			}
			word.WriteRune(r)
			escaped = false
		case r == '\\' && quote != '\'':
			escaped, in = true, true
		case quote != 0 && r == quote:
			quote = 0
		case quote != 0:
			word.WriteRune(r)
		case r == '\'' || r == '"':
			quote, in = r, true
		case r == ' ' || r == '\t' || r == '\n':
			if in {
				words = append(words, word.String())
				word.Reset()
				in = false
			}
		default:
			word.WriteRune(r)
			in = true
		}
	}
	if quote != 0 || escaped {
		return nil, errors.New("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
