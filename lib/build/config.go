package build

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// configure executes an instruction that changes nothing but the configuration.
func (b *builder) configure(s *stage, st *plan.Step) error {
	text, err := b.configText(s, st)
	if err != nil {
		return err
	}
	if text != "" {
		b.record(s, text, true)
	}
	return nil
}

// configText applies the instruction and gives its history text; "" has none.
func (b *builder) configText(s *stage, st *plan.Step) (string, error) {
	switch st.Op {
	case dockerfile.Arg:
		return b.setArgs(s, st)
	case dockerfile.Env, dockerfile.Label:
		return b.setPairs(s, st)
	case dockerfile.Cmd, dockerfile.Entrypoint:
		return setCommand(s, st)
	case dockerfile.Expose:
		return b.expose(s, st)
	case dockerfile.Volume:
		return b.volumes(s, st)
	case dockerfile.Healthcheck:
		h, err := healthcheck(st)
		if err != nil {
			return "", err
		}
		s.img.Config.Healthcheck = h
		return healthText(h), nil
	case dockerfile.Maintainer:
		s.img.Author = st.Args[0]
		return "MAINTAINER " + st.Args[0], nil
	case dockerfile.Onbuild:
		s.onbuild = append(s.onbuild, triggerSource(st))
		return "", nil
	case dockerfile.Shell:
		s.img.Config.Shell = slices.Clone(st.Args)
		return fmt.Sprint("SHELL ", st.Args), nil
	case dockerfile.Stopsignal, dockerfile.User:
		return b.setWord(s, st)
	}
	return "", fmt.Errorf("unknown instruction %s", st.Op)
}

func (b *builder) setWord(s *stage, st *plan.Step) (string, error) {
	v, err := b.word(s.scope(), st.Args[0])
	switch {
	case err != nil:
		return "", err
	case st.Op == dockerfile.User: // nobody in particular, if it is empty
		s.img.Config.User = v
	default:
		if err := dockerfile.CheckSignal(v); err != nil {
			return "", err
		}
		s.img.Config.StopSignal = v
	}
	return st.Op.String() + " " + v, nil
}

// setArgs declares build arguments: each has the value given for this build,
// else its default, else that of the argument of the same name before FROM.
func (b *builder) setArgs(s *stage, st *plan.Step) (string, error) {
	texts := []string{st.Op.String()}
	for _, word := range st.Args {
		name, value, hasDefault := strings.Cut(word, "=")
		b.use(name)
		s.declare(name)
		set := true
		if given, ok := b.o.Args[name]; ok {
			value = given
		} else if !hasDefault {
			value, set = b.globals.lookup(name)
		} else {
			var err error
			if value, err = b.word(s.scope(), value); err != nil {
				return "", err
			}
		}
		if set {
			if !s.hasEnv(name) {
				s.vars.set(name, value)
			}
			name += "=" + value
		}
		texts = append(texts, name)
	}
	return strings.Join(texts, " "), nil
}

// setPairs executes ENV and LABEL. All values see what was set before the
// instruction, not each other.
func (b *builder) setPairs(s *stage, st *plan.Step) (string, error) {
	texts := []string{st.Op.String()}
	var pairs [][2]string
	for _, word := range st.Args {
		key, value := cutPair(word)
		kv, err := b.words(s.scope(), []string{key, value})
		if err != nil {
			return "", err
		}
		if kv[0] == "" {
			return "", fmt.Errorf("%s: the name is empty", word)
		}
		pairs = append(pairs, [2]string{kv[0], kv[1]})
		texts = append(texts, kv[0]+"="+kv[1])
	}
	for _, kv := range pairs {
		if st.Op == dockerfile.Label {
			setLabel(&s.img.Config, kv[0], kv[1])
		} else {
			s.img.Config.Env = oci.MergeEnv(s.img.Config.Env, kv[0]+"="+kv[1])
			s.vars.set(kv[0], kv[1])
		}
	}
	return strings.Join(texts, " "), nil
}

// cutPair divides KEY=VALUE at the first "=" outside quotes: a label's name
// may be quoted and hold one.
func cutPair(word string) (key, value string) {
	var quote byte
	for i := 0; i < len(word); i++ {
		switch c := word[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '=':
			return word[:i], word[i+1:]
		}
	}
	return word, ""
}

