package sandbox

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
)

func (b *box) mount(m specs.Mount) { b.spec.Mounts = append(b.spec.Mounts, m) }

func (b *box) output(args ...string) string {
	b.t.Helper()
	if staticBusybox() == "" {
		b.t.Skip("no static busybox")
	}
	out, res, err := b.run(args...)
	if err != nil || res.Status != 0 {
		b.t.Fatalf("%q: status %d, %v\n%s", args, res.Status, err, out)
	}
	return strings.TrimSpace(out)
}

// source makes a tree whose links point out of it.
func (b *box) source(name string) string {
	dir := filepath.Join(b.dir, name)
	b.mkdir(filepath.Join(dir, "etc"))
	b.mkdir(filepath.Join(dir, "sub/deep"))
	b.check(os.WriteFile(filepath.Join(dir, "etc/passwd"), []byte("inside"), 0o644))
	b.check(os.WriteFile(filepath.Join(dir, "sub/deep/file"), []byte("part"), 0o644))
	b.check(os.Symlink("/etc/passwd", filepath.Join(dir, "absolute")))
	b.check(os.Symlink("../../../../../../etc", filepath.Join(dir, "upwards")))
	b.check(os.Symlink("/proc/self/root", filepath.Join(dir, "magic")))
	return dir
}

// TestPartsStayInTheirSource is CVE-2024-1753: links of a source are the source's.
func TestPartsStayInTheirSource(t *testing.T) {
	for _, kind := range []string{"bind", "overlay", "overlay of one"} {
		for sub, want := range map[string]string{
			"/absolute": "inside", "upwards/passwd": "inside", "/../../sub/deep/file": "part", "magic": "error",
			"/missing": "error", "/sub": "directory",
		} {
			b := newBox(t)
			dir := b.source("source")
			m := specs.Mount{Destination: "/part", Type: "bind", Source: dir, Options: []string{"rbind", OptionSubpath + "=" + sub}}
			if kind != "bind" {
				m.Type, m.Source = "overlay", "overlay"
				m.Options[0] = "lowerdir=" + dir
			}
			if kind == "overlay" {
				b.mkdir(filepath.Join(b.dir, "u"))
				b.mkdir(filepath.Join(b.dir, "w"))
				m.Options = append(m.Options, "upperdir=u", "workdir=w")
			}
			b.mount(m)
			out, res, err := b.run("/bin/sh", "-c", "if [ -d /part ]; then cat /part/deep/file && echo +directory; else cat /part; fi")
			switch {
			case want == "error" && err == nil:
				t.Errorf("%s %s: mounted: %s", kind, sub, out)
			case want != "error" && (err != nil || res.Status != 0 || !strings.Contains(out, want)):
				t.Errorf("%s %s: %q, %v, want %s", kind, sub, out, err, want)
			}
		}
	}
}

// TestOverlayMount: what is written goes to the upper directory, and a second run
// of the bundle sees it.
func TestOverlayMount(t *testing.T) {
	b := newBox(t)
	one, two := b.source("one"), filepath.Join(b.dir, "two:x")
	b.mkdir(filepath.Join(two, "sub"))
	b.mkdir(filepath.Join(b.dir, "m/u"))
	b.mkdir(filepath.Join(b.dir, "m/w"))
	b.mount(specs.Mount{Destination: "/o", Type: "overlay", Source: "overlay", Options: []string{
		"lowerdir=" + strings.ReplaceAll(two, ":", `\:`) + ":" + one, "upperdir=m/u", "workdir=m/w", OptionSubpath + "=/sub",
	}})
	if got := b.output("/bin/sh", "-c", "cat /o/deep/file; echo new >/o/new"); got != "part" {
		t.Errorf("%q", got)
	}
	if text, err := os.ReadFile(filepath.Join(b.dir, "m/u/sub/new")); string(text) != "new\n" {
		t.Errorf("upper: %q, %v", text, err)
	}
	if got := b.output("/bin/cat", "/o/new"); got != "new" {
		t.Errorf("second run: %q", got)
	}
	if list := names(t, filepath.Join(one, "sub")) + names(t, filepath.Join(two, "sub")); strings.Contains(list, "new") {
		t.Errorf("a lower directory was written to: %s", list)
	}
	b.spec.Mounts[len(b.spec.Mounts)-1].Options = []string{"lowerdir=" + two, "index=on"}
	if _, _, err := b.run("/bin/true"); err == nil {
		t.Error("an unknown option was accepted")
	}
}

func TestMountsThatAreRefused(t *testing.T) {
	for name, m := range map[string]specs.Mount{
		"in /proc":               {Destination: "/proc/sys", Type: "tmpfs"},
		"in /proc behind a link": {Destination: "/tmp/kernel/1", Type: "tmpfs"},
		"a file on a directory":  {Destination: "/etc", Type: "bind", Source: "config.json"},
	} {
		b := newBox(t)
		b.check(os.Symlink("/proc", filepath.Join(b.lower, "tmp/kernel")))
		b.mount(m)
		if out, _, err := b.run("/bin/true"); err == nil {
			t.Errorf("%s: mounted, %s", name, out)
		}
	}
}

