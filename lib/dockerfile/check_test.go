package dockerfile_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"

	"github.com/google/go-cmp/cmp"
)

// TestChecks checks testdata/checks/CASE/Dockerfile and compares the findings
// with want.txt beside it (go test -update writes it). Beside them may be:
// args, build arguments as NAME=VALUE lines; env, what the base image "known"
// sets, likewise; excluded, sources that an ignore file hides.
func TestChecks(t *testing.T) {
	files, err := filepath.Glob("testdata/checks/*/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	found, clean := map[string]bool{}, map[string]bool{}
	for _, file := range files {
		dir := filepath.Dir(file)
		name := filepath.Base(dir)
		t.Run(name, func(t *testing.T) {
			report := dockerfile.Report{File: "Dockerfile", Findings: checkCase(t, dir)}
			for _, f := range report.Findings {
				found[f.Rule] = found[f.Rule] || f.Rule == name
			}
			if rule, ok := strings.CutSuffix(name, "-none"); ok {
				clean[rule] = len(report.Findings) == 0
			}
			var got bytes.Buffer
			if err := report.Write(&got, dockerfile.FormatText); err != nil {
				t.Fatal(err)
			}
			golden(t, filepath.Join(dir, "want.txt"), got.Bytes())
		})
	}
	for _, rule := range dockerfile.Catalogue {
		if !found[rule.Name] || !clean[rule.Name] {
			t.Errorf("testdata/checks has no %s that finds it, or no %s-none that finds nothing", rule.Name, rule.Name)
		}
	}
}

func checkCase(t *testing.T, dir string) []dockerfile.Finding {
	src, err := os.Open(filepath.Join(dir, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	defer src.Close()
	f, err := dockerfile.Parse(src, dockerfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	o := dockerfile.CheckOptions{Args: map[string]string{}}
	for _, line := range caseLines(dir, "args") {
		name, value, _ := strings.Cut(line, "=")
		o.Args[name] = value
	}
	env := caseLines(dir, "env")
	o.Base = func(image string) (dockerfile.Base, bool) {
		return dockerfile.Base{Env: env, OnBuild: []string{"ENV FROM_TRIGGER=x"}}, image == "known"
	}
	excluded := caseLines(dir, "excluded")
	o.Excluded = func(source string) (string, bool) {
		return ".dockerignore:1", slices.Contains(excluded, source)
	}
	rules, err := dockerfile.ParseRules(f.Check)
	if err != nil {
		t.Fatal(err)
	}
	return rules.Select(dockerfile.Check(f, o))
}

func caseLines(dir, name string) []string {
	text, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return nil
	}
	return strings.Split(strings.TrimSpace(string(text)), "\n")
}

func TestParseRules(t *testing.T) {
	for text, want := range map[string]string{
		"":                    "",
		" skip = A , B ":      "",
		"error=1;skip=all":    "",
		"experimental=all":    "",
		"skip":                `option "skip" has no value: write skip=NAME, error=true or experimental=NAME`,
		"skip=A;;":            `option "" has no value: write skip=NAME, error=true or experimental=NAME`,
		"skp=A":               `option "skp" is not one of skip, error, experimental (did you mean skip?)`,
		"error=perhaps":       `error="perhaps" is neither true nor false`,
		"skip=A;error=true;x": `option "x" has no value: write skip=NAME, error=true or experimental=NAME`,
	} {
		got := ""
		if _, err := dockerfile.ParseRules(text); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
	for text, want := range map[string]string{
		"skip=all;experimental=InvalidDefinitionDescription": "",
		"skip=":                   "",
		"skip=StageNameCase":      `there is no check "StageNameCase" (did you mean StageNameCasing?)`,
		"experimental=everything": `there is no check "everything"`,
	} {
		r, err := dockerfile.ParseRules(text)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if err := r.Validate(); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
	}
}

var reported = dockerfile.Report{File: "a b/Dockerfile", Version: "1", Findings: []dockerfile.Finding{
	{Rule: dockerfile.StageNameCasing, Line: 2, Text: `stage name "A" & <b>`},
	{Rule: dockerfile.UndefinedVar, Line: 7, Text: "$x"},
}}

func TestReportJSON(t *testing.T) {
	var b bytes.Buffer
	if err := reported.Write(&b, dockerfile.FormatJSON); err != nil {
		t.Fatal(err)
	}
	want := `{"type":"finding","file":"a b/Dockerfile","line":2,"rule":"StageNameCasing","text":"stage name \"A\" & <b>"}
{"type":"finding","file":"a b/Dockerfile","line":7,"rule":"UndefinedVar","text":"$x"}
{"type":"end","findings":2}
`
	if diff := cmp.Diff(want, b.String()); diff != "" {
		t.Error(diff)
	}
	if err := reported.Write(&b, "xml"); err == nil {
		t.Error("xml is a format")
	}
}

// TestReportSARIF holds what the standard requires of a document.
func TestReportSARIF(t *testing.T) {
	for _, report := range []dockerfile.Report{reported, {File: "/x/<stdin>"}} {
		var b bytes.Buffer
		if err := report.Write(&b, dockerfile.FormatSARIF); err != nil {
			t.Fatal(err)
		}
		var log struct {
			Schema  string `json:"$schema"`
			Version string
			Runs    []struct {
				Tool struct {
					Driver struct {
						Name  string
						Rules []struct{ ID string }
					}
				}
				Results []struct {
					RuleID, Level string
					RuleIndex     int
					Message       struct{ Text string }
					Locations     []struct {
						PhysicalLocation struct {
							ArtifactLocation struct{ URI string }
							Region           struct{ StartLine int }
						}
					}
				}
			}
		}
		if err := json.Unmarshal(b.Bytes(), &log); err != nil {
			t.Fatal(err)
		}
		if log.Version != "2.1.0" || log.Schema == "" || len(log.Runs) != 1 || log.Runs[0].Tool.Driver.Name != "docksmith" || log.Runs[0].Results == nil {
			t.Fatalf("%s", b.Bytes())
		}
		for i, r := range log.Runs[0].Results {
			at, f := r.Locations[0].PhysicalLocation, report.Findings[i]
			if r.RuleID != f.Rule || log.Runs[0].Tool.Driver.Rules[r.RuleIndex].ID != f.Rule || r.Message.Text != f.Text ||
				r.Level != "warning" || at.Region.StartLine != f.Line || at.ArtifactLocation.URI != "a%20b/Dockerfile" {
				t.Errorf("%s", b.Bytes())
			}
		}
	}
}
