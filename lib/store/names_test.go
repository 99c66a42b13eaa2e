package store

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	"golang.org/x/sys/unix"

	"docksmith/lib/oci"
)

func names(t testing.TB, s *Store) []string {
	t.Helper()
	list, err := s.List()
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range list {
		if e.Err != nil {
			t.Errorf("%s: %v", e.Name, e.Err)
		}
		out = append(out, e.Name)
	}
	return out
}

func TestResolve(t *testing.T) {
	s := open(t, t.TempDir())
	a := publish(t, s, "app:v1", addLayer(t, s, map[string]string{"f": "a"}))
	b := publish(t, s, "localhost:5000/app", addLayer(t, s, map[string]string{"f": "b"}))
	unnamed := writeImage(t, s, addLayer(t, s, map[string]string{"f": "c"}))
	tests := []struct {
		ref  string
		want digest.Digest
	}{
		{"app:v1", a.Digest},
		{"app@" + a.Digest.String(), a.Digest},
		{"app:v1@" + a.Digest.String(), a.Digest},
		{"localhost:5000/app", b.Digest},
		{"localhost:5000/app:latest", b.Digest},
		{a.Digest.String(), a.Digest},
		{a.Digest.Encoded(), a.Digest},
		{a.Digest.Encoded()[:12], a.Digest},
		{"sha256:" + b.Digest.Encoded()[:7], b.Digest},
		{unnamed.Digest.String(), unnamed.Digest},
		{"app", ""},
		{"ap:v1", ""},
		{"localhost:5000/app:v2", ""},
		{"sha256:" + strings.Repeat("0", 64), ""},
		{"app:v1@sha256:" + strings.Repeat("0", 64), ""},
	}
	for _, tt := range tests {
		d, err := s.Resolve(tt.ref)
		if tt.want == "" && !errors.Is(err, oci.ErrNotFound) || tt.want != "" && (err != nil || d.Digest != tt.want) {
			t.Errorf("%s: %s, %v; want %q", tt.ref, d.Digest, err, tt.want)
		}
	}
	var missing *NotFoundError
	if _, err := s.Resolve("ap:v1"); !errors.As(err, &missing) || !slices.Equal(missing.Nearest, []string{"app:v1"}) {
		t.Errorf("nearest: %v", err)
	}
}

func TestTagMovesNamesAndKeepsTimes(t *testing.T) {
	s := open(t, t.TempDir())
	a := writeImage(t, s, addLayer(t, s, map[string]string{"f": "a"}))
	b := writeImage(t, s, addLayer(t, s, map[string]string{"f": "b"}))
	made := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	if err := s.tagAt(t.Context(), made, tagging{desc: a}); err != nil {
		t.Fatal(err)
	}
	if got := names(t, s); !slices.Equal(got, []string{""}) {
		t.Errorf("published without a name: %q", got)
	}
	if err := s.Tag(t.Context(), a, ref(t, "x:1"), ref(t, "y")); err != nil {
		t.Fatal(err)
	}
	list, err := s.List()
	if err != nil || len(list) != 2 || !list[0].Created.Equal(made) || !list[1].Created.Equal(made) {
		t.Errorf("%+v, %v: the first time is not kept", list, err)
	}
	if err := s.Tag(t.Context(), b, ref(t, "x:1")); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Resolve("x:1"); err != nil || d.Digest != b.Digest {
		t.Errorf("%v, %v", d, err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"x:1", "y:latest"}) {
		t.Errorf("%q", got)
	}
}

func TestTagWritesNothingWhenNothingChanges(t *testing.T) {
	s := open(t, t.TempDir())
	a := publish(t, s, "x:1", addLayer(t, s, map[string]string{"f": "a"}))
	before, _ := os.Stat(s.path(fileIndex))
	if err := s.Tag(t.Context(), a, ref(t, "x:1")); err != nil {
		t.Fatal(err)
	}
	after, _ := os.Stat(s.path(fileIndex))
	if !os.SameFile(before, after) {
		t.Error("index.json was replaced")
	}
}

func TestTagRefusesTornImages(t *testing.T) {
	s := open(t, t.TempDir())
	l := addLayer(t, s, map[string]string{"f": "a"})
	a := writeImage(t, s, l)
	if err := os.Remove(s.BlobPath(l.Digest)); err != nil {
		t.Fatal(err)
	}
	if err := s.Tag(t.Context(), a, ref(t, "x:1")); !errors.Is(err, oci.ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestEntriesOfOtherToolsAreUnderstoodAndKept(t *testing.T) {
	s := open(t, t.TempDir())
	a := writeImage(t, s, addLayer(t, s, map[string]string{"f": "a"}))
	foreign := oci.Descriptor{MediaType: a.MediaType, Digest: a.Digest, Size: a.Size, Annotations: map[string]string{oci.AnnotationRefName: "theirs", "org.example.x": "y"}}
	raw, err := json.Marshal(oci.NewIndex([]oci.Descriptor{foreign}))
	if err != nil {
		t.Fatal(err)
	}
	overwrite(t, s.path(fileIndex), string(raw))
	if d, err := s.Resolve("theirs"); err != nil || d.Digest != a.Digest {
		t.Errorf("%v, %v", d, err)
	}
	if err := s.Tag(t.Context(), a, ref(t, "ours:1")); err != nil {
		t.Fatal(err)
	}
	text, _ := os.ReadFile(s.path(fileIndex))
	if !strings.Contains(string(text), `"org.example.x":"y"`) {
		t.Errorf("lost an annotation: %s", text)
	}
	if _, err := s.Remove(t.Context(), "theirs", RemoveOptions{}); err != nil {
		t.Error(err)
	}
	if got := names(t, s); !slices.Equal(got, []string{"ours:1"}) {
		t.Errorf("%q", got)
	}
}

func TestTwentyWritersAtOnce(t *testing.T) {
	root := t.TempDir()
	var all sync.WaitGroup
	for i := range 20 {
		all.Go(func() {
			s, err := Open(root) // a store each, as processes have
			if err != nil {
				t.Error(err)
				return
			}
			defer s.Close()
			l := addLayer(t, s, map[string]string{"f": strconv.Itoa(i % 3)})
			publish(t, s, "app:v"+strconv.Itoa(i), l)
			publish(t, s, "all", l)
			if i%4 == 0 {
				if _, err := s.GC(t.Context(), GCOptions{}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	s := open(t, root)
	if got := names(t, s); len(got) != 21 {
		t.Errorf("%d names: %q", len(got), got)
	}
	fsckClean(t, s)
}

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
	found, err := s.Fsck(t.Context())
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
