package dashboard

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/cache"
	"docksmith/lib/container"
)

// hostile are texts that do harm where they are not escaped.
var hostile = []string{
	"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "' onload='alert(1)", "]]>&lt;&amp;<!--",
	"\x1b[2J\x1b]0;own\x07", "\x9b31m\u009b31m", "a\u202etxt.exe\u2066\u200f\u061c\ufeff", "\xff\xfe\ufffe\uffff\x00", "\ue0001\U000e0041\u2028\u2029",
	"</style></title><svg/onload=alert(1)>", "javascript:alert(1)", strings.Repeat("very-long-", 100), "line\nbreak\ttab\rreturn",
}

// at is the moment of the fixed model.
var at = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// fixture is a small model with one of everything; text is put wherever text of
// others may stand.
func fixture(text string) *Model {
	base := &Layer{ID: "aaaaaaaaaaaa", Size: 30_000_000, By: "COPY rootfs / # buildkit" + text}
	top := &Layer{ID: "bbbbbbbbbbbb", Size: 1_234, By: "RUN /bin/sh -c make\\\n  all # buildkit"}
	more := &Layer{ID: "cccccccccccc", Size: 5_000_000, By: text}
	m := &Model{Time: at, Root: "/var/lib/docksmith" + text, Layers: []*Layer{base, top, more}, Partial: text != ""}
	for _, i := range []Image{
		{Name: "app:v1", Layers: []*Layer{base, top, more}},
		{Name: "app:v2" + text, Layers: []*Layer{base, top, more}, Labels: map[string]string{"org.example" + text: "v" + text}},
		{Name: "base:latest", Layers: []*Layer{base}},
		{Name: "broken" + text, Error: "blob sha256:1234: not found" + text},
		{Name: "empty:latest"},
		{Name: "tool:latest", Layers: []*Layer{base, top}},
	} {
		i.ID, i.Created, i.Size = "123456789abc", at.Add(-50*time.Hour), 42_000_000
		for _, l := range i.Layers {
			l.Images++
		}
		m.Images = append(m.Images, i)
	}
	m.Tree = growTree(m.Images)
	for i, area := range []string{"snapshots", "blobs", "cache", "containers", "builds", "state" + text, "tmp", "volumes"} {
		bytes := int64(max(90_000_000>>(2*i)-6000, 0))
		a := Area{Name: area, Items: i, Bytes: bytes, Reclaimable: bytes / 3}
		if i < 2 {
			a.Parts = []Part{{"RUN make" + text, bytes / 2}, {text, bytes / 3}, {"all else", bytes - bytes/2 - bytes/3}}
		}
		m.Disk = append(m.Disk, a)
	}
	m.Cache = cache.Counts{Builds: 3, Hits: 6, Misses: 2, SavedSeconds: 125.4}
	m.Builds = builds(text)
	m.Containers = []Container{
		{State: container.State{ID: "0123456789abcdef", Name: "web", Status: container.Running, Image: "app:v1" + text, Command: []string{"serve", "--all" + text}, Started: at.Add(-90 * time.Minute)}, Load: container.Load{Memory: 12_345_678, Processes: 2}, CPU: 0.254, Last: "GET / 200" + text},
		{State: container.State{ID: "fedcba9876543210", Status: container.Running, Command: []string{"sleep"}, Started: at.Add(-time.Second)}, CPU: -1},
		{State: container.State{ID: "1111111111111111", Name: "job", Status: container.Stopped, Finished: at.Add(-3 * time.Minute), Exit: &container.Exit{Status: 3}}},
		{State: container.State{ID: "2222222222222222", Name: "fine", Status: container.Stopped, Finished: at.Add(-70 * time.Hour), Exit: &container.Exit{}}},
		{State: container.State{ID: "3333333333333333", Name: "lost", Status: container.Stopped, Exit: &container.Exit{Unknown: true}}},
	}
	return m
}

