package makefile

import (
	"bytes"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// targets are the names of the steps' files, in their order.
func targets(t *testing.T, text string) []string {
	t.Helper()
	f, err := dockerfile.Parse(strings.NewReader(text), dockerfile.Options{Name: "Dockerfile"})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	if err := Write(&b, plan.New(f), Options{File: "Dockerfile"}); err != nil {
		t.Fatal(err)
	}
	var list []string
	for line := range strings.Lines(b.String()) {
		if name, _, ok := strings.Cut(line, ": $(STEPS_DIR)/flags "); ok && strings.HasPrefix(name, "$") {
			list = append(list, strings.TrimPrefix(name, "$(STEPS_DIR)/"))
		}
	}
	return list
}

const twoStages = "ARG V=1\nFROM base AS first\nRUN one\nCOPY <<E /f\ntext\nE\nFROM base AS other\nRUN other\nFROM base\nCOPY --from=first /f /\nCMD x\n"

// TestNamesSayWhatDiffers edits one thing: the files of those steps that it can
// make a difference to have other names, and no others.
func TestNamesSayWhatDiffers(t *testing.T) {
	had := targets(t, twoStages)
	if len(had) != 6 { // "other" is not needed
		t.Fatalf("%d targets: %s", len(had), had)
	}
	for _, c := range []struct {
		old, new string
		same     int // how many steps stay what they were
	}{
		{"RUN one", "RUN two", 1 + 1},
		{"text", "Text", 2 + 1},
		{"RUN other", "RUN another", 6},
		{"CMD x", "CMD y", 5},
		{"RUN one", "# a comment\n\nRUN one", 6},
		{"COPY --from=first /f /", "COPY --from=0 /f /", 4},
		{"ARG V=1", "ARG V=2", 0},
		{"FROM base AS first", "FROM base2 AS first", 1},
	} {
		same := 0
		for i, name := range targets(t, strings.Replace(twoStages, c.old, c.new, 1)) {
			if name == had[i] {
				same++
			}
		}
		if same != c.same {
			t.Errorf("%q for %q: %d are the same, want %d", c.new, c.old, same, c.same)
		}
	}
}

func TestBaseByArgument(t *testing.T) {
	had := targets(t, "ARG N=fir\nFROM base AS first\nRUN one\nFROM ${N}st\nRUN two\n")
	if now := targets(t, "ARG N=fir\nFROM base AS first\nRUN 1\nFROM ${N}st\nRUN two\n"); len(had) != 4 || now[2] == had[2] {
		t.Errorf("%s, then %s: the stage that FROM names by an argument is not needed", had, now)
	}
}

func TestComment(t *testing.T) {
	for text, want := range map[string]string{
		"a\nb\tc":                "a b c",
		`ends so \`:              "ends so",
		"\x1b[1m\u202e":          "?[1m?",
		strings.Repeat("x", 200): strings.Repeat("x", 100) + "...",
	} {
		if got := comment(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}