// TestSecrets: a secret is a file in memory with its own owner and mode, or in
// the environment, and is written nowhere.
func TestSecrets(t *testing.T) {
	b := newBox(t)
	canary := strings.Repeat("canary", 3) // this program, in the box, holds only one
	b.opts.Secrets = map[string][]byte{"one": []byte("first\x00value\n"), "two": []byte(canary)}
	b.spec.Annotations[AnnotationSecretEnv] = `{"TWO":"two","PATH2":"two"}`
	b.mount(specs.Mount{Destination: "/run/secrets/one", Type: TypeSecret, Source: "one"})
	b.mount(specs.Mount{Destination: "/tmp/two", Type: TypeSecret, Source: "two", Options: []string{"mode=444", "uid=7", "gid=8"}})
	got := b.output("/bin/sh", "-c", `wc -c </run/secrets/one; cat /tmp/two; echo " $TWO $PATH2"; ls -ln /run/secrets/one /tmp/two; echo x >>/tmp/two`+" || cat /proc/self/mounts")
	for _, want := range []string{"12", canary + " " + canary + " " + canary, "-r--------", "-r--r--r--", " /run/secrets/one ramfs ro,nosuid,nodev,noexec", " /tmp/two ramfs ro,"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
	if strings.Contains(names(t, filepath.Join(b.dir, "upper")), "run") {
		t.Error("a mount point is in the upper directory")
	}
	if found := grep(t, b.dir, canary); len(found) > 0 {
		t.Errorf("the secret is in %q", found)
	}
}

// grep finds the files below dir that hold text.
func grep(t *testing.T, dir, text string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		data, err := os.ReadFile(p)
		if strings.Contains(string(data), text) {
			found = append(found, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// TestLackingSecrets: a bundle runs without the secrets it was made with, and the
// user is told, once, which those are.
func TestLackingSecrets(t *testing.T) {
	b := newBox(t)
	b.mount(specs.Mount{Destination: "/run/one", Type: TypeSecret, Source: "one"})
	b.mount(specs.Mount{Destination: "/run/socket", Type: "bind", Source: "gone", Options: []string{"bind", OptionMayLack + "=agent x"}})
	b.mount(specs.Mount{Destination: "/run/there", Type: "bind", Source: "config.json", Options: []string{"bind", OptionMayLack + "=agent y"}})
	b.spec.Annotations[AnnotationSecretEnv] = `{"TWO":"two"}`
	var said []string
	b.opts.Warn = func(s string) { said = append(said, s) }
	if got := b.output("/bin/sh", "-c", `ls /run; echo "<$TWO>"`); got != "there\n<>" {
		t.Errorf("%q", got)
	}
	if len(said) != 1 || said[0] != "not here, and left out: agent x, one, two" {
		t.Errorf("%q", said)
	}
	b.opts.Secrets = map[string][]byte{"one": []byte("1"), "two": []byte("canary\x00")}
	if _, _, err := b.run("/bin/true"); err == nil || strings.Contains(err.Error(), "canary") {
		t.Errorf("a value that the environment cannot hold: %v", err)
	}
}

func TestSecretStream(t *testing.T) {
	want := map[string][]byte{"a": []byte("x\n\x00\xff"), "empty": {}, "large": make([]byte, MaxSecret)}
	r, w := io.Pipe()
	go func() { _ = w.CloseWithError(WriteSecrets(w, want)) }()
	got, err := ReadSecrets(r)
	if err != nil || len(got) != len(want) {
		t.Fatalf("%d secrets, %v", len(got), err)
	}
	for id := range want {
		if string(got[id]) != string(want[id]) {
			t.Errorf("%s: %q", id, got[id])
		}
	}
	for _, cut := range []string{"", `{"type":"secret","id":"a","value":"eA=="}` + "\n", "canary\n" + `{"type":"end"}`, `{"type":"secret","value":"canary"}`} {
		if got, err := ReadSecrets(strings.NewReader(cut)); err == nil || strings.Contains(err.Error(), "canary") {
			t.Errorf("%q: %v, %v", cut, got, err)
		}
	}
}

// TestEverythingAllowed: all capabilities that the caller has, and no filter.
func TestEverythingAllowed(t *testing.T) {
	b := newBox(t)
	all, err := Capabilities()
	b.check(err)
	b.spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all, Inheritable: all, Ambient: all}
	b.spec.Process.NoNewPrivileges = false
	b.spec.Linux.Seccomp = &specs.LinuxSeccomp{DefaultAction: specs.ActAllow}
	set, err := parseCaps(all)
	b.check(err)
	got := b.output("/bin/sh", "-c", "while read a b; do echo $a $b; done </proc/self/status")
	for _, want := range []string{fmt.Sprintf("CapEff: %016x", uint64(set)), fmt.Sprintf("CapAmb: %016x", uint64(set)), "Seccomp: 0", "NoNewPrivs: 0"} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in %s", want, got)
		}
	}
}
