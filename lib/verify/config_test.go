package verify

import (
	"archive/tar"
	"bytes"
	"context"
	"strings"
	"testing"

	"docksmith/lib/oci"
	"docksmith/lib/store"
)

func TestConfigProblems(t *testing.T) {
	good := func() oci.Image {
		c := oci.Image{Platform: oci.Platform{OS: "linux", Architecture: "amd64"}}
		c.RootFS.Type = "layers"
		c.RootFS.DiffIDs = append(c.RootFS.DiffIDs, "sha256:x")
		c.History = []oci.History{{CreatedBy: "COPY"}, {CreatedBy: "ENV", EmptyLayer: true}}
		c.Config.Env = []string{"A=b", "C="}
		c.Config.ExposedPorts = map[string]struct{}{"80": {}, "8000-8010/udp": {}}
		return c
	}
	cases := []struct {
		name   string
		change func(*oci.Image)
		want   string
	}{
		{"good", func(*oci.Image) {}, ""},
		{"no history", func(c *oci.Image) { c.History = nil }, ""},
		{"short history", func(c *oci.Image) { c.History = c.History[1:] }, "the history has 0 layers, the image 1"},
		{"type", func(c *oci.Image) { c.RootFS.Type = "" }, `rootfs.type is ""`},
		{"architecture", func(c *oci.Image) { c.Architecture = "" }, `architecture is ""`},
		{"environment", func(c *oci.Image) { c.Config.Env[1] = "=C" }, `Env has "=C"`},
		{"port", func(c *oci.Image) { c.Config.ExposedPorts["70000/tcp"] = struct{}{} }, `"70000/tcp"`},
		{"range", func(c *oci.Image) { c.Config.ExposedPorts["90-80"] = struct{}{} }, `"90-80"`},
		{"protocol", func(c *oci.Image) { c.Config.ExposedPorts["80/http"] = struct{}{} }, `"80/http"`},
		{"health", func(c *oci.Image) { c.Config.Healthcheck = &oci.Healthcheck{Timeout: -1} }, "negative"},
	}
	for _, c := range cases {
		img := good()
		c.change(&img)
		got := strings.Join(configProblems(img), "\n")
		if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
			t.Errorf("%s: found %q, want %q", c.name, got, c.want)
		}
	}
}

// elfFile is the head of a program for a machine: its number and byte order.
func elfFile(machine byte, data byte) string {
	head := "\x7fELF\x02" + string(rune(data)) + "\x01" + strings.Repeat("\x00", 9) + "\x02\x00"
	if data == 2 {
		return head + "\x00" + string([]byte{machine}) + strings.Repeat("\x00", 44)
	}
	return head + string([]byte{machine}) + "\x00" + strings.Repeat("\x00", 44)
}

func TestPlatformOfPrograms(t *testing.T) {
	amd64, i386, arm64, s390 := elfFile(62, 1), elfFile(3, 1), elfFile(183, 1), elfFile(22, 2)
	cases := []struct {
		name, arch string
		mode       int64
		files      map[string]string
		want       string
	}{
		{"fits", "amd64", 0o755, map[string]string{"bin/sh": amd64, "usr/bin/old": i386}, ""},
		{"big endian", "s390x", 0o755, map[string]string{"bin/sh": s390}, ""},
		{"another", "amd64", 0o755, map[string]string{"bin/sh": arm64}, `the platform is linux/amd64, and "bin/sh" is for EM_AARCH64`},
		{"older the wrong way", "386", 0o755, map[string]string{"usr/sbin/x": amd64}, `"usr/sbin/x" is for EM_X86_64`},
		{"many", "amd64", 0o755, map[string]string{"bin/sh": arm64, "bin/ls": arm64}, "and 1 more programs"},
		{"what the image starts", "amd64", 0o755, map[string]string{"app/run": arm64}, `"app/run"`},
		{"on its own PATH", "amd64", 0o755, map[string]string{"opt/bin/x": arm64}, `"opt/bin/x"`},
		{"firmware", "amd64", 0o755, map[string]string{"lib/firmware/x": arm64}, ""},
		{"no program", "amd64", 0o644, map[string]string{"bin/sh": arm64}, ""},
		{"a script", "amd64", 0o755, map[string]string{"bin/sh": "#!/bin/x and more than the head of an ELF file"}, ""},
		{"short", "amd64", 0o755, map[string]string{"bin/sh": "\x7fELF"}, ""},
		{"unknown architecture", "pdp11", 0o755, map[string]string{"bin/sh": arm64}, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var b bytes.Buffer
			w := tar.NewWriter(&b)
			for name, content := range c.files {
				if err := w.WriteHeader(&tar.Header{Name: name, Mode: c.mode, Size: int64(len(content))}); err != nil {
					t.Fatal(err)
				}
				if _, err := w.Write([]byte(content)); err != nil {
					t.Fatal(err)
				}
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			s, l := newImage(t, b.Bytes())
			cfg := oci.Image{Platform: oci.Platform{OS: "linux", Architecture: c.arch}}
			cfg.Config.Entrypoint, cfg.Config.WorkingDir = []string{"run"}, "/app"
			cfg.Config.Env = []string{"PATH=/opt/bin"}
			found := proveAs(t, s, cfg, l)
			if (c.want == "") != (found == "") || !strings.Contains(found, c.want) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

func proveAs(t *testing.T, s *store.Store, cfg oci.Image, l oci.Layer) (found string) {
	t.Helper()
	desc, err := s.WriteImage(context.Background(), cfg, []oci.Layer{l}, nil)
	if err != nil {
		t.Fatal(err)
	}
	_, err = Image(context.Background(), s, desc.Digest.String(), ImageOptions{Found: func(f Finding) { found += f.String() + "\n" }})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
