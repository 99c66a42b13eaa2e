package sandbox

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"docksmith/lib/rootfs"

	"golang.org/x/sys/unix"
)

func TestOverlayView(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("neither root nor a user namespace")
	}
	if err := tryOverlay(t.TempDir()); err != nil {
		t.Skipf("no overlay: %v", err)
	}
	dir := t.TempDir()
	var lowers []string
	for _, name := range []string{"top", "mid,dle:", "bottom"} {
		d := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Join(d, "sub"), 0o755); err != nil {
			t.Fatal(err)
		}
		for _, f := range []string{"sub/all", "sub/" + name} {
			if err := os.WriteFile(filepath.Join(d, f), []byte(name), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		lowers = append(lowers, d)
	}
	for n := 1; n <= len(lowers); n++ {
		f, err := OverlayView(lowers[:n])
		if err != nil {
			t.Fatal(err)
		}
		root, err := rootfs.FromFile(f)
		if err != nil {
			t.Fatal(err)
		}
		checkView(t, root, n)
		if err := root.Close(); err != nil {
			t.Fatal(err)
		}
	}
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil || strings.Contains(string(mounts), filepath.Base(dir)) {
		t.Errorf("a view is in the tree, or %v", err)
	}
	if _, err := OverlayView(nil); err == nil {
		t.Error("a view of nothing")
	}
	if _, err := OverlayView([]string{filepath.Join(dir, "none")}); err == nil {
		t.Error("a view of what is not there")
	}
}

func checkView(t *testing.T, root *rootfs.Root, n int) {
	t.Helper()
	list, err := root.ReadDir("/sub")
	if err != nil || len(list) != n+1 {
		t.Errorf("%d layers: %v, %v", n, list, err)
	}
	f, err := root.OpenFile("/sub/all", unix.O_RDONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	buf := make([]byte, 8)
	if k, _ := f.Read(buf); string(buf[:k]) != "top" {
		t.Errorf("%d layers: the top one does not win: %q", n, buf[:k])
	}
	if _, err := root.OpenFile("/sub/new", unix.O_CREAT|unix.O_WRONLY, 0o644); err == nil {
		t.Errorf("%d layers: the view can be written to", n)
	}
}
