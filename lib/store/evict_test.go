package store

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"docksmith/lib/flock"
	"docksmith/lib/oci"
)

func aged(t *testing.T, path string, by time.Duration) time.Time {
	t.Helper()
	at := time.Now().Add(-by).Truncate(time.Second)
	if err := os.Chtimes(path, at, at); err != nil {
		t.Fatal(err)
	}
	return at
}

// evict asks for everything that the store has.
func evict(t *testing.T, s *Store, failed ...string) Eviction {
	t.Helper()
	c, err := s.Contents(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	e := Eviction{Failed: failed}
	for _, b := range c.Blobs {
		e.Blobs = append(e.Blobs, b.Digest)
	}
	for _, b := range c.Snapshots {
		e.Snapshots = append(e.Snapshots, b.Digest)
	}
	gone, err := s.Evict(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	return gone
}

func TestEvictSparesWhatIsNeeded(t *testing.T) {
	root := t.TempDir()
	w, s := open(t, root), open(t, root)
	named, loose, held := addLayer(t, w, map[string]string{"f": "named"}), addLayer(t, w, map[string]string{"f": "loose"}), addLayer(t, w, map[string]string{"f": "held"})
	desc := publish(t, w, "app:v", named)
	if _, err := w.Snapshots(t.Context(), []oci.Layer{named, loose}); err != nil {
		t.Fatal(err)
	}
	if gone := evict(t, s); len(gone.Blobs)+len(gone.Snapshots) > 0 {
		t.Errorf("what a living process holds is gone: %+v", gone)
	}
	img, err := w.Image("app:v", nil)
	if err != nil {
		t.Fatal(err)
	}
	dir, err := w.NewContainer()
	if err != nil {
		t.Fatal(err)
	}
	if err := w.WriteBundle(t.Context(), img, dir, oci.RuntimeOptions{}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	if err := s.Hold(held.Digest); err != nil {
		t.Fatal(err)
	}
	both := oci.ChainID([]digest.Digest{named.DiffID, loose.DiffID})
	if diff := cmp.Diff(Eviction{Blobs: []digest.Digest{loose.Digest}, Snapshots: []digest.Digest{both}}, evict(t, s)); diff != "" {
		t.Error("with an image, a bundle and a lease:", diff)
	}
	if _, ok := s.Has(loose.Digest); ok || s.HasSnapshot(both) {
		t.Error("what was evicted is there")
	}
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}
	if gone := evict(t, s); len(gone.Snapshots) != 1 || s.HasSnapshot(named.DiffID) {
		t.Errorf("the snapshot of an image without a container: %+v", gone)
	}
	fsckClean(t, s)
	if gone, err := s.Evict(t.Context(), Eviction{Names: []oci.Descriptor{desc}, Blobs: []digest.Digest{desc.Digest, named.Digest}}); err != nil || len(gone.Blobs) != 0 {
		t.Errorf("an entry with another name stands for the image: %+v, %v", gone, err)
	}
}

// TestEvictNames: the name goes first, and what it led to with it, unless its
// image is held.
func TestEvictNames(t *testing.T) {
	root := t.TempDir()
	w, s := open(t, root), open(t, root)
	l := addLayer(t, w, map[string]string{"f": "x"})
	publish(t, w, "app:v", l)
	c, err := s.Contents(t.Context())
	if err != nil || len(c.Images) != 1 || c.Images[0].Name != "app:v" || len(c.Images[0].Blobs) != 3 || len(c.Images[0].Layers) != 1 || c.Images[0].Layers[0].DiffID != l.DiffID {
		t.Fatalf("%+v, %v", c, err)
	}
	if !c.Leased[l.Digest] {
		t.Error("a living process's layer is not leased")
	}
	e := Eviction{Names: []oci.Descriptor{c.Images[0].Descriptor}, Blobs: c.Images[0].Blobs}
	if gone, err := s.Evict(t.Context(), e); err != nil || len(gone.Names)+len(gone.Blobs) != 0 {
		t.Errorf("while it is held: %+v, %v", gone, err)
	}
	w.Close()
	if gone, err := s.Evict(t.Context(), e); err != nil || len(gone.Names) != 1 || len(gone.Blobs) != 3 {
		t.Errorf("%+v, %v", gone, err)
	}
	if left, _ := os.ReadDir(s.path(dirBlobs)); len(left) > 0 || len(names(t, s)) > 0 {
		t.Errorf("left: %v, %v", left, names(t, s))
	}
	fsckClean(t, s)
}

func TestEvictFailedUnlessSomebodyIsInside(t *testing.T) {
	s := open(t, t.TempDir())
	temp, err := s.TempDir("build")
	if err != nil {
		t.Fatal(err)
	}
	dir, err := s.KeepFailed(temp)
	if err != nil {
		t.Fatal(err)
	}
	if err := temp.lock.Close(); err != nil {
		t.Fatal(err)
	}
	inside, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	if ok, err := flock.Try(inside, flock.Exclusive); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if gone := evict(t, s, dir); len(gone.Failed) > 0 {
		t.Error("it went with somebody inside")
	}
	inside.Close()
	if gone := evict(t, s, dir, filepath.Join(s.root, dirContainers, "failed-gone")); len(gone.Failed) != 2 {
		t.Errorf("%+v", gone)
	}
	if left, _ := os.ReadDir(s.path(dirContainers)); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
}

// TestLastUse: a use is noted at most once an hour, and that of a snapshot not
// in the snapshot.
func TestLastUse(t *testing.T) {
	s := open(t, t.TempDir())
	l := addLayer(t, s, map[string]string{"f": "x"})
	desc := publish(t, s, "app:v", l)
	if _, err := s.Snapshots(t.Context(), []oci.Layer{l}); err != nil {
		t.Fatal(err)
	}
	use := func() {
		t.Helper()
		if _, err := s.Image("app:v", nil); err != nil {
			t.Fatal(err)
		}
		info, _ := s.statSnapshot(l.DiffID)
		s.useSnapshot(l.DiffID, pastInfo{info})
	}
	stamp := s.path(dirUsed, l.DiffID.Encoded())
	if _, err := s.Snapshots(t.Context(), []oci.Layer{l}); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Lstat(stamp); err == nil {
		t.Error("the use of a snapshot that was just made is noted")
	}
	use()
	for _, path := range []string{s.BlobPath(desc.Digest), stamp} {
		for by, want := range map[time.Duration]bool{time.Minute: false, 2 * time.Hour: true, -2 * time.Hour: true} {
			before := aged(t, path, by)
			use()
			if info, err := os.Lstat(path); err != nil || info.ModTime().Equal(before) == want {
				t.Errorf("%s, used %v ago: noted %v, want %v (%v)", path, by, !want, want, err)
			}
		}
	}
	at := aged(t, stamp, 5*time.Hour)
	info, _ := s.statSnapshot(l.DiffID)
	if got := s.snapshotUsed(l.DiffID, pastInfo{info}); !got.Equal(at) {
		t.Errorf("last used %v, want %v", got, at)
	}
	s.Close()
	evict(t, s)
	if _, err := os.Lstat(stamp); err == nil {
		t.Error("the note stays when the snapshot goes")
	}
}

// pastInfo is of a file that was changed long ago.
type pastInfo struct{ os.FileInfo }

func (pastInfo) Sys() any           { return nil }
func (pastInfo) ModTime() time.Time { return time.Unix(1, 0) }
