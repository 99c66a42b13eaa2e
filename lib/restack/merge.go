package restack

import (
	"maps"
	"slices"
	"strings"

	"docksmith/lib/oci"
)

// mergeConfig is the config of an image on a new base: what img has as its old
// base has it is as the new base has it, everything else as img has it.
func mergeConfig(old, img, base oci.ImageConfig) oci.ImageConfig {
	out := img
	out.User = pick(old.User, img.User, base.User)
	out.WorkingDir = pick(old.WorkingDir, img.WorkingDir, base.WorkingDir)
	out.StopSignal = pick(old.StopSignal, img.StopSignal, base.StopSignal)
	out.Shell = pickList(old.Shell, img.Shell, base.Shell)
	// An entrypoint resets the command: where one of them is img's, both are.
	if slices.Equal(old.Entrypoint, img.Entrypoint) && slices.Equal(old.Cmd, img.Cmd) {
		out.Entrypoint, out.Cmd = base.Entrypoint, base.Cmd
	}
	if sameCheck(old.Healthcheck, img.Healthcheck) {
		out.Healthcheck = base.Healthcheck
	}
	out.Env = mergeEnv(old.Env, img.Env, base.Env)
	out.Labels = mergeMap(old.Labels, img.Labels, base.Labels)
	out.ExposedPorts = mergeMap(old.ExposedPorts, img.ExposedPorts, base.ExposedPorts)
	out.Volumes = mergeMap(old.Volumes, img.Volumes, base.Volumes)
	return out // OnBuild is img's: that of a base was carried out
}

func pick(old, img, base string) string {
	if img == old {
		return base
	}
	return img
}

func pickList(old, img, base []string) []string {
	if slices.Equal(old, img) {
		return base
	}
	return img
}

func sameCheck(a, b *oci.Healthcheck) bool {
	if a == nil || b == nil {
		return a == b
	}
	x, y := *a, *b
	same := slices.Equal(x.Test, y.Test)
	x.Test, y.Test = nil, nil
	return same && x.Interval == y.Interval && x.Timeout == y.Timeout && x.StartPeriod == y.StartPeriod &&
		x.StartInterval == y.StartInterval && x.Retries == y.Retries
}

// mergeMap merges key by key.
func mergeMap[V comparable](old, img, base map[string]V) map[string]V {
	out := maps.Clone(base)
	if out == nil {
		out = map[string]V{}
	}
	for key, value := range img {
		if was, ok := old[key]; !ok || was != value {
			out[key] = value
		}
	}
	for key := range old {
		if _, ok := img[key]; !ok {
			delete(out, key)
		}
	}
	if len(out) == 0 {
		return nil
	}
	return out
}

// mergeEnv merges variable by variable, in the order in which a build on the new
// base would set them.
func mergeEnv(old, img, base []string) []string {
	was, is := variables(old), variables(img)
	merged := mergeMap(was, is, variables(base))
	var out []string
	for _, list := range [][]string{base, img} {
		for _, kv := range list {
			name, _, _ := strings.Cut(kv, "=")
			if value, ok := merged[name]; ok {
				out = append(out, value)
				delete(merged, name)
			}
		}
	}
	return out
}

// variables maps the names to the whole settings.
func variables(env []string) map[string]string {
	m := map[string]string{}
	for _, kv := range env {
		name, _, _ := strings.Cut(kv, "=")
		m[name] = kv
	}
	return m
}
