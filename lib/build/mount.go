package build

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"docksmith/lib/cache"
	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// runMount is a mount of a RUN whose words have their values.
type runMount struct {
	dockerfile.Mount
	n      int    // its place among the mounts of the step
	target string // absolute; "" for a secret that is in the environment alone
	env    string // of a secret: the variable that gets it

	src  *source    // of a bind, and of a cache that begins with something
	bind *bindFiles // of a bind whose files are looked at
	held *cache.HeldMount
}

// Defaults of secrets and agents.
const (
	secretsDir  = "/run/secrets"
	agentSocket = "/run/buildkit/ssh_agent."
	agentID     = "default"
	agentEnv    = "SSH_AUTH_SOCK"
)

// setMounts evaluates the flags --mount of the step. Mounts come in the order
// of their targets, so that one in another comes after it.
func (r *runJob) setMounts(ctx context.Context) error {
	agents := 0
	for i, value := range r.st.FlagAll("mount") {
		m, err := r.newMount(ctx, i, value, agents)
		if err != nil {
			return fmt.Errorf("--mount=%s: %w", value, err)
		}
		if m.Type == dockerfile.MountSSH {
			agents++
		}
		r.mounts = append(r.mounts, m)
	}
	slices.SortStableFunc(r.mounts, func(a, b *runMount) int { return strings.Compare(a.target, b.target) })
	return nil
}

func (r *runJob) newMount(ctx context.Context, n int, value string, agents int) (*runMount, error) {
	parsed, err := dockerfile.ParseMount(value, func(word string) (string, error) { return r.b.word(r.s.scope(), word) })
	if err != nil {
		return nil, err
	}
	m := &runMount{Mount: *parsed, n: n}
	switch m.Type {
	case dockerfile.MountSecret:
		m.setSecret()
	case dockerfile.MountSSH:
		err = m.setAgent(agents)
	case dockerfile.MountCache:
		if m.ID == "" {
			m.ID = path.Clean(m.Target)
		}
		if space := r.b.o.Args[cacheSpaceArg]; space != "" {
			m.ID = path.Join(space, m.ID)
		}
	}
	if err == nil && (m.Target != "" || m.env == "") {
		m.target, err = mountTarget(r.s, m.Target)
	}
	if err == nil && (m.Type == dockerfile.MountBind || m.Type == dockerfile.MountCache) {
		err = r.setSource(ctx, m)
	}
	return m, err
}

// setSecret finds the names of a secret: its own, its file's or its variable's.
func (m *runMount) setSecret() {
	if m.ID == "" {
		m.ID = m.Source
	}
	if m.ID == "" {
		m.ID = path.Base(m.Target)
	}
	if m.Env != nil {
		if m.env = *m.Env; m.env == "" {
			m.env = m.ID
		}
	} else if m.Target == "" {
		m.Target = path.Join(secretsDir, path.Base(m.ID))
	}
}

func (m *runMount) setAgent(agents int) error {
	if m.Source != "" {
		return errors.New("ssh takes no source")
	}
	if m.ID == "" {
		m.ID = agentID
	}
	if m.Target == "" {
		m.Target = agentSocket + fmt.Sprint(agents)
	}
	return nil
}

// mountTarget is where a mount goes: below the working directory if it is
// relative, never the root, nor anything of the kernel's.
func mountTarget(s *stage, target string) (string, error) {
	abs := path.Clean(s.absolute(target))
	if abs == "/" {
		return "", fmt.Errorf("the target %q is the root", target)
	}
	if abs == "/proc" || strings.HasPrefix(abs, "/proc/") {
		return "", fmt.Errorf("the target %s is in /proc", target)
	}
	return abs, nil
}

// setSource finds what a bind shows or a new cache begins with.
func (r *runJob) setSource(ctx context.Context, m *runMount) error {
	m.Source = path.Join("/", m.Source)
	switch {
	case m.From == scratch:
		p := r.s.platform()
		m.src = &source{stage: r.b.emptyStage(&p)}
	case m.From != "":
		o, err := r.b.sourceOrigin(r.st, "from="+m.From, m.From, r.s.index)
		if err != nil {
			return err
		}
		src, err := r.b.source(ctx, r.s, o)
		if err != nil {
			return err
		}
		m.src = &src
	case m.Type == dockerfile.MountBind:
		m.src = &source{}
	case m.Source != "/":
		return errors.New("a cache without from is empty at first: it has no source")
	}
	if m.Type == dockerfile.MountBind {
		m.bind = &bindFiles{b: r.b, src: *m.src, path: m.Source, line: r.st.Line}
	}
	return nil
}

