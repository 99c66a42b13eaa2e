package build

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"docksmith/lib/layer"
	"docksmith/lib/rootfs"
)

// oldRoot is a root file system as a stage may have it.
func oldRoot(t *testing.T) *rootfs.Root {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"usr/lib", "etc", "d/in"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, target := range map[string]string{"lib": "usr/lib", "up": "../../../etc", "abs": "/usr/lib", "loop": "loop", "dangling": "/new/place"} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "file"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := rootfs.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { root.Close() })
	return root
}

func file(text string) *node {
	n := &node{}
	n.Entry = layer.Entry{Type: layer.TypeFile, Mode: 0o644, Size: int64(len(text))}
	n.Open = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(text)), nil }
	return n
}

func dir() *node {
	n := &node{}
	n.Entry = layer.Entry{Type: layer.TypeDir, Mode: 0o755}
	return n
}

func link(target string) *node {
	n := &node{}
	n.Entry = layer.Entry{Type: layer.TypeSymlink, Mode: 0o777, Linkname: target}
	return n
}

// packed is the draft's layer as lines of "type path [-> link]", after it was
// really written.
func packed(t *testing.T, d *draft) []string {
	t.Helper()
	var tar bytes.Buffer
	sources, hides := d.sources()
	tree := ""
	if !hides {
		tree = t.TempDir()
	}
	if err := layer.Pack(t.Context(), &tar, tree, sources, layer.PackOptions{}); err != nil {
		t.Fatal(err)
	}
	var out []string
	for e, err := range layer.Entries(&tar) {
		if err != nil {
			t.Fatal(err)
		}
		line := e.Type.String() + " " + e.Path
		if e.Linkname != "" {
			line += " -> " + e.Linkname
		}
		out = append(out, line)
	}
	return out
}

func TestResolveStaysInside(t *testing.T) {
	d := newDraft(oldRoot(t))
	for in, want := range map[string]string{
		"": ".", "lib/x": "usr/lib/x", "abs/../y": "usr/y", "up/passwd": "etc/passwd", "dangling": "new/place",
		"../../a/./b": "a/b", "lib": "usr/lib", "file/x": "file/x",
	} {
		if got, err := d.resolve(in); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", in, got, err, want)
		}
	}
	if got, err := d.resolve("loop/x"); err == nil {
		t.Errorf("a loop of links leads to %s", got)
	}
	// Links that the draft itself makes count, and hide what was there.
	if err := d.put("etc", link("usr"), true); err != nil {
		t.Fatal(err)
	}
	if got, err := d.resolve("up/lib"); err != nil || got != "usr/lib" {
		t.Errorf("through a planned link: %s, %v", got, err)
	}
}

func TestDraftKeepsDirectoriesOnTheWay(t *testing.T) {
	d := newDraft(oldRoot(t))
	for _, err := range []error{
		d.mkdirAll("usr/lib/deep", owner{}, 0o755), d.put("usr/lib/deep/f", file("x"), false),
		d.mkdirAll("etc", owner{}, 0o755), // nothing goes there, so it is not in the layer
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	want := []string{"dir usr", "dir usr/lib", "dir usr/lib/deep", "file usr/lib/deep/f"}
	if diff := cmp.Diff(want, packed(t, d)); diff != "" {
		t.Error(diff)
	}
}

// TestReplace: what COPY refuses and ADD of an archive does.
func TestReplace(t *testing.T) {
	d := newDraft(oldRoot(t))
	if err := d.put("d", file("x"), false); err == nil {
		t.Error("a file takes the place of a directory")
	}
	if err := d.put("file", dir(), false); err == nil {
		t.Error("a directory takes the place of a file")
	}
	if err := d.mkdirAll("file/x", owner{}, 0o755); err == nil {
		t.Error("a file has become a directory on the way")
	}
	for _, step := range []struct {
		path string
		node *node
	}{{"d", file("x")}, {"d", dir()}, {"d/new", file("y")}, {"file", dir()}, {"file/in", file("z")}} {
		if err := d.put(step.path, step.node, true); err != nil {
			t.Fatal(err)
		}
	}
	// The base's directory d went: what is in it must not show in the new one.
	want := []string{"dir d", "opaque d", "file d/new", "dir file", "file file/in"}
	if diff := cmp.Diff(want, packed(t, d)); diff != "" {
		t.Error(diff)
	}
	if n, err := d.at("d/in"); n != nil || err != nil {
		t.Errorf("d/in is %v, %v", n, err)
	}
}

func TestNamesOfOneFile(t *testing.T) {
	d := newDraft(nil)
	z := file("x")
	a, m := &node{}, &node{}
	d.link(a, z)
	d.link(m, z)
	for p, n := range map[string]*node{"z": z, "a": a, "m": m} {
		if err := d.put(p, n, false); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"file a", "link m -> a", "link z -> a"}, packed(t, d)); diff != "" {
		t.Error(diff)
	}
	// One that was replaced later is no longer a name of the file.
	if err := d.put("a", file("other"), false); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"file a", "file m", "link z -> m"}, packed(t, d)); diff != "" {
		t.Error(diff)
	}
}