func setLabel(c *oci.ImageConfig, key, value string) {
	labels := maps.Clone(c.Labels)
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	c.Labels = labels
}

// setCommand executes CMD and ENTRYPOINT. An entrypoint drops a command that
// was made for the base's entrypoint, but not one of this stage.
func setCommand(s *stage, st *plan.Step) (string, error) {
	args := slices.Clone(st.Args)
	if st.Form == dockerfile.FormShell {
		if strings.TrimSpace(strings.Join(args, "")) == "" {
			args = nil
		} else {
			args = append(s.shell(), strings.Join(args, " "))
		}
	}
	if st.Op == dockerfile.Cmd {
		s.img.Config.Cmd = args
		s.img.Config.ArgsEscaped = true // says nothing here, but the images of others have it
		s.cmdSet = true
	} else {
		s.img.Config.Entrypoint = args
		if !s.cmdSet {
			s.img.Config.Cmd = nil
		}
	}
	return fmt.Sprintf("%s %q", st.Op, args), nil
}

// shell is the words that begin a shell-form command.
func (s *stage) shell() []string {
	if len(s.img.Config.Shell) > 0 {
		return slices.Clone(s.img.Config.Shell)
	}
	return []string{"/bin/sh", "-c"}
}

func (b *builder) expose(s *stage, st *plan.Step) (string, error) {
	ports := maps.Clone(s.img.Config.ExposedPorts)
	if ports == nil {
		ports = map[string]struct{}{}
	}
	texts := []string{}
	for _, arg := range slices.Sorted(slices.Values(st.Args)) {
		x, err := dockerfile.Expander{Escape: b.escape}.Words(arg, s.scope().lookup)
		if err != nil {
			return "", err
		}
		for _, w := range x.Words {
			list, err := exposedPorts(w)
			if err != nil {
				return "", err
			}
			for _, p := range list {
				ports[p] = struct{}{}
			}
			texts = append(texts, list...)
		}
	}
	s.img.Config.ExposedPorts = ports
	return fmt.Sprint("EXPOSE ", texts), nil
}

func (b *builder) volumes(s *stage, st *plan.Step) (string, error) {
	words, err := b.words(s.scope(), st.Args)
	if err != nil {
		return "", err
	}
	volumes := maps.Clone(s.img.Config.Volumes)
	if volumes == nil {
		volumes = map[string]struct{}{}
	}
	for _, w := range words {
		if w == "" {
			return "", errors.New("the name of a volume is empty")
		}
		volumes[w] = struct{}{}
	}
	s.img.Config.Volumes = volumes
	return fmt.Sprint("VOLUME ", words), nil
}

// triggerSource is what an ONBUILD leaves in the configuration: the inner
// instruction as written, with its here-documents.
func triggerSource(st *plan.Step) string {
	text := strings.TrimSpace(st.Text)
	if op := st.Op.String(); len(text) >= len(op) && strings.EqualFold(text[:len(op)], op) {
		text = strings.TrimSpace(text[len(op):])
	}
	if text == "" && st.Trigger() != nil {
		text = stepText(st.Trigger())
	}
	var b strings.Builder
	b.WriteString(text)
	if t := st.Trigger(); t != nil {
		for _, d := range t.Heredocs() {
			b.WriteString("\n" + d.Text + d.Name)
		}
	}
	return b.String()
}

// jsonWords is a list of words in one string, for keys.
func jsonWords(words []string) string {
	if words == nil {
		words = []string{}
	}
	line, _ := oci.Marshal(words) // strings always encode
	return string(line)
}

func cloneImage(img oci.Image) oci.Image {
	c := &img.Config
	c.ExposedPorts, c.Volumes, c.Labels = maps.Clone(c.ExposedPorts), maps.Clone(c.Volumes), maps.Clone(c.Labels)
	c.Env, c.OnBuild, c.Shell = slices.Clone(c.Env), slices.Clone(c.OnBuild), slices.Clone(c.Shell)
	c.Entrypoint, c.Cmd = slices.Clone(c.Entrypoint), slices.Clone(c.Cmd)
	img.History = slices.Clone(img.History)
	return img
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
