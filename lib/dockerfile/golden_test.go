package dockerfile_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"os"
	"path/filepath"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"

	"github.com/google/go-cmp/cmp"
)

var update = flag.Bool("update", false, "rewrite testdata/*/want.json")

// TestGolden parses testdata/CASE/Dockerfile and compares the plan, or the
// error, with want.json beside it.
func TestGolden(t *testing.T) {
	dirs, err := filepath.Glob("testdata/*/Dockerfile")
	if err != nil || len(dirs) < 60 {
		t.Fatalf("found %d cases: %v", len(dirs), err)
	}
	for _, file := range dirs {
		dir := filepath.Dir(file)
		t.Run(filepath.Base(dir), func(t *testing.T) {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(dir, "want.json"), outcome(t, src))
		})
	}
}

// outcome is what want.json holds.
func outcome(t *testing.T, src []byte) []byte {
	var line, b bytes.Buffer
	f, err := dockerfile.Parse(bytes.NewReader(src), dockerfile.Options{})
	if err == nil {
		err = plan.Encode(&line, plan.New(f))
	} else {
		e := json.NewEncoder(&line)
		e.SetEscapeHTML(false)
		err = e.Encode(map[string]string{"error": err.Error()})
	}
	if err == nil {
		err = json.Indent(&b, line.Bytes(), "", "  ")
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func golden(t *testing.T, file string, got []byte) {
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s (-want +got):\n%s", file, diff)
	}
}
