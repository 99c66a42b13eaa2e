package build

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// paperStore is a store for builds that make no layers.
type paperStore struct {
	Store
	bases map[string]*Base
	image oci.Image
}

func (p *paperStore) Image(ref string, _ *oci.Platform) (*Base, error) {
	if b := p.bases[ref]; b != nil {
		return b, nil
	}
	return nil, oci.ErrNotFound
}

func (p *paperStore) WriteImage(_ context.Context, img oci.Image, _ []oci.Layer, _ map[string]string) (oci.Descriptor, error) {
	p.image = img
	raw, err := oci.Marshal(img)
	return oci.Descriptor{Digest: digest.FromBytes(raw)}, err
}

func parse(t *testing.T, text string) *plan.Plan {
	t.Helper()
	f, err := dockerfile.Parse(strings.NewReader(text), dockerfile.Options{Name: "Dockerfile"})
	if err != nil {
		t.Fatal(err)
	}
	return plan.New(f)
}

// base is an image with a bit of everything.
func base() *Base {
	return &Base{Image: oci.Image{
		Platform: oci.Platform{OS: "linux", Architecture: "amd64"},
		Config: oci.ImageConfig{
			Env: []string{"PATH=/bin", "A=base"}, Cmd: []string{"base"}, Entrypoint: []string{"/entry"},
			WorkingDir: "/srv", User: "app", Labels: map[string]string{"l": "base"},
			ExposedPorts: map[string]struct{}{"1/tcp": {}}, Volumes: map[string]struct{}{"/v": {}},
		},
		History: []oci.History{{CreatedBy: "base", EmptyLayer: true}},
	}}
}

