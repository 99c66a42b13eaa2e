package fetch

import (
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"docksmith/lib/dockerfile"
)

// ago makes what a URL or a mirror gave used d ago.
func ago(t *testing.T, name string, d time.Duration) {
	t.Helper()
	at := time.Now().Add(-d)
	if err := os.Chtimes(name, at, at); err != nil {
		t.Fatal(err)
	}
}

func pruned(t *testing.T, k *Kept, o PruneOptions) (names []string) {
	t.Helper()
	list, err := k.Prune(o)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range list {
		names = append(names, p.Name)
	}
	return names
}

func TestPruneFiles(t *testing.T) {
	k := openKept(t)
	url := serve(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("ETag", `"x"`)
		_, _ = w.Write([]byte(strings.Repeat(r.URL.Path, 100)))
	})
	paths := map[string]string{}
	for i, name := range []string{"old", "mid", "new"} {
		f, err := k.File(t.Context(), url+"/"+name, Options{})
		if err != nil {
			t.Fatal(err)
		}
		paths[name] = f.Path
		ago(t, f.Path, 1000*time.Hour) // says nothing: it was used since
		ago(t, k.kept().Stamp(filepath.Base(f.Path)), time.Duration(3-i)*10*time.Hour)
	}
	rel := func(name string) string {
		r, _ := filepath.Rel(k.dir, paths[name])
		return r
	}
	if got := pruned(t, k, PruneOptions{Unused: DefaultUnused}); got != nil {
		t.Errorf("by default %q went", got)
	}
	if got := pruned(t, k, PruneOptions{Unused: 25 * time.Hour, DryRun: true}); !slices.Equal(got, []string{rel("old")}) {
		t.Errorf("%q would go, want %s", got, rel("old"))
	}
	if len(left(t, k)) != 9 {
		t.Errorf("a dry run removed something: %q", left(t, k))
	}
	if got := pruned(t, k, PruneOptions{Unused: 25 * time.Hour}); !slices.Equal(got, []string{rel("old")}) {
		t.Errorf("%q went, want %s", got, rel("old"))
	}
	if l := left(t, k); len(l) != 6 { // file, record and stamp of two
		t.Errorf("left are %q", l)
	}
	if locks, _ := filepath.Glob(filepath.Join(k.dir, "urls", "*.lock")); len(locks) != 2 {
		t.Errorf("left are %q", locks)
	}
	// By size: what was used last stays, however it came there.
	if _, err := k.File(t.Context(), url+"/mid", Options{}); err != nil {
		t.Fatal(err)
	}
	if got := pruned(t, k, PruneOptions{Unused: DefaultUnused, MaxBytes: 400}); !slices.Equal(got, []string{rel("new")}) {
		t.Errorf("%q went, want %s", got, rel("new"))
	}
	// Used within the hour: only who says so removes it.
	if got := pruned(t, k, PruneOptions{Unused: 2 * time.Hour, MaxBytes: 1}); got != nil {
		t.Errorf("%q went", got)
	}
	if got := pruned(t, k, PruneOptions{}); !slices.Equal(got, []string{rel("mid")}) || len(left(t, k)) != 0 {
		t.Errorf("%q went, left are %q", got, left(t, k))
	}
	if f, err := k.File(t.Context(), url+"/mid", Options{}); err != nil || f.Kept {
		t.Errorf("fetched again: %+v, %v", f, err)
	}
}

func TestPruneMirrors(t *testing.T) {
	k := openKept(t)
	o := newOrigin(t)
	o.repo("a.git", map[string]string{"f": "1"})
	if _, _, err := tree(t, k, o.remote("a.git"), Options{}); err != nil {
		t.Fatal(err)
	}
	r, held, err := k.mirror(o.remote("a.git"), Options{})
	if err != nil {
		t.Fatal(err)
	}
	lockFile := filepath.Join(filepath.Dir(r.dir), "lock")
	if got := pruned(t, k, PruneOptions{}); got != nil {
		t.Errorf("a mirror in use went: %q", got)
	}
	held.Close()
	ago(t, lockFile, 26*time.Hour)
	if got := pruned(t, k, PruneOptions{Unused: 27 * time.Hour}); got != nil {
		t.Errorf("%q went", got)
	}
	if got := pruned(t, k, PruneOptions{Unused: 25 * time.Hour}); len(got) != 1 || len(left(t, k)) != 0 {
		t.Errorf("%q went, left are %q", got, left(t, k))
	}
	if _, dir, err := tree(t, k, o.remote("a.git"), Options{}); err != nil || !strings.Contains(treeOf(t, dir), "f") {
		t.Errorf("after it: %s, %v", treeOf(t, dir), err)
	}
}

// TestPruneBesideBuilds: who waits for a lock that goes with its mirror takes the
// next one.
func TestPruneBesideBuilds(t *testing.T) {
	k := openKept(t)
	remote, err := dockerfile.ParseRemote("https://h/a.git")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan bool)
	inside := make(chan bool, 1)
	for range 8 {
		go func() {
			defer func() { done <- true }()
			for range 200 {
				r, held, err := k.mirror(remote, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				select {
				case inside <- true:
				default:
					t.Error("two have one mirror")
				}
				if err := os.MkdirAll(r.dir, 0o700); err != nil {
					t.Error(err)
				}
				<-inside
				held.Close()
			}
		}()
	}
	for ended := 0; ended < 8; {
		select {
		case <-done:
			ended++
		default:
			if _, err := k.Prune(PruneOptions{}); err != nil {
				t.Fatal(err)
			}
		}
	}
}
