package verify

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"math/rand/v2"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"

	"docksmith/lib/layer"
)

const secret = `s3cr3t "value" of 100%`

func canaries(t *testing.T) []Canary {
	t.Helper()
	list, err := CanaryOf("token", []byte(secret+"\n"))
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// searchFile gives the problems found in one file.
func searchFile(t *testing.T, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	var what strings.Builder
	s := NewSearch(canaries(t), func(f Finding) { what.WriteString(f.String() + "\n") })
	sum, err := s.Tree(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	if (sum.Findings > 0) != (what.Len() > 0) || strings.Contains(what.String(), secret) {
		t.Fatalf("%d findings, told %q", sum.Findings, what.String())
	}
	return what.String()
}

func zstded(t *testing.T, raw []byte) []byte {
	t.Helper()
	w, err := zstd.NewWriter(nil)
	if err != nil {
		t.Fatal(err)
	}
	return w.EncodeAll(raw, nil)
}

func TestSearchKnowsEveryForm(t *testing.T) {
	lines := func(s string, n int) string {
		var b strings.Builder
		for len(s) > n {
			b.WriteString(s[:n] + "\r\n")
			s = s[n:]
		}
		return b.String() + s
	}
	cases := map[string]string{ // how it is said, and what is in the file
		"plain":            "x" + secret + "y",
		"JSON":             `{"a":"s3cr3t \"value\" of 100%"}`,
		"base64":           base64.StdEncoding.EncodeToString([]byte(secret)),
		"base64 ":          base64.StdEncoding.EncodeToString([]byte("a" + secret + "z")),
		"base64  ":         base64.URLEncoding.EncodeToString([]byte("ab" + secret + "zz")),
		"base64, broken":   lines(base64.StdEncoding.EncodeToString([]byte("four"+secret+"more")), 11),
		"hexadecimal":      "0x" + hex.EncodeToString([]byte(secret)),
		"hexadecimal, big": strings.ToUpper(hex.EncodeToString([]byte(secret))),
		"URL-encoded":      "?t=" + url.QueryEscape(secret),
		"URL-encoded, %20": "?t=" + strings.ToLower(url.PathEscape(secret)),
		"reversed":         "%001 fo \"eulav\" t3rc3s",
	}
	for name, content := range cases {
		how, _, _ := strings.Cut(strings.TrimSpace(name), ",")
		if got := searchFile(t, []byte(content)); !strings.Contains(got, "has the canary token, "+how) {
			t.Errorf("%s: found %q", name, got)
		}
	}
	for _, no := range []string{"", secret[1:], secret[:5] + "\n" + secret[5:], base64.StdEncoding.EncodeToString([]byte(secret[:12]))} {
		if got := searchFile(t, []byte(no)); got != "" {
			t.Errorf("%q: found %q", no, got)
		}
	}
}

// TestSearchInEveryAlignment encodes secrets of all lengths behind and before
// other bytes.
func TestSearchInEveryAlignment(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		v := make([]byte, 6+r.IntN(30))
		for i := range v {
			v[i] = byte(33 + r.IntN(94))
		}
		before, after := make([]byte, r.IntN(7)), make([]byte, r.IntN(7))
		for i := range before {
			before[i] = byte(r.IntN(256))
		}
		text := base64.StdEncoding.EncodeToString(append(append(before, v...), after...))
		s := NewSearch([]Canary{{"c", v}}, nil)
		if p := s.place(""); len(p.hits) != 0 {
			t.Fatal("found in nothing")
		} else if _, _ = p.Write([]byte(text)); len(p.hits) == 0 {
			t.Errorf("%q behind %q is not found in %s", v, before, text)
		}
	}
}

func TestSearchInsideOfThings(t *testing.T) {
	hidden := "config: " + strings.Repeat("x", 100_000) + secret
	inner := tarOf(t, "a/", "a/file")
	withFile := func(content []byte) []byte { return tarWith(t, "etc/data", content) }
	cases := map[string][]byte{
		"gzip":                 gzipped(t, []byte(hidden)),
		"zstd":                 zstded(t, []byte(hidden)),
		"tar":                  withFile([]byte(hidden)),
		"gzip in a tar":        withFile(gzipped(t, []byte(hidden))),
		"zstd in tar in gzip":  gzipped(t, withFile(zstded(t, []byte(hidden)))),
		"two members":          append(gzipped(t, []byte("first")), gzipped(t, []byte(hidden))...),
		"a layer's archive":    gzipped(t, withFile(gzipped(t, withFile(gzipped(t, []byte(hidden)))))),
		"behind a tar's end":   append(inner, []byte(secret)...),
		"behind a broken gzip": append(gzipped(t, []byte("x"))[:15], []byte(secret)...),
	}
	for name, content := range cases {
		got := searchFile(t, content)
		if strings.Count(got, "\n") != 1 {
			t.Errorf("%s: found %q", name, got)
		}
		if strings.Contains(name, "in a tar") && !strings.Contains(got, "etc/data") {
			t.Errorf("%s: found %q, want the entry's name", name, got)
		}
	}
	if got := searchFile(t, gzipped(t, bytes.Repeat([]byte("nothing "), 1000))); got != "" {
		t.Errorf("found %q", got)
	}
}

// tarWith is a tar of one file.
func tarWith(t *testing.T, name string, content []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w := layer.NewWriter(&b)
	err := w.WriteHeader(&layer.Entry{Path: name, Size: int64(len(content))})
	if err == nil {
		_, err = w.Write(content)
	}
	if err == nil {
		err = w.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSearchNamesAndTargets(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "is-t0k3n-value")
	if err := os.Symlink("to-t0k3n-value", name); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "list.gz"), gzipped(t, tarOf(t, "d/t0k3n-value")), 0o600); err != nil {
		t.Fatal(err)
	}
	var got []string
	sum, err := NewSearch([]Canary{{"c", []byte("t0k3n-value")}}, func(f Finding) { got = append(got, f.String()) }).Tree(context.Background(), dir)
	if err != nil || sum.Files != 1 || sum.Compressed != 1 || len(got) != 4 {
		t.Errorf("%+v, %v, found %q", sum, err, got)
	}
	for _, g := range got {
		if strings.Contains(g, "t0k3n") {
			t.Errorf("the canary is shown: %s", g)
		}
	}
}

