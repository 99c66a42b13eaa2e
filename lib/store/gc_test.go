package store

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"docksmith/lib/oci"
)

func TestRemoveKeepsWhatIsShared(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	base := addLayer(t, w, map[string]string{"base": "b"})
	one, two := addLayer(t, w, map[string]string{"f": "1"}), addLayer(t, w, map[string]string{"f": "2"})
	publish(t, w, "one:v", base, one)
	publish(t, w, "two:v", base, two)
	publish(t, w, "also:v", base, two)
	for _, layers := range [][]oci.Layer{{base, one}, {base, two}} {
		if _, err := w.Snapshots(t.Context(), layers); err != nil {
			t.Fatal(err)
		}
	}
	w.Close()
	s := open(t, root)
	if _, err := s.Remove(t.Context(), "nope:v", RemoveOptions{}); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("missing: %v", err)
	}
	if _, err := s.Remove(t.Context(), "one:v", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	chain := oci.ChainID([]digest.Digest{base.DiffID, one.DiffID})
	if _, ok := s.Has(one.Digest); ok || s.HasSnapshot(chain) {
		t.Error("what only one:v had is still there")
	}
	if _, ok := s.Has(base.Digest); !ok || !s.HasSnapshot(base.DiffID) {
		t.Error("the shared layer is gone")
	}
	fsckClean(t, s)
	// The last but one name of an image takes nothing along.
	if res, err := s.Remove(t.Context(), "also:v", RemoveOptions{}); err != nil || len(res.Blobs) > 0 {
		t.Errorf("%+v, %v", res, err)
	}
	if _, err := s.Remove(t.Context(), "two:v", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{dirBlobs, dirSnapshots, dirLayers, dirTemp} {
		if left, _ := os.ReadDir(s.path(dir)); len(left) > 0 {
			t.Errorf("left in %s: %v", dir, left)
		}
	}
}

func TestRemoveByDigestWantsForceForSeveralNames(t *testing.T) {
	s := open(t, t.TempDir())
	a := publish(t, s, "one:v", addLayer(t, s, map[string]string{"f": "a"}))
	if err := s.Tag(t.Context(), a, ref(t, "two:v")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Remove(t.Context(), a.Digest.Encoded()[:12], RemoveOptions{}); err == nil || len(names(t, s)) != 2 {
		t.Errorf("%v", err)
	}
	res, err := s.Remove(t.Context(), a.Digest.Encoded()[:12], RemoveOptions{Force: true})
	if err != nil || len(res.Names) != 2 || len(names(t, s)) != 0 {
		t.Errorf("%+v, %v", res, err)
	}
}

func TestCollectionSparesWhatIsNeeded(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	named := addLayer(t, w, map[string]string{"f": "named"})
	publish(t, w, "app:v", named)
	loose := addLayer(t, w, map[string]string{"f": "loose"})
	kept := addLayer(t, w, map[string]string{"f": "kept"})
	s := open(t, root)
	count := func(o GCOptions) int {
		t.Helper()
		res, err := s.GC(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		return len(res.Blobs)
	}
	if n := count(GCOptions{}); n != 0 {
		t.Errorf("%d blobs that a living process holds were removed", n)
	}
	w.Close()
	if n := count(GCOptions{Grace: time.Hour}); n != 0 {
		t.Errorf("%d young blobs were removed", n)
	}
	if n := count(GCOptions{DryRun: true, Keep: []digest.Digest{kept.DiffID}}); n != 1 {
		t.Errorf("dry run: %d", n)
	}
	if n := count(GCOptions{Keep: []digest.Digest{kept.DiffID}}); n != 1 {
		t.Errorf("%d removed, want the loose one", n)
	}
	if _, ok := s.Has(loose.Digest); ok {
		t.Error("the loose layer is still there")
	}
	for _, l := range []oci.Layer{named, kept} {
		if _, ok := s.Has(l.Digest); !ok {
			t.Errorf("%s is gone", l.Digest)
		}
	}
}

func TestBundlesKeepTheirSnapshots(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	l := addLayer(t, w, map[string]string{"f": "x"})
	publish(t, w, "app:v", l)
	img, err := w.Image("app:v", nil)
	if err != nil {
		t.Fatal(err)
	}
	inside, err := w.NewContainer()
	if err != nil {
		t.Fatal(err)
	}
	outside := filepath.Join(t.TempDir(), "bundle")
	for _, dir := range []string{inside, outside} {
		if err := w.WriteBundle(t.Context(), img, dir, oci.RuntimeOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.WriteBundle(t.Context(), img, outside, oci.RuntimeOptions{}); err == nil {
		t.Error("wrote into a directory that is not empty")
	}
	w.Close()
	s := open(t, root)
	if _, err := s.Remove(t.Context(), "app:v", RemoveOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{inside, outside} {
		if !s.HasSnapshot(l.DiffID) {
			t.Fatal("the snapshot is gone")
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Fatal(err)
		}
		if _, err := s.GC(t.Context(), GCOptions{}); err != nil {
			t.Fatal(err)
		}
	}
	if s.HasSnapshot(l.DiffID) {
		t.Error("the snapshot is still there")
	}
}

func TestLowersRoundTrip(t *testing.T) {
	for _, dirs := range [][]string{nil, {"/a"}, {"/a", "/b"}, {`/a:b`, `/c\d`, `/e\:f\`}} {
		if got := SplitLowers(JoinLowers(dirs)); !slices.Equal(got, dirs) {
			t.Errorf("%q: %q", dirs, got)
		}
	}
}

func TestPowerLossDropsWhatWasNotSynced(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	a := publish(t, w, "app:v", addLayer(t, w, map[string]string{"f": "synced"}))
	loose := addLayer(t, w, map[string]string{"f": "unsynced"})
	if _, err := w.Snapshots(t.Context(), []oci.Layer{loose}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	notes := w.path(dirUnsynced, w.bootID())
	if err := os.Rename(notes, w.path(dirUnsynced, "another-boot")); err != nil {
		t.Fatal(err)
	}
	s := open(t, root)
	if _, ok := s.Has(loose.Digest); ok || s.HasSnapshot(loose.DiffID) {
		t.Error("what was not synced is still there")
	}
	if d, err := s.Resolve("app:v"); err != nil || d.Digest != a.Digest {
		t.Errorf("%v, %v", d, err)
	}
	fsckClean(t, s)
	if left, _ := os.ReadDir(s.path(dirUnsynced)); len(left) > 0 {
		t.Errorf("notes left: %v", left)
	}
}

func TestNotesOfUnfinishedWorkOutliveASync(t *testing.T) {
	s := open(t, t.TempDir())
	later := digest.FromString("to come")
	if err := s.markUnsynced(kindBlob, later); err != nil {
		t.Fatal(err)
	}
	publish(t, s, "app:v", addLayer(t, s, map[string]string{"f": "x"}))
	notes, err := os.ReadDir(s.path(dirUnsynced, s.bootID()))
	if err != nil || len(notes) != 1 || !strings.HasSuffix(notes[0].Name(), later.Encoded()) {
		t.Errorf("%v, %v", notes, err)
	}
}

func TestTempsOfTheDeadAreSwept(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	living, err := s.TempDir("living")
	if err != nil {
		t.Fatal(err)
	}
	defer living.Close()
	dead, err := s.TempDir("dead")
	if err != nil {
		t.Fatal(err)
	}
	// Directories without mode bits are what overlay leaves in its work directory.
	if err := os.MkdirAll(filepath.Join(dead.Path, "work", "work"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(filepath.Join(dead.Path, "work"), 0); err != nil {
		t.Fatal(err)
	}
	if err := unix.Flock(int(dead.lock.Fd()), unix.LOCK_UN); err != nil {
		t.Fatal(err)
	}
	other := open(t, root)
	temp, err := other.TempDir("other") // sweeps first
	if err != nil {
		t.Fatal(err)
	}
	defer temp.Close()
	if _, err := os.Stat(dead.Path); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the dead one: %v", err)
	}
	if _, err := os.Stat(living.Path); err != nil {
		t.Errorf("the living one: %v", err)
	}
}

func TestFsckFinds(t *testing.T) {
	s := open(t, t.TempDir())
	good := addLayer(t, s, map[string]string{"f": "x"})
	bad := addLayer(t, s, map[string]string{"f": "y"})
	gone := addLayer(t, s, map[string]string{"f": "z"})
	publish(t, s, "good:v", good)
	publish(t, s, "bad:v", bad)
	publish(t, s, "gone:v", gone)
	lie := good
	lie.DiffID = digest.FromString("lie")
	publish(t, s, "lie:v", lie)
	raw, err := os.ReadFile(s.BlobPath(bad.Digest))
	if err != nil {
		t.Fatal(err)
	}
	raw[len(raw)/2] ^= 1
	overwrite(t, s.BlobPath(bad.Digest), string(raw))
	if err := os.Remove(s.BlobPath(gone.Digest)); err != nil {
		t.Fatal(err)
	}
	for _, stray := range []string{"oci/x", dirBlobs + "/x", dirSnapshots + "/x"} {
		if err := os.WriteFile(s.path(stray), nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := s.Fsck(t.Context(), FsckOptions{})
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, f := range found {
		got = append(got, f.String())
	}
	all := strings.Join(got, "\n")
	for _, want := range []string{
		"blob " + bad.Digest.String(), "image gone:v: blob " + gone.Digest.String() + " is missing",
		"layer " + good.Digest.String() + ": its content is", "layout oci/x", "blob " + dirBlobs + "/x", "snapshot snapshots/x",
	} {
		if !strings.Contains(all, want) {
			t.Errorf("not found: %s", want)
		}
	}
	if len(found) != 6 {
		t.Errorf("%d findings:\n%s", len(found), all)
	}
}

// TestCollectionMeasuresWhatItTakes: as much is said to go as goes.
func TestCollectionMeasuresWhatItTakes(t *testing.T) {
	root := t.TempDir()
	w := open(t, root)
	l := addLayer(t, w, map[string]string{"f": strings.Repeat("x", 50_000)})
	if _, err := w.Snapshots(t.Context(), []oci.Layer{l}); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s := open(t, root)
	would, err := s.GC(t.Context(), GCOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	did, err := s.GC(t.Context(), GCOptions{})
	if err != nil || len(did.Snapshots) != 1 || did.Snapshots[0].Bytes < 50_000 || did.Bytes < 50_000 {
		t.Errorf("%+v, %v", did, err)
	}
	if would.Bytes != did.Bytes {
		t.Errorf("%d would go, %d went", would.Bytes, did.Bytes)
	}
}
