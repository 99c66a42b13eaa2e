package keep

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"docksmith/lib/fetched"
)

// TestLimitsSpareWhatABuildMayRead: what was fetched or asked for within the hour
// stays, and so does the log of a build that runs.
func TestLimitsSpareWhatABuildMayRead(t *testing.T) {
	root := t.TempDir()
	s := open(t, root)
	dir := fetched.New(filepath.Join(root, "cache", "fetched"))
	write := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, make([]byte, layerSize), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := map[string]string{}
	for _, name := range []string{"a", "b"} {
		digits := strings.Repeat(name, 64)
		files[name] = filepath.Join(root, "cache/fetched/sha256", digits[:2], digits)
		write(files[name])
		dir.Use(digits)
		age(t, 100*time.Hour, files[name]) // the stamp says when it was used
	}
	age(t, 2*time.Hour, dir.Stamp(strings.Repeat("b", 64)))
	failed := filepath.Join(root, "containers", "failed-0123")
	write(filepath.Join(failed, "upper", "f"))
	age(t, 3*time.Hour, failed)

	res := collect(t, s, Policy{Capped: true, Grace: 4 * time.Hour})
	if got := kinds(res.Victims); !slices.Equal(got, []string{KindFailed, KindFetched}) {
		t.Errorf("%v went", got)
	}
	if _, err := os.Stat(files["a"]); err != nil {
		t.Error("a file used within the hour:", err)
	}
	for _, gone := range []string{files["b"], failed} {
		if _, err := os.Stat(gone); err == nil {
			t.Error(gone, "is there")
		}
	}
	why := res.Excess(func(n int64) string { return "N" })
	if why == nil || res.Held < layerSize || res.Tagged != 0 {
		t.Errorf("why it is above the cap: %v, %+v", why, res)
	}
	age(t, 2*time.Hour, dir.Stamp(strings.Repeat("a", 64)))
	if res = collect(t, s, Policy{Capped: true}); res.Excess(nil) != nil || res.Over == 0 {
		t.Errorf("with nothing left but the books: %+v", res)
	}
}