func TestSearchOfADamagedLayerCannotTell(t *testing.T) {
	s, _ := newImage(t, tarOf(t, "a"))
	img, err := s.Image("app:v1", nil)
	if err != nil {
		t.Fatal(err)
	}
	search := NewSearch(canaries(t), nil)
	if sum, err := search.Image(context.Background(), s, "app:v1", nil); err != nil || sum.Findings != 0 || sum.Blobs != 3 || sum.Entries != 1 {
		t.Errorf("%+v, %v", sum, err)
	}
	path := s.BlobPath(img.Layers[0].Digest)
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	put(t, path, raw[:600])
	if _, err := search.Image(context.Background(), s, "app:v1", nil); err == nil {
		t.Error("half a layer was searched, and that was said to be all")
	}
}

func TestShortCanary(t *testing.T) {
	if _, err := CanaryOf("x", []byte("abc\n")); err == nil {
		t.Error("three bytes are taken for a canary")
	}
	list, err := CanaryOf("x", []byte("line number one\n\nshort\nline number two\n"))
	if err != nil || len(list) != 3 {
		t.Errorf("%v, %v", list, err)
	}
}

func FuzzSearchAgreesWithContains(f *testing.F) {
	f.Add([]byte("ababcab"), []byte("abcabababcab"))
	f.Fuzz(func(t *testing.T, word, text []byte) {
		if len(word) < minCanary {
			return
		}
		found := false
		a := newAutomaton([][]byte{word, word[1:], append([]byte("x"), word...)}, "")
		a.step(0, text, func(i int) { found = found || i == 0 })
		if found != bytes.Contains(text, word) {
			t.Errorf("%q in %q: %v", word, text, found)
		}
	})
}
