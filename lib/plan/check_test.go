package plan_test

import (
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"

	"github.com/google/go-cmp/cmp"
)

// TestFindings: what only the source tells comes with the plan, what depends on
// the build is found again, and edited warnings are taken as they are.
func TestFindings(t *testing.T) {
	f, err := dockerfile.Parse(strings.NewReader("FROM scratch\nENV A b\nARG D=rel\nWORKDIR $D\n"), dockerfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.Decode(strings.NewReader(encode(t, plan.Check(f, dockerfile.CheckOptions{}))))
	if err != nil {
		t.Fatal(err)
	}
	p.Warnings = append(p.Warnings, plan.Warning{Rule: "Foreign", Line: 1, Text: "x"})
	rules := func(o dockerfile.CheckOptions) (names []string) {
		for _, f := range p.Findings(o) {
			names = append(names, f.Rule)
		}
		return names
	}
	want := []string{"Foreign", dockerfile.LegacyKeyValueFormat, dockerfile.WorkdirRelativePath}
	if diff := cmp.Diff(want, rules(dockerfile.CheckOptions{})); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(want[:2], rules(dockerfile.CheckOptions{Args: map[string]string{"D": "/abs"}})); diff != "" {
		t.Error(diff)
	}
}

func TestWarningErrors(t *testing.T) {
	whole := strings.ReplaceAll(wanted, "\n", "")
	for members, want := range map[string]string{
		`"warnings":[{"rule":"X","line":0,"text":"t"}]`:       "warnings[0]: line 0 is no line",
		`"warnings":[{"rule":"X","line":1,"text":"a\u001b"}]`: "warnings[0]: rule and text are not one line each",
		`"warnings":[{"line":1,"text":"t"}]`:                  "warnings[0]: rule and text are not one line each",
		`"check":"sometimes"`:                                 `check: option "sometimes" has no value: write skip=NAME, error=true or experimental=NAME`,
	} {
		_, err := plan.Decode(strings.NewReader(strings.Replace(whole, `"check":"skip=all"`, members, 1)))
		if err == nil || err.Error() != "read plan: "+want {
			t.Errorf("%s: got %v, want %s", members, err, want)
		}
	}
}