func builds(text string) []*buildlog.Build {
	step := func(n int, stage, line, cache string, from, to float64) buildlog.Step {
		return buildlog.Step{Number: n, Total: 5, Stage: stage, Text: line + text, Cache: cache, Done: true, Began: from, Ended: to, Seconds: to - from}
	}
	last := &buildlog.Build{ID: "b3b3b3b3b3b3", State: buildlog.Failed, Began: at.Add(-time.Minute), Seconds: 2.5, File: "Dockerfile" + text, Tags: []string{"app:v2" + text}, Failure: "Dockerfile:5: exit status 1" + text}
	last.Steps = []buildlog.Step{
		step(4, "", "FROM base", "", 0.001, 0.002), step(1, "deps", "FROM base AS deps", "", 0.001, 0.002), step(2, "deps", "RUN fetch", "miss", 0.002, 1.5),
		step(3, "deps", "COPY . /src", "hit", 1.5, 1.6), {Number: 5, Total: 5, Stage: "1", Text: "RUN make\\\n  all", Cache: "miss", Failed: true, Began: 1.6},
	}
	hit := &buildlog.Build{ID: "b2b2b2b2b2b2", State: buildlog.Done, Began: at.Add(-time.Hour), Seconds: 0.004, File: "Dockerfile", Tags: []string{"app:v1", "app:latest"}}
	hit.Steps = []buildlog.Step{step(1, "0", "FROM base", "", 0, 0), step(2, "0", "RUN a", "hit", 0, 0.001), step(3, "0", "RUN b", "hit", 0.001, 0.002)}
	cut := &buildlog.Build{ID: "b1b1b1b1b1b1", State: buildlog.Cut, Began: at.Add(-49 * time.Hour), File: "Dockerfile"}
	return []*buildlog.Build{last, hit, cut}
}

func page(t *testing.T, m *Model) string {
	t.Helper()
	var b bytes.Buffer
	if err := m.WritePage(&b); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// golden compares with a file of testdata, which UPDATE=1 writes.
func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil || got != string(want) {
		t.Errorf("%s differs (UPDATE=1 writes it), %v:\n%s", path, err, got)
	}
}

func TestTextOfAFixedModel(t *testing.T) {
	var all []string
	for _, o := range []TextOptions{{}, {Width: 79, Height: 24}, {Width: 79, Height: 40, Color: true}, {Width: 40, Height: 18, Color: true}, {Width: 20, Height: 3}} {
		lines := fixture("").Text(o)
		all = append(all, fmt.Sprintf("== %+v", o))
		all = append(all, lines...)
	}
	all = append(all, "== empty")
	all = append(all, (&Model{Time: at, Root: "/r"}).Text(TextOptions{})...)
	golden(t, "screen.txt", strings.Join(all, "\n")+"\n")
}

func TestPageOfAFixedModel(t *testing.T) { golden(t, "page.html", page(t, fixture(""))) }

var sequence = regexp.MustCompile("\x1b\\[[0-9]*m")

func TestNoTextSteersTheTerminal(t *testing.T) {
	for _, text := range hostile {
		for _, o := range []TextOptions{{}, {Width: 79, Height: 24}, {Width: 200, Height: 60, Color: true}} {
			lines := fixture(text).Text(o)
			if o.Height > 0 && len(lines) > o.Height {
				t.Errorf("%d lines on %d", len(lines), o.Height)
			}
			for _, l := range lines {
				if o.Color {
					l = sequence.ReplaceAllString(l, "")
				}
				if i := strings.IndexFunc(l, forbidden); i >= 0 || strings.ContainsRune(l, 0xfffd) && !strings.Contains(text, "\xff") && !strings.Contains(text, "\x9b") {
					t.Errorf("%q: %q", text, l)
				}
				if n := columns(l); o.Width > 0 && n > o.Width {
					t.Errorf("%d columns on %d: %q", n, o.Width, l)
				}
			}
		}
	}
}

