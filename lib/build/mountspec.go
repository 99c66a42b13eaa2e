package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"

	"docksmith/lib/cache"
	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
)

// Mounts are in the bundle, the maker's directory: what is copied for one and
// what the command writes into one lie in its directory "mount.N", and are gone
// with the bundle, which a failed step keeps.

// holdCaches takes the directories of the caches into use, waiting for others
// where it must. Those that are not shared come in one order for all: two steps
// that each want what the other has would wait for ever.
func (r *runJob) holdCaches(ctx context.Context) (release func(), err error) {
	release = func() {
		for _, m := range r.mounts {
			if m.held != nil {
				m.held.Close()
				m.held = nil
			}
		}
	}
	if err := r.takeCaches(ctx); err != nil {
		release()
		return nil, err
	}
	return release, nil
}

func (r *runJob) takeCaches(ctx context.Context) error {
	var caches []*runMount
	for _, m := range r.mounts {
		if m.Type == dockerfile.MountCache {
			caches = append(caches, m)
		}
	}
	slices.SortStableFunc(caches, func(a, b *runMount) int {
		return cmp.Or(strings.Compare(a.ID, b.ID), strings.Compare(a.base(), b.base()))
	})
	for i, m := range caches {
		if r.b.o.CacheMounts == nil {
			return errors.New("nothing here keeps cache mounts")
		}
		if i > 0 && caches[i-1].ID == m.ID && caches[i-1].base() == m.base() && m.Sharing == cache.SharingLocked {
			return fmt.Errorf("the cache %q is locked by another mount of this step", m.ID)
		}
		var err error
		m.held, err = r.b.o.CacheMounts.Mount(ctx, cache.Mount{
			ID: m.ID, Base: m.base(), Sharing: m.Sharing,
			Fill: func(ctx context.Context, dir string) error { return m.fill(ctx, r.b, dir, r.st.Line) },
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// addMounts puts the mounts of the step into the specification of its container.
func (r *runJob) addMounts(ctx context.Context, m *maker, spec *specs.Spec) error {
	env := map[string]string{}
	for _, rm := range r.mounts {
		var mount *specs.Mount
		var err error
		switch rm.Type {
		case dockerfile.MountBind:
			mount, err = r.bindMount(ctx, m, rm)
		case dockerfile.MountCache:
			mount = &specs.Mount{Type: "bind", Source: rm.held.Dir, Options: []string{"rbind"}}
		case dockerfile.MountTmpfs:
			mount = &specs.Mount{Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid"}}
			if rm.Size > 0 {
				mount.Options = append(mount.Options, fmt.Sprintf("size=%d", rm.Size))
			}
		case dockerfile.MountSecret:
			mount, err = r.secretMount(rm, env)
		case dockerfile.MountSSH:
			mount, err = r.agentMount(rm, spec)
		}
		if err != nil {
			return fmt.Errorf("--mount of %s: %w", cmp.Or(rm.target, rm.ID), err)
		}
		if mount == nil {
			continue
		}
		if rm.ReadOnly && rm.Type != dockerfile.MountSecret && rm.Type != dockerfile.MountSSH {
			mount.Options = append(mount.Options, "ro")
		}
		mount.Destination = rm.target
		spec.Mounts = append(spec.Mounts, *mount)
	}
	if len(env) > 0 {
		var words []string
		for _, name := range slices.Sorted(maps.Keys(env)) {
			words = append(words, jsonString(name)+":"+jsonString(env[name]))
		}
		spec.Annotations[oci.AnnotationSecretEnv] = "{" + strings.Join(words, ",") + "}"
	}
	return nil
}

func jsonString(s string) string { return strings.Trim(jsonWords([]string{s}), "[]") }

// bindMount shows files of a directory as a copy, those of a stage through an
// overlay, both thrown away afterwards with all that was written to them.
func (r *runJob) bindMount(ctx context.Context, m *maker, rm *runMount) (*specs.Mount, error) {
	if err := rm.bind.find(ctx); err != nil {
		return nil, err
	}
	name := fmt.Sprintf("mount.%d", rm.n)
	dir := filepath.Join(m.temp.Path(), name)
	if st := rm.src.stage; st != nil && len(st.layers) > 0 && !r.b.o.NoOverlay {
		return r.stageMount(ctx, m, rm, name)
	}
	source, err := rm.bind.write(ctx, dir)
	if err != nil {
		return nil, err
	}
	if source, err = filepath.Rel(m.temp.Path(), source); err != nil {
		return nil, err
	}
	return &specs.Mount{Type: "bind", Source: source, Options: []string{"rbind"}}, nil
}

func (r *runJob) stageMount(ctx context.Context, m *maker, rm *runMount, name string) (*specs.Mount, error) {
	lowers, err := r.b.lowers(ctx, rm.src.stage)
	if err != nil {
		return nil, err
	}
	options := []string{"lowerdir=" + joinLowers(lowers)}
	if !rm.ReadOnly {
		upper, work := filepath.Join(name, "upper"), filepath.Join(name, "work")
		if err := os.MkdirAll(filepath.Join(m.temp.Path(), work), 0o755); err != nil {
			return nil, err
		}
		if _, err := m.newTreeLike(ctx, upper, rm.src.stage); err != nil {
			return nil, err
		}
		options = append(options, "upperdir="+upper, "workdir="+work)
	}
	if rm.Source != "/" {
		options = append(options, oci.OptionSubpath+"="+rm.Source)
	}
	return &specs.Mount{Type: "overlay", Source: "overlay", Options: options}, nil
}

// joinLowers writes directories as overlay options and annotations have them.
func joinLowers(lowers []string) string {
	escape := strings.NewReplacer(`\`, `\\`, `:`, `\:`)
	dirs := make([]string, len(lowers))
	for i, d := range lowers {
		dirs[i] = escape.Replace(d)
	}
	return strings.Join(dirs, ":")
}

// secretMount names a secret to the runner, for a file, the environment or both.
// One that was not given and need not be there is left out.
func (r *runJob) secretMount(rm *runMount, env map[string]string) (*specs.Mount, error) {
	value, given := r.b.o.Secrets[rm.ID]
	if !given {
		if rm.Required {
			return nil, &MissingSecretError{ID: rm.ID}
		}
		return nil, nil
	}
	if r.secrets == nil {
		r.secrets = map[string][]byte{}
	}
	r.secrets[rm.ID] = value
	if rm.env != "" {
		env[rm.env] = rm.ID
	}
	if rm.target == "" {
		return nil, nil
	}
	return &specs.Mount{Type: oci.MountSecret, Source: rm.ID, Options: rm.ownerOptions()}, nil
}

func (m *runMount) ownerOptions() []string {
	var options []string
	for _, o := range []struct {
		key, format string
		value       *uint32
	}{{"mode", "%o", m.Mode}, {"uid", "%d", m.UID}, {"gid", "%d", m.GID}} {
		if o.value != nil {
			options = append(options, o.key+"="+fmt.Sprintf(o.format, *o.value))
		}
	}
	return options
}

// agentMount has the runner listen on a socket for an agent of the user. The
// command is told of the first one even if it is not there.
func (r *runJob) agentMount(rm *runMount, spec *specs.Spec) (*specs.Mount, error) {
	if !slices.ContainsFunc(spec.Process.Env, func(kv string) bool { return strings.HasPrefix(kv, agentEnv+"=") }) {
		spec.Process.Env = append(spec.Process.Env, agentEnv+"="+r.firstAgent())
	}
	to, given := r.b.o.Agents[rm.ID]
	if !given {
		if rm.Required {
			return nil, &MissingAgentError{ID: rm.ID}
		}
		return nil, nil
	}
	s := Socket{Name: fmt.Sprintf("agent.%d", rm.n), To: to, Mode: 0o600}
	if rm.Mode != nil {
		s.Mode = *rm.Mode & 0o777
	}
	if rm.UID != nil {
		s.UID = *rm.UID
	}
	if rm.GID != nil {
		s.GID = *rm.GID
	}
	r.sockets = append(r.sockets, s)
	return &specs.Mount{
		Type: "bind", Source: s.Name, Options: []string{"bind", "nosuid", "noexec", oci.OptionMayLack + "=ssh agent " + rm.ID},
	}, nil
}

// firstAgent is the socket that the environment names.
func (r *runJob) firstAgent() string {
	first := (*runMount)(nil)
	for _, m := range r.mounts {
		if m.Type == dockerfile.MountSSH && (first == nil || m.n < first.n) {
			first = m
		}
	}
	return first.target
}

// MissingSecretError says that a step requires a secret that was not given.
type MissingSecretError struct{ ID string }

func (e *MissingSecretError) Error() string {
	return fmt.Sprintf("the secret %s is required and was not given", e.ID)
}

// MissingAgentError says that a step requires an ssh agent that was not given.
type MissingAgentError struct{ ID string }

func (e *MissingAgentError) Error() string {
	return fmt.Sprintf("the ssh agent %s is required and was not given", e.ID)
}