func TestConfig(t *testing.T) {
	for _, c := range []struct {
		name, file string
		args       map[string]string
		want       func(c *oci.ImageConfig)
	}{
		{"scratch has a path and a directory", "FROM scratch", nil, func(c *oci.ImageConfig) {
			*c = oci.ImageConfig{Env: []string{oci.DefaultPath}, WorkingDir: "/"}
		}},
		{"a base is inherited whole", "FROM base", nil, func(*oci.ImageConfig) {}},
		{"a base without a path gets one", "FROM bare\nENV B=$PATH", nil, func(c *oci.ImageConfig) {
			*c = oci.ImageConfig{Env: []string{oci.DefaultPath, strings.Replace(oci.DefaultPath, "PATH", "B", 1)}}
		}},
		{"values of one ENV see the environment before it", "FROM base\nENV A=1 B=$A\nENV C=$A", nil, func(c *oci.ImageConfig) {
			c.Env = []string{"PATH=/bin", "A=1", "B=base", "C=1"}
		}},
		{"the old form of ENV keeps inner blanks", "FROM base\nENV B x  y", nil, func(c *oci.ImageConfig) {
			c.Env = append(c.Env, "B=x  y")
		}},
		{"ENV beats ARG after it", "FROM base\nENV V=env\nARG V=arg\nLABEL l=$V", map[string]string{"V": "given"}, func(c *oci.ImageConfig) {
			c.Env, c.Labels["l"] = append(c.Env, "V=env"), "env"
		}},
		{"ENV of the base does, too", "FROM base\nARG A=arg\nENV B=$A", nil, func(c *oci.ImageConfig) { c.Env = append(c.Env, "B=base") }},
		{"a bare ARG leaves what is there", "FROM base\nARG A\nARG V=1\nARG V\nLABEL l=$A$V", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "base1" }},
		{"ENV beats ARG in a stage on top, which sees both", "FROM base AS a\nENV V=env\nARG V=arg\nARG W=arg\nFROM a\nLABEL l=$V$W", nil, func(c *oci.ImageConfig) {
			c.Env, c.Labels["l"] = append(c.Env, "V=env"), "envarg"
		}},
		{"ENV beats ARG before it", "FROM base\nARG V=arg\nENV V=env$V\nLABEL l=$V", map[string]string{"V": "given"}, func(c *oci.ImageConfig) {
			c.Env, c.Labels["l"] = append(c.Env, "V=envgiven"), "envgiven"
		}},
		{"an ARG is not seen before its line", "FROM base\nLABEL l=[$V]\nARG V=x", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "[]" }},
		{"a bare ARG has the default before FROM", "ARG V=top\nFROM base\nARG V\nLABEL l=$V", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "top" }},
		{"an ARG before FROM is not seen in a stage", "ARG V=top\nFROM base\nLABEL l=[$V]", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "[]" }},
		{"a stage's arguments go on in those built from it", "FROM base AS a\nARG V=x\nFROM a\nLABEL l=$V", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "x" }},
		{"several in one ARG see those before them", "FROM base\nARG V=1 W=$V-2 X=\"a b\" Y= Z\nLABEL l=$V,$W,$X,$Y,${Z-none}", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "1,1-2,a b,,none" }},
		{"ARG before FROM refers to others", "ARG N=ba\nARG M=${N}se P=$TARGETOS\nFROM $M\nARG M\nARG P\nLABEL l=$M$P", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "baselinux" }},
		{"a default of the stage beats that before FROM", "ARG V=top\nFROM base\nARG V=own\nLABEL l=$V", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "own" }},
		{"a bare ARG before FROM leaves what describes the platform", "ARG BUILDOS\nARG TARGETOS\nFROM base\nARG BUILDOS\nLABEL l=$BUILDOS", nil, func(c *oci.ImageConfig) { c.Labels["l"] = "linux" }},
		{"arguments of the platform can be given", "FROM base\nARG TARGETARCH\nARG TARGETSTAGE\nLABEL l=$TARGETARCH-$TARGETSTAGE", map[string]string{"TARGETARCH": "vax"}, func(c *oci.ImageConfig) { c.Labels["l"] = "vax-default" }},
		{"a proxy is an argument like others when it is declared", "FROM base\nLABEL a=[$HTTP_PROXY]\nARG HTTP_PROXY\nLABEL l=$HTTP_PROXY", map[string]string{"HTTP_PROXY": "p"}, func(c *oci.ImageConfig) {
			c.Labels = map[string]string{"a": "[]", "l": "p"}
		}},
		{"ARG in FROM", "ARG N=ba\nFROM ${N}se", map[string]string{"N": "ba"}, func(*oci.ImageConfig) {}},
		{"platform arguments need ARG", "FROM base\nLABEL a=[$TARGETOS]\nARG TARGETOS\nLABEL b=$TARGETOS", nil, func(c *oci.ImageConfig) {
			c.Labels = map[string]string{"l": "base", "a": "[]", "b": "linux"}
		}},
		{"ENTRYPOINT drops an inherited CMD", "FROM base\nENTRYPOINT [\"/e\"]", nil, func(c *oci.ImageConfig) { c.Entrypoint, c.Cmd = []string{"/e"}, nil }},
		{"ENTRYPOINT keeps a CMD of its stage", "FROM base\nCMD [\"c\"]\nENTRYPOINT [\"/e\"]", nil, func(c *oci.ImageConfig) {
			c.Entrypoint, c.Cmd, c.ArgsEscaped = []string{"/e"}, []string{"c"}, true
		}},
		{"CMD keeps the entrypoint", "FROM base\nCMD echo $A", nil, func(c *oci.ImageConfig) { c.Cmd, c.ArgsEscaped = []string{"/bin/sh", "-c", "echo $A"}, true }},
		{"SHELL is that of later commands", "FROM base\nSHELL [\"/bin/ash\",\"-xc\"]\nCMD a b", nil, func(c *oci.ImageConfig) {
			c.Shell, c.Cmd, c.ArgsEscaped = []string{"/bin/ash", "-xc"}, []string{"/bin/ash", "-xc", "a b"}, true
		}},
		{"EXPOSE", "FROM base\nENV P=\"80 81/UDP\"\nEXPOSE $P 90-92/tcp 2", nil, func(c *oci.ImageConfig) {
			c.Env = append(c.Env, "P=80 81/UDP")
			for _, p := range []string{"80/tcp", "81/udp", "90/tcp", "91/tcp", "92/tcp", "2/tcp"} {
				c.ExposedPorts[p] = struct{}{}
			}
		}},
		{"EXPOSE of what other commands understand", "FROM base\nEXPOSE 80/ 127.0.0.1:8000:81 [::1]:9-10:82-83 :84", nil, func(c *oci.ImageConfig) {
			for _, p := range []string{"80/tcp", "81/tcp", "82/tcp", "83/tcp", "84/tcp"} {
				c.ExposedPorts[p] = struct{}{}
			}
		}},
		{"VOLUME adds up", "FROM base\nVOLUME /a /b\nVOLUME [\"/c d\"]", nil, func(c *oci.ImageConfig) {
			for _, v := range []string{"/a", "/b", "/c d"} {
				c.Volumes[v] = struct{}{}
			}
		}},
		{"USER and STOPSIGNAL expand", "FROM base\nUSER $A:9\nSTOPSIGNAL SIG${X:-QUIT}", nil, func(c *oci.ImageConfig) { c.User, c.StopSignal = "base:9", "SIGQUIT" }},
		{"USER may be nobody", "FROM base\nUSER $NOPE", nil, func(c *oci.ImageConfig) { c.User = "" }},
		{"HEALTHCHECK", "FROM base\nHEALTHCHECK --interval=1m30s --timeout=2s --start-period=1s --start-interval=500ms --retries=4 CMD a $b", nil, func(c *oci.ImageConfig) {
			c.Healthcheck = &oci.Healthcheck{Test: []string{"CMD-SHELL", "a $b"}, Interval: 90e9, Timeout: 2e9, StartPeriod: 1e9, StartInterval: 5e8, Retries: 4}
		}},
		{"HEALTHCHECK in exec form", "FROM base\nHEALTHCHECK CMD [\"/c\"]", nil, func(c *oci.ImageConfig) {
			c.Healthcheck = &oci.Healthcheck{Test: []string{"CMD", "/c"}}
		}},
		{"HEALTHCHECK NONE", "FROM base\nHEALTHCHECK NONE", nil, func(c *oci.ImageConfig) { c.Healthcheck = &oci.Healthcheck{Test: []string{"NONE"}} }},
		{"LABEL keeps the last and quoted names", "FROM base\nLABEL l=1 \"a b\"=\"c d\"\nLABEL l=2", nil, func(c *oci.ImageConfig) {
			c.Labels = map[string]string{"l": "2", "a b": "c d"}
		}},
		{"ONBUILD is for the child", "FROM base\nONBUILD LABEL x=$A\nONBUILD RUN a  b", nil, func(c *oci.ImageConfig) {
			c.OnBuild = []string{"LABEL x=$A", "RUN a  b"}
		}},
		{"triggers run in the child and are gone", "FROM base AS a\nONBUILD LABEL x=$A\nFROM a\nENV A=2", nil, func(c *oci.ImageConfig) {
			c.Labels["x"], c.Env = "base", []string{"PATH=/bin", "A=2"}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &paperStore{bases: map[string]*Base{"base": base(), "bare": {}}}
			if _, err := Build(t.Context(), parse(t, c.file), Options{Store: s, Args: c.args}); err != nil {
				t.Fatal(err)
			}
			want := base().Image.Config
			c.want(&want)
			if d := cmp.Diff(want, s.image.Config); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestConfigFaults(t *testing.T) {
	for file, want := range map[string]string{
		"FROM nowhere":                          "Dockerfile:1: image nowhere: not found",
		"FROM base\nENV A=${B?missing}":         "Dockerfile:2: ENV A=${B?missing}: ",
		"FROM base\nSTOPSIGNAL SIGNOPE":         "Dockerfile:2: STOPSIGNAL SIGNOPE: unknown signal",
		"FROM base\nENV P=1/x\nEXPOSE $P":       "Dockerfile:3: EXPOSE $P: port \"1/x\"",
		"FROM base\nSTOPSIGNAL $NOPE":           "Dockerfile:2: STOPSIGNAL $NOPE: unknown signal",
		"FROM base\nEXPOSE 1-2:3-5":             "Dockerfile:2: EXPOSE 1-2:3-5: port \"1-2:3-5\": the ranges have different lengths",
		"FROM base\nEXPOSE x:1:2":               "Dockerfile:2: EXPOSE x:1:2: port \"x:1:2\": \"x\" is not an address",
		"FROM base\n\nRUN --device=a.b/c=d a":   "Dockerfile:3: RUN --device=a.b/c=d: no device is ever given to a step",
		"FROM base\nRUN --network=host a":       "Dockerfile:2: RUN --network=host: ",
		"FROM base\nADD https://example.org/ /": "Dockerfile:2: ADD https://example.org/: the build was not given the network to fetch it",
		"FROM base\nCOPY --from=1 a b":          "Dockerfile:2: COPY: --from=1: there is no stage 1 before this one",
		"FROM base AS x\nCOPY --from=X a b":     "Dockerfile:2: COPY: --from=X: a stage cannot copy from itself",
		"FROM base\nCOPY --from=$A a b":         "Dockerfile:2: COPY: --from=$A: variables are not expanded",
		"ARG X\nFROM $X":                        "Dockerfile:2: FROM $X: the name of the base image is empty",
	} {
		s := &paperStore{bases: map[string]*Base{"base": base()}}
		f, err := dockerfile.Parse(strings.NewReader(file), dockerfile.Options{Name: "Dockerfile"})
		if err == nil {
			_, err = Build(t.Context(), plan.New(f), Options{Store: s})
		}
		if err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%q: error %v, want %s", file, err, want)
		}
	}
}

// TestStages: what is not needed is not looked at, names win over numbers, and
// a wrong target is named.
func TestStages(t *testing.T) {
	file := "FROM base AS One\nLABEL s=1\nFROM missing AS two\nFROM one AS three\nLABEL t=3\nFROM scratch"
	for target, want := range map[string]string{"three": "3", "THREE": "3", "2": "3", "one": "", "0": ""} {
		s := &paperStore{bases: map[string]*Base{"base": base()}}
		var steps []string
		_, err := Build(t.Context(), parse(t, file), Options{Store: s, Target: target, Events: func(e Event) {
			if e.Type == EventDone {
				steps = append(steps, e.Text)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		if s.image.Config.Labels["s"] != "1" || s.image.Config.Labels["t"] != want {
			t.Errorf("target %s: labels %v, steps %q", target, s.image.Config.Labels, steps)
		}
	}
	_, err := Build(t.Context(), parse(t, file), Options{Store: &paperStore{}, Target: "four"})
	if err == nil || !strings.Contains(err.Error(), "there are one, two, three") {
		t.Errorf("error %v", err)
	}
}

func TestUnusedArgumentsAreNamed(t *testing.T) {
	var warnings []string
	s := &paperStore{bases: map[string]*Base{"base": base()}}
	_, err := Build(t.Context(), parse(t, "ARG TOP\nFROM base\nARG V"), Options{
		Store: s,
		Args:  map[string]string{"V": "1", "TOP": "1", "W": "1", "http_proxy": "p"},
		Events: func(e Event) {
			if e.Type == EventWarning {
				warnings = append(warnings, e.Text)
			}
		},
	})
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], " W ") {
		t.Errorf("warnings %q, error %v", warnings, err)
	}
}

func TestChmod(t *testing.T) {
	for _, c := range []struct {
		text      string
		file, dir uint32
	}{
		{"755", 0o755, 0o755}, {"04711", 0o4711, 0o4711}, {"u=rwX,go=rX", 0o644, 0o755}, {"a+x", 0o755, 0o755},
		{"go-rwx", 0o600, 0o700}, {"u+s", 0o4644, 0o4755}, {"+t", 0o1644, 0o1755}, {"g=u", 0o664, 0o775}, {"o=", 0o640, 0o750}, {"ug=r,o-r", 0o440, 0o441},
	} {
		change, err := parseChmod(c.text)
		if err != nil {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if f, d := change(0o644, false), change(0o755, true); f != c.file || d != c.dir {
			t.Errorf("%s: %o and %o, want %o and %o", c.text, f, d, c.file, c.dir)
		}
	}
	for _, bad := range []string{"8", "77777", "u", "u=q", "rwx", "u+r,", "=="} {
		if _, err := parseChmod(bad); err == nil && bad != "==" {
			t.Errorf("%s is accepted", bad)
		}
	}
}