// TestKeysChooseWhatIsSeen: a part alone, which scrolls as far as it goes.
func TestKeysChooseWhatIsSeen(t *testing.T) {
	m, v, o := fixture(""), View{}, TextOptions{Width: 79, Height: 10}
	seen := func(keys ...string) string {
		for _, k := range keys {
			v.Key(k)
		}
		lines := v.Draw(m, o)
		if len(lines) != o.Height || !strings.HasPrefix(lines[9], "q quit") {
			t.Errorf("%q", lines)
		}
		return strings.Join(lines[3:9], "\n")
	}
	images := seen("i")
	if !strings.HasPrefix(images, "IMAGES") || strings.Contains(images, "broken") || strings.Contains(images, "more") {
		t.Error(images)
	}
	down := seen("j", "\x1b[B")
	if strings.Contains(down, "aaaaaaaaaaaa") || seen("k", "\x1bOA") != images {
		t.Error(down)
	}
	end := seen("\x1b[6~", " ", " ")
	if !strings.Contains(end, "broken") || seen("j") != end || seen("k") == end || seen("\x1b[5~", "x") != images || seen(" ", "g") != images {
		t.Error(end)
	}
	if got := seen("b"); !strings.Contains(got, "b1b1b1b1b1b1") {
		t.Error(got)
	}
	if got := seen("c"); !strings.Contains(got, "lost") {
		t.Error(got)
	}
	if got := seen("a"); !strings.HasPrefix(got, "DISK") || got != seen("c", "\x1b") {
		t.Error(got)
	}
	if v.Key("a") || !v.Key("b") {
		t.Error("what changes is not told")
	}
	o.Height = 1
	if got := v.Draw(m, o); len(got) != 1 {
		t.Errorf("%q", got)
	}
}

// forbidden is written without regard to how the code finds such runes.
func forbidden(r rune) bool {
	return r < 0x20 || r >= 0x7f && r <= 0x9f || strings.ContainsRune("\u061c\u200b\u200c\u200d\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff\U000e0041\U000e0001", r)
}

// TestPageIsWellFormedAndHoldsNoForeignMarkup reads the page as strict XML: the
// elements are the same whatever the texts are, and the texts come out again.
func TestPageIsWellFormedAndHoldsNoForeignMarkup(t *testing.T) {
	want := tags(t, page(t, fixture("x")))
	for _, text := range hostile {
		got := page(t, fixture(text))
		if found := tags(t, got); !slices.Equal(found, want) {
			t.Errorf("%q changes the elements of the page", text)
		}
		for _, r := range got {
			if r != '\n' && forbidden(r) {
				t.Errorf("%q: the page holds %q", text, r)
			}
		}
	}
	if got := page(t, fixture(hostile[0])); strings.Count(got, "&lt;script&gt;alert(1)&lt;/script&gt;") < 10 {
		t.Error("the text is not on the page")
	}
	empty := page(t, &Model{Time: at})
	tags(t, empty)
	if !strings.Contains(empty, "docksmith base NAME") || !strings.Contains(empty, "docksmith build -t NAME DIRECTORY") {
		t.Error("an empty page does not say how to begin")
	}
}

func tags(t *testing.T, page string) (list []string) {
	t.Helper()
	d := xml.NewDecoder(strings.NewReader(page))
	for {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			return list
		}
		if err != nil {
			t.Fatal(err)
		}
		if s, ok := tok.(xml.StartElement); ok {
			var attrs []string
			for _, a := range s.Attr {
				attrs = append(attrs, a.Name.Local)
			}
			list = append(list, fmt.Sprint(s.Name.Local, attrs))
		}
	}
}

// TestPageNeedsNothingElse looks for what a browser would load or run.
func TestPageNeedsNothingElse(t *testing.T) {
	text := page(t, fixture(""))
	for _, tag := range tags(t, text) {
		name, attrs, _ := strings.Cut(strings.TrimSuffix(tag, "]"), "[")
		if slices.Contains([]string{"script", "img", "link", "a", "iframe", "object", "image", "use", "foreignObject", "animate"}, name) {
			t.Errorf("there is a %s", name)
		}
		for a := range strings.FieldsSeq(attrs) {
			if strings.HasPrefix(a, "on") || a == "href" || a == "src" || a == "style" {
				t.Errorf("%s has %s", name, a)
			}
		}
	}
	for _, part := range []string{"url(", "@import", "http://", "https://", "unsafe-inline"} {
		if strings.Contains(text, part) {
			t.Errorf("the page has %q", part)
		}
	}
	if !strings.Contains(text, `content="default-src &#39;none&#39;; style-src &#39;sha256-`) {
		t.Error("the page has no policy")
	}
}

