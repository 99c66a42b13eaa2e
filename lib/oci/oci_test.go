package oci

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"
)

const hex = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"

func TestParseRef(t *testing.T) {
	d := digest.Digest("sha256:" + hex)
	tests := []struct {
		in   string
		want Ref
		host string
	}{
		{"app", Ref{Name: "app", Tag: "latest"}, ""},
		{"app:v1", Ref{Name: "app", Tag: "v1"}, ""},
		{"app:V1.2_x-y", Ref{Name: "app", Tag: "V1.2_x-y"}, ""},
		{"team/app", Ref{Name: "team/app", Tag: "latest"}, ""},
		{"localhost:5000", Ref{Name: "localhost", Tag: "5000"}, ""},
		{"localhost:5000/app", Ref{Name: "localhost:5000/app", Tag: "latest"}, "localhost:5000"},
		{"localhost:5000/app:1", Ref{Name: "localhost:5000/app", Tag: "1"}, "localhost:5000"},
		{"localhost/app", Ref{Name: "localhost/app", Tag: "latest"}, "localhost"},
		{"example.com/a/b/c:x", Ref{Name: "example.com/a/b/c", Tag: "x"}, "example.com"},
		{"Example.COM/a", Ref{Name: "Example.COM/a", Tag: "latest"}, "Example.COM"},
		{"[::1]:5000/a", Ref{Name: "[::1]:5000/a", Tag: "latest"}, "[::1]:5000"},
		{"x/a.b_c__d-e--f/g", Ref{Name: "x/a.b_c__d-e--f/g", Tag: "latest"}, ""},
		{"app@" + d.String(), Ref{Name: "app", Digest: d}, ""},
		{"app:v1@" + d.String(), Ref{Name: "app", Tag: "v1", Digest: d}, ""},
		{"a/" + hex, Ref{Name: "a/" + hex, Tag: "latest"}, ""},
	}
	for _, tt := range tests {
		got, err := ParseRef(tt.in)
		if err != nil || got != tt.want || got.Host() != tt.host {
			t.Errorf("%s: %+v host %q, %v; want %+v", tt.in, got, got.Host(), err, tt.want)
		}
		if again, err := ParseRef(got.String()); err != nil || again != got {
			t.Errorf("%s: written as %s, read as %+v, %v", tt.in, got, again, err)
		}
	}
}

func TestParseRefRefuses(t *testing.T) {
	for _, in := range []string{
		"", ":", "@", "/", "a/", "/a", "a//b", "../a", "a/../b", ".", "..", "-a", "--force", "a-", "a_", "_a", "a..b", "a___b",
		"A", "aB", "a/B", "a b", "a\n", "a\x00", "a\x1b[0m", "ä", "a:", "a:-v", "a:.v", "a:v/w", "a:v:w", "a: v", "a:" + strings.Repeat("x", 129),
		"a@sha256:" + hex[:63], "a@sha256:" + strings.ToUpper(hex), "a@sha512:" + hex + hex, "a@md5:x", "a@", "@sha256:" + hex,
		"a_b.c__d/e", "host:port/a", "host:123456/a", hex, strings.Repeat("a", 256), "[::1/a", "ex ample.com/a", "-x.com/a", "a?b", "a*", "a;b", "$(a)",
	} {
		if r, err := ParseRef(in); err == nil {
			t.Errorf("%q: read as %+v", in, r)
		}
	}
}

// TestNameGrammar compares our reading with the expressions of the distribution
// specification, for all short words of the characters that matter.
func TestNameGrammar(t *testing.T) {
	component := regexp.MustCompile(`^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$`)
	tag := regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)
	word := regexp.MustCompile(`^[A-Za-z0-9_.-]+$`)
	try := func(s string) {
		if validComponent(s) != component.MatchString(s) || validTag(s) != tag.MatchString(s) || isWord(s) != word.MatchString(s) {
			t.Errorf("%q: component %v, tag %v, word %v", s, validComponent(s), validTag(s), isWord(s))
		}
	}
	words := []string{""}
	for range 6 {
		var longer []string
		for _, w := range words {
			for _, c := range "az._-Z" {
				longer = append(longer, w+string(c))
			}
		}
		for _, w := range longer {
			try(w)
		}
		words = longer
	}
	for c := range 256 {
		try(string([]byte{byte(c)}))
		try(string([]byte{'a', byte(c), 'a'}))
	}
	try("")
	try("ä")
	try(strings.Repeat("a", 128))
	try(strings.Repeat("a", 129))
}

