package layer

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// overlayMount mounts an overlay for the time of a test; upper "" makes it read-only.
func overlayMount(t *testing.T, lowers []string, upper string) string {
	t.Helper()
	dir := t.TempDir()
	opts := "lowerdir=" + strings.Join(lowers, ":")
	if upper != "" {
		work := filepath.Join(filepath.Dir(upper), "work")
		os.Mkdir(work, 0o755)
		opts += ",upperdir=" + upper + ",workdir=" + work
	}
	if strings.HasPrefix(OpaqueXattr(), "user.") {
		opts += ",userxattr"
	}
	if err := unix.Mount("overlay", dir, "overlay", 0, opts); err != nil {
		t.Skipf("this user or kernel cannot mount an overlay: %v", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func packUpper(t *testing.T, upper string, o CreateOptions) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := PackUpper(context.Background(), &b, upper, o); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func applyOverlay(t *testing.T, layer []byte, lowers []string) string {
	t.Helper()
	dir := t.TempDir()
	os.Chmod(dir, 0o755)
	if err := Apply(context.Background(), bytes.NewReader(layer), dir, ApplyOptions{Form: Overlay, Lowers: lowers}); err != nil {
		t.Fatal(err)
	}
	return dir
}

// stack makes two lower snapshots of random content, and an upper directory
// that a random program has worked on through the overlay.
func stack(t *testing.T, seed uint64) (lowers []string, upper, merged string, g *grower) {
	tree := t.TempDir()
	g = newGrower(t, seed, tree)
	g.solo = true
	for range 30 {
		g.step()
	}
	base := create(t, tree, CreateOptions{KeepTimes: true})
	before := t.TempDir()
	apply(t, base, before)
	for range 12 {
		g.step()
	}
	second := diff(t, before, tree, CreateOptions{})
	bottom := applyOverlay(t, base, nil)
	lowers = []string{applyOverlay(t, second, []string{bottom}), bottom}
	upper = filepath.Join(t.TempDir(), "upper")
	os.Mkdir(upper, 0o755)
	os.Chmod(upper, 0o755)
	merged = overlayMount(t, lowers, upper)
	g.dir = merged
	for range 15 {
		g.step()
	}
	return lowers, upper, merged, g
}

// With and without overlay the layer is the same, byte for byte, and what
// a later step sees does not depend on where it comes from.
func TestPackUpperIsDiff(t *testing.T) {
	for seed := range uint64(25) {
		lowers, upper, merged, _ := stack(t, seed)
		after := t.TempDir()
		apply(t, create(t, merged, CreateOptions{}), after)
		os.Chmod(after, 0o755)
		before := t.TempDir()
		apply(t, create(t, overlayMount(t, lowers, ""), CreateOptions{}), before)
		os.Chmod(before, 0o755)

		want := diff(t, before, after, CreateOptions{})
		if got := packUpper(t, upper, CreateOptions{Lowers: lowers}); !bytes.Equal(got, want) {
			t.Fatalf("seed %d: PackUpper\n%q\nDiff\n%q", seed, listing(t, got), listing(t, want))
		}
		got := packUpper(t, upper, CreateOptions{Lowers: lowers, SetTimes: true})
		if !bytes.Equal(got, want) {
			t.Fatalf("seed %d: SetTimes changed the layer", seed)
		}
		unpacked := applyOverlay(t, got, lowers)
		live := dump(t, overlayMount(t, append([]string{upper}, lowers...), ""), true)
		stored := dump(t, overlayMount(t, append([]string{unpacked}, lowers...), ""), true)
		if live != stored {
			t.Fatalf("seed %d: live snapshot\n%s\n--- unpacked\n%s", seed, live, stored)
		}
	}
}

// Without knowledge of the lower layers everything in upper is written, marks included.
func TestPackUpperRaw(t *testing.T) {
	upper := t.TempDir()
	writeTree(t, upper, map[string]string{"d/f": "1", "o/x": "2", "w/": ""})
	if err := unix.Mknod(filepath.Join(upper, "d/gone"), unix.S_IFCHR, 0); err != nil {
		t.Skipf("whiteouts cannot be made here: %v", err)
	}
	if err := unix.Setxattr(filepath.Join(upper, "o"), OpaqueXattr(), []byte("y"), 0); err != nil {
		t.Skipf("opaque directories cannot be made here: %v", err)
	}
	// The attribute form of whiteouts.
	writeTree(t, upper, map[string]string{"w/a": "", "w/b": ""})
	prefix := overlayPrefix()
	unix.Setxattr(filepath.Join(upper, "w"), prefix+"opaque", []byte("x"), 0)
	unix.Setxattr(filepath.Join(upper, "w/a"), prefix+"whiteout", []byte("y"), 0)
	got := packUpper(t, upper, CreateOptions{})
	wantListing(t, got, "5 d/", "0 d/.wh.gone", "0 d/f", "5 o/", "0 o/.wh..wh..opq", "0 o/x", "5 w/", "0 w/.wh.a", "0 w/b")
	if bytes.Contains(got, []byte("overlay.")) {
		t.Error("attributes of overlayfs are in the layer")
	}
	// Nothing below: whatever is hidden is nothing.
	wantListing(t, packUpper(t, upper, CreateOptions{Lowers: []string{}}), "5 d/", "0 d/f", "5 o/", "0 o/x", "5 w/", "0 w/b")
	unix.Setxattr(filepath.Join(upper, "o"), prefix+"redirect", []byte("/x"), 0)
	if err := PackUpper(context.Background(), &bytes.Buffer{}, upper, CreateOptions{}); err == nil {
		t.Error("a redirected directory was packed")
	}
}

// Copied up and not changed: nothing to say.
func TestPackUpperUnchanged(t *testing.T) {
	lower := t.TempDir()
	writeTree(t, lower, map[string]string{"etc/passwd": "root", "etc/x/y": "1", "a": "2"})
	os.Chmod(lower, 0o755)
	upper := filepath.Join(t.TempDir(), "upper")
	os.Mkdir(upper, 0o755)
	merged := overlayMount(t, []string{lower}, upper)
	now := time.Now()
	for _, p := range []string{"etc/passwd", "etc/x"} {
		if err := os.Chtimes(filepath.Join(merged, p), now, now); err != nil {
			t.Fatal(err)
		}
	}
	os.RemoveAll(filepath.Join(merged, "etc/x"))
	writeTree(t, merged, map[string]string{"etc/x/y": "1", "new/tmp": ""})
	os.RemoveAll(filepath.Join(merged, "new"))
	if rest, _ := os.ReadDir(upper); len(rest) == 0 {
		t.Fatal("the overlay copied nothing up")
	}
	wantListing(t, packUpper(t, upper, CreateOptions{Lowers: []string{lower}}))
	os.Link(filepath.Join(merged, "a"), filepath.Join(merged, "b"))
	wantListing(t, packUpper(t, upper, CreateOptions{Lowers: []string{lower}}), "0 a", "1 b")
}

func TestCapabilityAndDevices(t *testing.T) {
	dir, copied := t.TempDir(), t.TempDir()
	writeTree(t, dir, map[string]string{"ping": "x"})
	value := "\x01\x00\x00\x02\x00\x20\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
	if err := unix.Setxattr(filepath.Join(dir, "ping"), "security.capability", []byte(value), 0); err != nil {
		t.Skipf("capabilities of files need root: %v", err)
	}
	if err := unix.Mknod(filepath.Join(dir, "null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))); err != nil {
		t.Skipf("devices need root: %v", err)
	}
	tarball := create(t, dir, CreateOptions{})
	if !strings.Contains(string(tarball), "SCHILY.xattr.security.capability="+value) {
		t.Error("the capability is not in the layer")
	}
	apply(t, tarball, copied)
	if got, want := dump(t, copied, false), dump(t, dir, false); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if strings.Contains(string(create(t, dir, CreateOptions{Normalize: true})), "capability") {
		t.Error("Normalize keeps capabilities")
	}
}
