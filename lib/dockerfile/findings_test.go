package dockerfile_test

import (
	"fmt"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
)

// TestManyFindings: of one check the first hundred of the file are told, though
// stages are not visited in its order, and then what is left out.
func TestManyFindings(t *testing.T) {
	users := func(n int) string { return strings.Repeat("USER $x\n", n) }
	for name, test := range map[string]struct {
		src   string
		first int // the line of the first finding
		more  string
	}{
		"none left out": {"FROM scratch\n" + users(100), 2, ""},
		"one":           {"FROM scratch\n" + users(101), 2, "102: and 1 more, the last on line 102"},
		"many":          {"FROM scratch\n" + users(1000), 2, "102: and 900 more, the last on line 1001"},
		"children first": {
			"FROM scratch AS a\nFROM scratch\n" + users(150) + "FROM a\n" + users(350),
			3, "103: and 400 more, the last on line 503",
		},
		"on one line": {"FROM scratch\n" + users(40) + "EXPOSE 1\nVOLUME $y $y $z" + "\n" + users(100), 2, "102: and 42 more, the last on line 143"},
	} {
		f, err := dockerfile.Parse(strings.NewReader(test.src), dockerfile.Options{})
		if err != nil {
			t.Fatal(err)
		}
		found := dockerfile.Check(f, dockerfile.CheckOptions{})
		if test.more != "" {
			last := found[len(found)-1]
			if got := fmt.Sprintf("%d: %s", last.Line, last.Text); got != test.more || last.Rule != dockerfile.UndefinedVar {
				t.Errorf("%s: got %s, want %s", name, got, test.more)
			}
			found = found[:len(found)-1]
		}
		if len(found) != 100 || found[0].Line != test.first {
			t.Errorf("%s: %d findings from line %d on", name, len(found), found[0].Line)
		}
		for i, f := range found {
			if !strings.HasPrefix(f.Text, "$") || i > 0 && f.Line < found[i-1].Line {
				t.Errorf("%s: finding %d is %+v", name, i, f)
			}
		}
	}
}

// TestForgets: a name is told of once for each instruction.
func TestForgets(t *testing.T) {
	f, err := dockerfile.Parse(strings.NewReader("FROM scratch\nVOLUME $x $x $y\nUSER $x\n"), dockerfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, f := range dockerfile.Check(f, dockerfile.CheckOptions{}) {
		got += fmt.Sprintln(f.Line, f.Text)
	}
	if want := "2 $x is not defined here\n2 $y is not defined here\n3 $x is not defined here\n"; got != want {
		t.Errorf("got %s", got)
	}
}