func FuzzParseRef(f *testing.F) {
	for _, s := range []string{"a", "a:b", "h.x:1/a/b:c", "a@sha256:" + hex, "../x", "[::1]:2/a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		r, err := ParseRef(s)
		if err != nil {
			return
		}
		if again, err := ParseRef(r.String()); err != nil || again != r {
			t.Errorf("%q: %+v, then %+v, %v", s, r, again, err)
		}
		if strings.HasPrefix(r.Name, "-") || strings.Contains(r.Name, "..") || strings.ContainsFunc(r.String(), func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			t.Errorf("%q: dangerous name %+v", s, r)
		}
	})
}

func TestPlatforms(t *testing.T) {
	for in, want := range map[string]string{
		"linux/amd64": "linux/amd64", "linux/x86_64": "linux/amd64", "Linux/AArch64": "linux/arm64", "linux/arm64/v8": "linux/arm64",
		"linux/arm": "linux/arm/v7", "linux/arm/6": "linux/arm/v6", "linux/armhf": "linux/arm/v7", "arm64": "linux/arm64", "windows/amd64": "windows/amd64",
	} {
		p, err := ParsePlatform(in)
		if err != nil || PlatformString(p) != want {
			t.Errorf("%s: %s, %v; want %s", in, PlatformString(p), err, want)
		}
	}
	for _, in := range []string{"", "/", "linux/", "linux/a/b/c", "li nux/x", "linux/amd64\n"} {
		if p, err := ParsePlatform(in); err == nil {
			t.Errorf("%q: read as %v", in, p)
		}
	}
}

func TestMatchPlatform(t *testing.T) {
	p := func(s string) Platform {
		p, err := ParsePlatform(s)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	if MatchPlatform(p("linux/arm/v7"), p("linux/arm/v7")) <= MatchPlatform(p("linux/arm/v7"), p("linux/arm/v6")) {
		t.Error("the same variant is not the best")
	}
	if MatchPlatform(p("linux/arm/v7"), p("linux/arm/v6")) <= MatchPlatform(p("linux/arm/v7"), p("linux/arm/v5")) {
		t.Error("a nearer variant is not better")
	}
	for want, have := range map[string]string{"linux/arm/v6": "linux/arm/v7", "linux/amd64": "linux/arm64", "windows/amd64": "linux/amd64"} {
		if MatchPlatform(p(want), p(have)) != 0 {
			t.Errorf("%s runs on %s", have, want)
		}
	}
	if MatchPlatform(Platform{OS: "linux", Architecture: "arm64"}, Platform{OS: "linux", Architecture: "arm64", Variant: "v8"}) != 100 {
		t.Error("arm64 and arm64/v8 are the same")
	}
}

const config = `{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"sha256:` + hex + `","size":2}`

func TestDecodeManifest(t *testing.T) {
	good := `{"schemaVersion":2,"config":` + config + `,"layers":[],"unknown":{"layers":[],"config":1}}`
	if _, err := DecodeManifest([]byte(good), MediaTypeManifest); err != nil {
		t.Error(err)
	}
	for name, tt := range map[string]struct{ in, mediaType string }{
		"not JSON":                {"x", ""},
		"empty":                   {"", ""},
		"null":                    {"null", ""},
		"array":                   {"[]", ""},
		"two values":              {good + good, ""},
		"no layers":               {`{"schemaVersion":2,"config":` + config + `}`, ""},
		"also an index":           {`{"schemaVersion":2,"manifests":[],"config":` + config + `,"layers":[]}`, ""},
		"twice":                   {`{"schemaVersion":2,"config":` + config + `,"layers":[],"layers":[]}`, ""},
		"twice in another case":   {`{"schemaVersion":2,"config":` + config + `,"layers":[],"LAYERS":[]}`, ""},
		"twice, escaped":          {`{"schemaVersion":2,"config":` + config + `,"layers":[],"\u006cayers":[]}`, ""},
		"schema 1":                {`{"schemaVersion":1,"fsLayers":[],"config":` + config + `,"layers":[]}`, ""},
		"announced as an index":   {good, MediaTypeIndex},
		"says it is an index":     {`{"schemaVersion":2,"mediaType":"` + MediaTypeIndex + `","config":` + config + `,"layers":[]}`, ""},
		"docker's where OCI's is": {`{"schemaVersion":2,"mediaType":"` + MediaTypeDockerManifest + `","config":` + config + `,"layers":[]}`, MediaTypeManifest},
		"bad digest":              {`{"schemaVersion":2,"config":{"digest":"sha256:x","size":2},"layers":[]}`, ""},
		"bad size":                {`{"schemaVersion":2,"config":` + strings.Replace(config, ":2}", ":-2}", 1) + `,"layers":[]}`, ""},
		"too long":                {good + strings.Repeat(" ", MaxDocument), ""},
	} {
		if _, err := DecodeManifest([]byte(tt.in), tt.mediaType); err == nil {
			t.Errorf("%s: decoded", name)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"schemaVersion":2,"config":` + config + `,"layers":[]}`))
	f.Add([]byte(`{"schemaVersion":2,"manifests":[]}`))
	f.Add([]byte(`{"rootfs":{"type":"layers","diff_ids":[]},"a\"b":"}{"}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		_, manifest := DecodeManifest(raw, "")
		_, index := DecodeIndex(raw, "")
		if manifest == nil && index == nil {
			t.Error("both a manifest and an index")
		}
		_, _ = DecodeImage(raw)
	})
}