// wholeStage tells whether the mount is the root of a stage or image, which is
// known by its layers: nobody wants all its files hashed.
func (m *runMount) wholeStage() bool { return m.src != nil && m.src.stage != nil && m.Source == "/" }

// keyText is the part of the key that a mount has before any file was looked
// at: its options. Of caches, secrets and agents it is all.
func (m *runMount) keyText() string {
	words := []string{"type=" + m.Type, "target=" + m.target}
	add := func(key, value string) {
		if value != "" {
			words = append(words, key+"="+value)
		}
	}
	switch m.Type {
	case dockerfile.MountBind:
		add("source", m.Source)
		if m.wholeStage() {
			add("chain", "of "+m.src.stage.chain.String()) // also of no layer
		}
	case dockerfile.MountCache:
		add("source", m.Source)
		add("from", m.From)
		add("id", m.ID)
		add("sharing", m.Sharing)
	case dockerfile.MountTmpfs:
		add("size", fmt.Sprint(m.Size))
	default:
		add("id", m.ID)
		add("env", m.env)
		add("required", fmt.Sprint(m.Required))
	}
	add("readonly", fmt.Sprint(m.ReadOnly))
	add("mode", optional(m.Mode, "%o"))
	add("uid", optional(m.UID, "%d"))
	add("gid", optional(m.GID, "%d"))
	return jsonWords(words)
}

func optional(n *uint32, format string) string {
	if n == nil {
		return ""
	}
	return fmt.Sprintf(format, *n)
}

// files is what hashes the files that the step's binds show; nil without any.
func (r *runJob) files() func(ctx context.Context) ([]cache.File, error) {
	var binds []*bindFiles
	for _, m := range r.mounts {
		if m.bind != nil && !m.wholeStage() {
			binds = append(binds, m.bind)
		}
	}
	if len(binds) == 0 {
		return nil
	}
	return func(ctx context.Context) ([]cache.File, error) {
		var files []cache.File
		for _, f := range binds {
			more, err := f.keyFiles(ctx)
			if err != nil {
				return nil, err
			}
			files = append(files, more...)
		}
		return files, nil
	}
}

// lookAtBinds finds what is bound of directories, which a step that is not
// executed does not do if the cache knows nothing like it.
func (r *runJob) lookAtBinds(ctx context.Context) error {
	for _, m := range r.mounts {
		if m.bind == nil || m.src.stage != nil {
			continue
		}
		if err := m.bind.list(ctx); err != nil {
			return fmt.Errorf("--mount of %s: %w", m.target, err)
		}
	}
	return nil
}

// place names where the binds take files from.
func (r *runJob) place() string {
	var places []string
	for _, m := range r.mounts {
		switch {
		case m.bind == nil:
		case m.src.stage != nil:
			places = append(places, "layers "+m.src.stage.chain.String())
		default:
			places = append(places, "context "+m.src.name)
		}
	}
	return jsonWords(places)
}

// close lets go of the sources of the mounts.
func (r *runJob) close() {
	for _, m := range r.mounts {
		if m.bind != nil {
			m.bind.close()
		}
	}
}

// mountOrigins are what the from= of the mounts of a RUN of stage i name.
func (b *builder) mountOrigins(st *plan.Step, i int) ([]origin, error) {
	var origins []origin
	for _, value := range st.FlagAll("mount") {
		from, err := dockerfile.MountFrom(value)
		if err != nil {
			return nil, b.errorf(st, "--mount=%s: %w", value, err)
		}
		if from == "" || from == scratch {
			continue
		}
		o, err := b.sourceOrigin(st, "--mount from="+from, from, i)
		if err != nil {
			return nil, err
		}
		origins = append(origins, o)
	}
	return origins, nil
}
