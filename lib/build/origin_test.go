package build

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"docksmith/lib/oci"
)

// contextImage is a named context that is an image with one label.
func contextImage(label string) NamedContext {
	return NamedContext{Image: func(context.Context, *oci.Platform) (*Base, error) {
		return &Base{Image: oci.Image{Config: oci.ImageConfig{Labels: map[string]string{"is": label}}}}, nil
	}}
}

func TestContextName(t *testing.T) {
	for _, same := range [][]string{
		{"debian", "debian:latest", "docker.io/library/debian", "docker.io/library/debian:latest", "index.docker.io/debian", "Debian"},
		{"debian:12", "docker.io/debian:12"},
		{"debian:A", "DEBIAN:A"},
		{"host:5000/x", "host:5000/x:latest"},
		{"docker.iox/y"},
	} {
		for _, name := range same {
			if got := contextName(name); got != same[0] {
				t.Errorf("%s: %s, want %s", name, got, same[0])
			}
		}
	}
}

func TestNamedContextsComeFirst(t *testing.T) {
	for _, c := range []struct{ name, file, target, want string }{
		{"an image", "FROM base", "", "context base"},
		{"an image by its long name", "FROM docker.io/library/base:latest", "", "context base"},
		{"an image that the store lacks", "FROM other", "", "context other"},
		{"a stage, whose steps are not run", "FROM base AS Stage\nSTOPSIGNAL $nonsense\nFROM stage", "", "context stage"},
		{"the stage that is the target", "FROM base AS stage\nSTOPSIGNAL $nonsense\nFROM base", "stage", "context stage"},
		{"not scratch", "FROM scratch\nLABEL is=empty", "", "empty"},
	} {
		store := &paperStore{bases: map[string]*Base{"base": base()}}
		contexts := map[string]NamedContext{}
		for _, name := range []string{"docker.io/library/base", "other", "stage", "scratch"} {
			contexts[name] = contextImage("context " + name[strings.LastIndexByte(name, '/')+1:])
		}
		_, err := Build(t.Context(), parse(t, c.file), Options{Store: store, Contexts: contexts, Target: c.target})
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		} else if got := store.image.Config.Labels["is"]; got != c.want {
			t.Errorf("%s: the base is %q, want %q", c.name, got, c.want)
		}
	}
}

func TestSourceOrigin(t *testing.T) {
	p := parse(t, "FROM base AS one\nFROM base AS two\nFROM base AS three\nCOPY --from=base a b\nFROM base AS four\nFROM base AS five")
	b, err := newBuilder(t.Context(), p, Options{Store: &paperStore{bases: map[string]*Base{"base": base()}}, Target: "three", Contexts: map[string]NamedContext{
		"two": {}, "given": {}, "four": {},
	}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, want string }{
		{"one", "stage 0"},
		{"ONE", "stage 0"},
		{"0", "stage 0"},
		{"two", "context two"},
		{"1", "context two"},
		{"given", "context given"},
		{"given:latest", "context given"},
		{"four", "context four"}, // a later stage is none yet
		{"image:2", "image image:2"},
		{"three", "--from=three: a stage cannot copy from itself"},
		{"2", "--from=2: there is no stage 2 before this one"},
		{"7", "--from=7: there is no stage 7 before this one"},
		{"five", "--from=five: that stage comes later"},
		{"4", "--from=4: that stage comes later"},
		{"$X", "--from=$X: variables are not expanded here"},
	} {
		o, err := b.sourceOrigin(p.Stages[2].Steps[0], "--from="+c.name, c.name, 2)
		got := ""
		switch {
		case err != nil:
			got = err.Error()
			if _, ok := errors.AsType[*StepError](err); !ok || !strings.Contains(got, c.want) {
				t.Errorf("%s: %v, want %s at a line", c.name, err, c.want)
			}
			continue
		case o.context != nil:
			if o.context != b.contexts[contextName(o.name)] {
				t.Errorf("%s: another context", c.name)
			}
			got = "context " + strings.TrimSuffix(o.name, ":latest")
		case o.stage >= 0:
			got = fmt.Sprintf("stage %d", o.stage)
		default:
			got = "image " + o.name
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

// A context in the place of the whole of a stage leaves nothing that it needed.
func TestReplacedStageNeedsNothing(t *testing.T) {
	p := parse(t, "FROM missing AS a\nFROM base AS b\nCOPY --from=a x y\nFROM b")
	store := &paperStore{bases: map[string]*Base{"base": base()}}
	contexts := map[string]NamedContext{"b": contextImage("given")}
	if _, err := Build(t.Context(), p, Options{Store: store, Contexts: contexts}); err != nil {
		t.Fatal(err)
	}
	if p.Stages[1].From != "base" || len(p.Stages[1].Steps) != 1 {
		t.Error("the caller's plan was changed")
	}
}
