package sandbox

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

const minimal = `{"ociVersion":"1.2.0","process":{"args":["a"],"cwd":"/"},"root":{"path":"rootfs"},"linux":{}}`

// with puts a member into the minimal document.
func with(section, member string) string {
	if section == "" {
		return strings.TrimSuffix(minimal, "}") + "," + member + "}"
	}
	return strings.Replace(minimal, `"`+section+`":{`, `"`+section+`":{`+member+",", 1)
}

func TestDecodeConfig(t *testing.T) {
	for _, good := range []string{
		minimal, minimal + "\n", with("", `"hooks":{}`), with("", `"hooks":null`), with("", `"unknown":[1]`), with("process", `"terminal":true`), with("", `"hooks":{"poststop":[{"path":"/x"}]}`),
	} {
		if _, err := decodeConfig([]byte(good)); err != nil {
			t.Errorf("%s: %v", good, err)
		}
	}
	for _, bad := range []string{
		"", "{}", "null", "[]", minimal + "{}", strings.Replace(minimal, "1.2.0", "2.0.0", 1),
		with("", `"hooks":{"poststop":[{"path":"x"}]}`), with("", `"mounts":[{"destination":"/x","options":["a\u0000b"]}]`),
		with("process", `"env":["A=\u0000"]`), with("process", `"apparmorProfile":"x"`), with("process", `"execCPUAffinity":{"initial":"0"}`),
		strings.Replace(minimal, `"linux":{}`, `"linux":{"namespaces":[{"type":"whatever"}]}`, 1),
		strings.Replace(minimal, `"linux":{}`, `"linux":{"intelRdt":{"closID":"x"}}`, 1),
		strings.Replace(minimal, `"linux":{}`, `"linux":{"rootfsPropagation":"sideways"}`, 1),
	} {
		if s, err := decodeConfig([]byte(bad)); err == nil {
			t.Errorf("%s: no error, %+v", bad, s)
		}
	}
}

func FuzzDecodeConfig(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte(with("", `"mounts":[{"destination":"/proc","type":"proc"}]`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decodeConfig(raw)
		if err != nil {
			return
		}
		if _, err := (Options{}).apply(s); err != nil {
			return
		}
		for _, m := range s.Mounts {
			c := &container{spec: s, place: bundleDir{-1}}
			m.Type = "tmpfs"
			_, _ = c.prepare(m)
		}
		_, _ = seccompFilter(s)
		_, _ = parseCapSets(s.Process.Capabilities)
		splitLowers(s.Annotations[AnnotationLower])
	})
}

func TestOpenBundleFollowsNothing(t *testing.T) {
	dir := t.TempDir()
	real := filepath.Join(dir, "real.json")
	if err := os.WriteFile(real, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	config := filepath.Join(dir, "config.json")
	for name, make := range map[string]func() error{
		"link":      func() error { return os.Symlink(real, config) },
		"fifo":      func() error { return unix.Mkfifo(config, 0o600) },
		"directory": func() error { return os.Mkdir(config, 0o700) },
		"large": func() error {
			f, err := os.Create(config)
			if err != nil {
				return err
			}
			defer f.Close()
			return f.Truncate(maxConfig + 1)
		},
	} {
		if err := make(); err != nil {
			t.Fatal(err)
		}
		if _, err := OpenBundle(dir); err == nil {
			t.Errorf("%s: no error", name)
		}
		if err := os.RemoveAll(config); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(config, []byte(minimal), 0o600); err != nil {
		t.Fatal(err)
	}
	b, err := OpenBundle(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

func TestSplitLowers(t *testing.T) {
	got := splitLowers(`/a:/b\:c:/d\\e:/f\`)
	if want := []string{"/a", "/b:c", `/d\e`, `/f\`}; !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
}

func TestParseCaps(t *testing.T) {
	set, err := parseCaps([]string{"CAP_CHOWN", "CAP_CHECKPOINT_RESTORE"})
	if err != nil || set != 1|1<<40 {
		t.Errorf("%#x, %v", set, err)
	}
	if _, err := parseCaps([]string{"CAP_EVERYTHING"}); err == nil {
		t.Error("an unknown capability is accepted")
	}
}
