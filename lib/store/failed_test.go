package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"docksmith/lib/oci"
)

// keptFailed keeps a bundle of the image that was left so long ago.
func keptFailed(t *testing.T, s *Store, img *Image, ago time.Duration) string {
	t.Helper()
	temp, err := s.TempDir("build")
	if err != nil {
		t.Fatal(err)
	}
	bundle := filepath.Join(temp.Path, "b")
	if err := s.WriteBundle(t.Context(), img, bundle, oci.RuntimeOptions{}); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(bundle, "config.json"), filepath.Join(temp.Path, "config.json")); err != nil {
		t.Fatal(err)
	}
	dir, err := s.KeepFailed(temp)
	if err != nil {
		t.Fatal(err)
	}
	if err := temp.Close(); err != nil {
		t.Fatal(err)
	}
	then := time.Now().Add(-ago)
	if err := os.Chtimes(dir, then, then); err != nil {
		t.Fatal(err)
	}
	return dir
}

func there(dir string) bool {
	_, err := os.Stat(dir)
	return err == nil
}

func TestFailedContainersAreCollected(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	l := addLayer(t, w, map[string]string{"f": "x"})
	publish(t, w, "app:v", l)
	img, err := w.Image("app:v", nil)
	if err != nil {
		t.Fatal(err)
	}
	old := keptFailed(t, w, img, 2*failedFor)
	young := keptFailed(t, w, img, failedFor/2)
	used := keptFailed(t, w, img, failedFor/2)
	if there(old) || !there(young) {
		t.Error("a failure removes those, and only those, that are old")
	}
	other, err := w.NewContainer()
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.Open(used)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := unix.Flock(int(dir.Fd()), unix.LOCK_SH); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s := open(t, root) // whose process holds nothing
	if _, err := s.Remove(t.Context(), "app:v", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, o := range []GCOptions{{Grace: failedFor}, {DryRun: true}} {
		res, err := s.GC(t.Context(), o)
		if err != nil || !there(young) || o.DryRun && (len(res.Temps) != 1 || res.Temps[0].Path != young || res.Bytes == 0) {
			t.Errorf("%+v: %+v, %v", o, res, err)
		}
	}
	res, err := s.GC(t.Context(), GCOptions{})
	if err != nil || there(young) || !there(used) || !there(other) || len(res.Temps) != 1 {
		t.Errorf("%+v, %v", res, err)
	}
	if !s.HasSnapshot(l.DiffID) {
		t.Error("one that is used lost what it stands on")
	}
	dir.Close()
	if names, err := s.RemoveFailed(); err != nil || len(names) != 1 || names[0] != filepath.Base(used) {
		t.Errorf("%q, %v", names, err)
	}
	if _, err := s.GC(t.Context(), GCOptions{}); err != nil || there(used) || s.HasSnapshot(l.DiffID) {
		t.Error("what nobody uses stays: ", err)
	}
}