// TestContrast holds the colours to WCAG 2.1: 4.5 for text, 3 for shapes.
func TestContrast(t *testing.T) {
	for scheme, pick := range map[string]func(colour) string{"light": func(c colour) string { return c.light }, "dark": func(c colour) string { return c.dark }} {
		lum := map[string]float64{}
		for _, c := range palette {
			lum[c.name] = luminance(t, pick(c))
		}
		check := func(a, b string, least float64) {
			ratio := (max(lum[a], lum[b]) + 0.05) / (min(lum[a], lum[b]) + 0.05)
			if ratio < least {
				t.Errorf("%s: %s on %s has a contrast of %.2f, less than %.1f", scheme, a, b, ratio, least)
			}
		}
		for _, ground := range []string{"page", "card", "image-tint", "run-tint", "cache-tint", "rest-tint"} {
			check("text", ground, 4.5)
		}
		for _, ground := range []string{"page", "card", "image-tint"} {
			check("muted", ground, 4.5)
		}
		for _, text := range []string{"bad", "run"} {
			check(text, "card", 4.5)
		}
		for _, shape := range []string{"image", "run", "cache", "work", "bad", "rest"} {
			check(shape, "card", 3)
		}
		for _, shape := range []string{"cache", "work", "bad", "rest"} {
			check(shape, "line", 3)
		}
	}
}

func luminance(t *testing.T, hex string) float64 {
	t.Helper()
	n, err := strconv.ParseUint(strings.TrimPrefix(hex, "#"), 16, 32)
	if err != nil || len(hex) != 7 {
		t.Fatal(hex, err)
	}
	part := func(shift int) float64 {
		c := float64(n>>shift&0xff) / 255
		if c <= 0.04045 {
			return c / 12.92
		}
		return math.Pow((c+0.055)/1.055, 2.4)
	}
	return 0.2126*part(16) + 0.7152*part(8) + 0.0722*part(0)
}

func TestEveryColourOfTheRulesIsInThePalette(t *testing.T) {
	for _, m := range regexp.MustCompile(`var\(--([a-z-]+)\)`).FindAllStringSubmatch(rules, -1) {
		if !slices.ContainsFunc(palette, func(c colour) bool { return c.name == m[1] }) {
			t.Errorf("--%s is not in the palette", m[1])
		}
	}
}

// TestSquarify: boxes have the area of their values, lie in the whole, do not
// overlap, and are no long strips.
func TestSquarify(t *testing.T) {
	values := []float64{6, 6, 4, 3, 2, 2, 1}
	for _, aspect := range []float64{2, 0.5, 1} {
		boxes := squarify(values, aspect)
		if len(boxes) != len(values) {
			t.Fatal(boxes)
		}
		for i, b := range boxes {
			if area := b.w * b.h * 24; math.Abs(area-values[i]) > 1e-6 {
				t.Errorf("%v has the area %v of %v", b, area, values[i])
			}
			if b.x < -1e-9 || b.y < -1e-9 || b.x+b.w > 1+1e-9 || b.y+b.h > 1+1e-9 {
				t.Errorf("%v is not in the whole", b)
			}
			if long := b.w * aspect / b.h; long > 5 || long < 1.0/5 {
				t.Errorf("%v is a strip", b)
			}
			for _, c := range boxes[:i] {
				if min(b.x+b.w, c.x+c.w)-max(b.x, c.x) > 1e-9 && min(b.y+b.h, c.y+c.h)-max(b.y, c.y) > 1e-9 {
					t.Errorf("%v and %v overlap", b, c)
				}
			}
		}
	}
	if got := squarify(nil, 1); len(got) != 0 {
		t.Error(got)
	}
}

func TestTreeJoinsWhatIsShared(t *testing.T) {
	m := fixture("")
	var draw func(n *Node) string
	draw = func(n *Node) string {
		s := fmt.Sprintf("%d layers %d leaves", len(n.Layers), n.leaves)
		for _, i := range n.Images {
			s += " " + i.Name
		}
		for _, on := range n.On {
			s += " (" + draw(on) + ")"
		}
		return s
	}
	var got []string
	for _, n := range m.Tree {
		got = append(got, draw(n))
	}
	want := []string{"1 layers 4 leaves base:latest (1 layers 3 leaves tool:latest (1 layers 2 leaves app:v1 app:v2))", "0 layers 1 leaves empty:latest"}
	if !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	a, b := &Layer{}, &Layer{}
	if got := growTree([]Image{{Name: "x", Layers: []*Layer{a, b, a}}, {Name: "y", Layers: []*Layer{a, b, a}}}); len(got) != 1 || draw(got[0]) != "3 layers 2 leaves x y" {
		t.Error(draw(got[0]))
	}
}
