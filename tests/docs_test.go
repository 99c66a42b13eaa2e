package tests

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

type program struct {
	Name  string `json:"name"`
	Flags []struct {
		Name   string `json:"name"`
		Letter string `json:"letter"`
	} `json:"flags"`
	Commands []program `json:"commands"`
}

func programs(t *testing.T) []program {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(top, "bin", "ds-*"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("no programs: %v", err)
	}
	var list []program
	for _, path := range paths {
		out, err := exec.Command(path, "--dump-cli").Output()
		if err != nil {
			t.Fatalf("%s --dump-cli: %v", path, err)
		}
		var p program
		if err := json.Unmarshal(out, &p); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		list = append(list, p)
	}
	return list
}

func page(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "man", name))
	if err != nil {
		t.Fatal(err)
	}
	// mdoc writes a hyphen of an option as "-" or "\-", and Fl adds one.
	return strings.ReplaceAll(string(text), `\-`, "-")
}

func TestManualNamesEveryFlagAndCommand(t *testing.T) {
	for _, p := range programs(t) {
		checkFlags(t, page(t, p.Name+".1"), p.Name, p)
	}
}

func checkFlags(t *testing.T, text, path string, p program) {
	for _, f := range p.Flags {
		long := regexp.MustCompile(`(?m)(Fl -|--)` + regexp.QuoteMeta(f.Name) + `\b`)
		if !long.MatchString(text) {
			t.Errorf("%s: the manual lacks --%s", path, f.Name)
		}
		short := regexp.MustCompile(`Fl ` + f.Letter + `\b`)
		if f.Letter != "" && !short.MatchString(text) {
			t.Errorf("%s: the manual lacks -%s", path, f.Letter)
		}
	}
	for _, sub := range p.Commands {
		if !regexp.MustCompile(`(?m)(Cm|Ic|Nm [a-z-]+) ` + regexp.QuoteMeta(sub.Name) + `\b`).MatchString(text) {
			t.Errorf("%s: the manual lacks the command %s", path, sub.Name)
		}
		checkFlags(t, text, path+" "+sub.Name, sub)
	}
}

var sections = []string{"NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXIT STATUS", "ENVIRONMENT", "EXAMPLES", "SEE ALSO"}

func TestManualHasItsSections(t *testing.T) {
	for _, p := range programs(t) {
		text := page(t, p.Name+".1")
		for _, s := range sections {
			if !strings.Contains(text, "\n.Sh "+s+"\n") {
				t.Errorf("%s.1: no section %s", p.Name, s)
			}
		}
	}
}

func TestManualIsWellFormed(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		t.Skip("mandoc is not installed: the form of the manual is not checked")
	}
	pages, err := filepath.Glob("../man/*.[157]")
	if err != nil || len(pages) == 0 {
		t.Fatalf("no pages: %v", err)
	}
	out, err := exec.Command("mandoc", append([]string{"-Tlint", "-Wwarning"}, pages...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("%v\n%s", err, out)
	}
}

// variable finds the environment variables that a source file reads.
var variable = regexp.MustCompile(`(?:Getenv|LookupEnv)\("((?:DOCKSMITH|SOURCE_DATE|XDG|NO_COLOR|CLICOLOR|FORCE_COLOR)[A-Z_]*)"\)`)

func TestManualNamesEveryVariable(t *testing.T) {
	overview := page(t, "docksmith.7")
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" || strings.HasSuffix(path, "_test.go") {
			return err
		}
		text, err := os.ReadFile(path)
		for _, m := range variable.FindAllSubmatch(text, -1) {
			if !bytes.Contains([]byte(overview), m[1]) {
				t.Errorf("docksmith.7 lacks %s, which %s reads", m[1], path)
			}
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}
