package hostile

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
)

// acting are the beginnings of annotations that runtimes take for options.
var acting = []string{"run.oci.", "org.systemd.property.", "org.criu.", "io.podman.", "io.kubernetes.cri-o.", "dev.docksmith.overlay.", "dev.docksmith.user", "RUN"}

// orders are labels of an image that would steer somebody, if they were obeyed.
func orders(p places) map[string]string {
	return map[string]string{
		"RUN":                                           "docker run --privileged -v /:/host IMAGE",
		"run.oci.handler":                               "krun",
		"run.oci.hooks.stdout":                          p.outside + "/new",
		"run.oci.keep_original_groups":                  "1",
		"org.systemd.property.ExecStartPost":            "'touch " + p.outside + "/new'",
		"org.criu.config":                               p.outside + "/" + canary,
		"io.podman.annotations.privileged":              "TRUE",
		"io.kubernetes.cri-o.TrySkipVolumeSELinuxLabel": "true",
		"dev.docksmith.overlay.lower":                   "/",
		"dev.docksmith.user":                            "0",
	}
}

// inert is a change to an image that must change nothing in the bundle.
func inert(name string, change func(p places, document string, a *parts)) Fixture {
	return Fixture{Row: 20, Name: "inert/" + name, kind: ofBundle, judge: wrong, play: func(t *trial) error {
		var specs [2]map[string]any
		for i := range specs {
			err := t.give(t.o.Bundle, archiveOf([][]byte{plain()}, func(document string, a *parts) {
				if document == "config" {
					a.config["config"] = map[string]any{"Cmd": []string{"/x"}}
				}
				if i == 1 {
					change(t.p, document, a)
				}
			}))
			if err != nil || t.status != 0 || t.hung {
				return err
			}
			raw, err := os.ReadFile(filepath.Join(t.p.root, "config.json"))
			if err == nil {
				err = json.Unmarshal(raw, &specs[i])
			}
			if err == nil && i == 0 {
				err = t.again()
			}
			if err != nil {
				return err
			}
		}
		t.wrong = differs(specs[0], specs[1])
		return nil
	}}
}

// settings of an image are data for its processes, and for nobody else.
func settings() []Fixture {
	config := func(a *parts) map[string]any { return a.config["config"].(map[string]any) }
	words := func(p places) []string {
		return []string{"/x", "$(: >" + p.outside + "/new)", "--privileged", "; : >" + p.outside + "/new"}
	}
	return []Fixture{
		{Row: 20, Name: "inert/command", kind: ofBundle, images: func(p places) [][]byte {
			return [][]byte{imageOf(map[string]any{"Cmd": words(p)}, plain())}
		}, judge: func(p places, t *trial) string {
			if b, err := p.bundle(); t.status == 0 && (err != nil || !slices.Equal(b.Process.Args, words(p))) {
				return fmt.Sprintf("the command became %q", b.Process.Args)
			}
			return ""
		}},
		inert("labels", func(p places, document string, a *parts) {
			if document == "config" {
				config(a)["Labels"] = orders(p)
			}
		}),
		inert("annotations", func(p places, document string, a *parts) {
			if document == "manifest" {
				a.manifest["annotations"] = orders(p)
			}
		}),
		inert("environment", func(p places, document string, a *parts) {
			if document == "config" {
				config(a)["Env"] = []string{"TMPDIR=" + p.outside, "DOCKSMITH_ROOT=" + p.outside, "HOME=" + p.outside, "PATH=" + p.outside, "XDG_RUNTIME_DIR=" + p.outside}
			}
		}),
		inert("members", func(p places, document string, a *parts) {
			if document == "config" {
				for key, value := range map[string]any{"Privileged": true, "HostConfig": map[string]any{"Privileged": true}, "Mounts": []any{map[string]any{"source": "/", "destination": "/host"}}, "hooks": map[string]any{"prestart": []any{map[string]any{"path": "/bin/sh"}}}} {
					config(a)[key], a.config[key] = value, value
				}
			}
		}),
	}
}

// differs says what of a bundle is other than that of an image without any
// orders: labels may become annotations that nobody acts on, and the environment is
// the process's.
func differs(one, two map[string]any) string {
	if list, ok := two["annotations"].(map[string]any); ok {
		for _, key := range slices.Sorted(maps.Keys(list)) {
			for _, prefix := range acting {
				if _, before := mapOf(one["annotations"])[key]; strings.HasPrefix(key, prefix) && !before {
					return "the runtime gets the annotation " + key
				}
			}
		}
	}
	for _, spec := range []map[string]any{one, two} {
		delete(spec, "annotations")
		delete(spec, "hostname")
		delete(mapOf(spec["process"]), "env")
	}
	for key := range two {
		if !reflect.DeepEqual(one[key], two[key]) {
			return fmt.Sprintf("%q of the bundle is another", key)
		}
	}
	return ""
}

func mapOf(v any) map[string]any {
	m, _ := v.(map[string]any)
	return m
}