func TestMarshalIsCompactAndPlain(t *testing.T) {
	b, err := Marshal(map[string]string{"a": "x && y <z>"})
	if err != nil || string(b) != `{"a":"x && y <z>"}` {
		t.Errorf("%s, %v", b, err)
	}
}

func TestChainID(t *testing.T) {
	a, b := digest.FromString("a"), digest.FromString("b")
	if ChainID(nil) != "" || ChainID([]digest.Digest{a}) != a {
		t.Error("chains of none and one")
	}
	if got := ChainID([]digest.Digest{a, b}); got != digest.FromString(a.String()+" "+b.String()) {
		t.Error(got)
	}
}

func TestMergeEnv(t *testing.T) {
	got := MergeEnv([]string{"PORT_X=1", "A=1"}, "PORT=2", "A=3", "PORT_X=4", "PORT=5")
	if strings.Join(got, " ") != "PORT_X=4 A=3 PORT=5" {
		t.Error(got)
	}
}

func TestHistoryOfLayers(t *testing.T) {
	m := Image{History: []History{{CreatedBy: "a"}, {CreatedBy: "b", EmptyLayer: true}, {CreatedBy: "c"}}}
	var by []string
	for _, h := range m.LayerHistory() {
		by = append(by, h.CreatedBy)
	}
	if !slices.Equal(by, []string{"a", "c"}) {
		t.Errorf("layers are by %q", by)
	}
	for layers, want := range map[int]int{0: 3, 2: 3, 4: 5} {
		got := m.FillHistory(layers)
		if len(got) != want || want == 5 && (got[4].EmptyLayer || got[4].Comment == "") {
			t.Errorf("for %d layers: %+v", layers, got)
		}
	}
	m.FillHistory(3)[0].CreatedBy = "changed"
	if m.History[0].CreatedBy != "a" {
		t.Error("the history was changed")
	}
}

func TestPlatformFlag(t *testing.T) {
	var f PlatformFlag
	for _, c := range []struct{ word, want string }{{"x86_64", "linux/amd64"}, {"", ""}, {"linux/arm/v7", "linux/arm/v7"}} {
		if err := f.Set(c.word); err != nil || f.String() != c.want || (f.Platform == nil) != (c.want == "") {
			t.Errorf("%q: %q, %v", c.word, f.String(), err)
		}
	}
	if err := f.Set("a/b/c/d"); err == nil || f.Platform != nil {
		t.Errorf("a wrong one: %v, %v", f.Platform, err)
	}
}
