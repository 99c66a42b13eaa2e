package dockerfile_test

import (
	"bytes"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"

	"github.com/google/go-cmp/cmp"
)

// FuzzCheck: whatever parses can be checked; findings are of known rules, in
// order, on lines of the file, and one line of text each; the same file gives
// the same findings; and a plan's reader finds what its writer did.
func FuzzCheck(f *testing.F) {
	for _, src := range dockerfiles(f) {
		f.Add(src, "DIR=/x")
	}
	f.Fuzz(func(t *testing.T, src []byte, arg string) {
		file, err := dockerfile.Parse(bytes.NewReader(src), dockerfile.Options{})
		if err != nil {
			return
		}
		name, value, _ := strings.Cut(arg, "=")
		o := dockerfile.CheckOptions{
			Args:     map[string]string{name: value},
			Base:     func(image string) (dockerfile.Base, bool) { return dockerfile.Base{Env: []string{arg}}, image == value },
			Excluded: func(source string) (string, bool) { return "rule", source == value },
		}
		found := dockerfile.Check(file, o)
		checkFindings(t, found, bytes.Count(src, []byte("\n"))+1)
		if diff := cmp.Diff(found, dockerfile.Check(file, o)); diff != "" {
			t.Errorf("the second time:\n%s", diff)
		}
		if diff := cmp.Diff(found, plan.Check(file, dockerfile.CheckOptions{}).Findings(o)); diff != "" {
			t.Errorf("from the plan:\n%s", diff)
		}
	})
}

func checkFindings(t *testing.T, found []dockerfile.Finding, lines int) {
	t.Helper()
	last := 1
	for _, f := range found {
		if _, ok := dockerfile.FindRule(f.Rule); !ok || f.Line < last || f.Line > lines {
			t.Errorf("%+v after line %d, of %d", f, last, lines)
		}
		last = f.Line
		if f.Text == "" || len(f.Text) > 2000 || !utf8.ValidString(f.Text) || strings.ContainsFunc(f.Text, unicode.IsControl) {
			t.Errorf("text %q", f.Text)
		}
	}
}

// FuzzWord: whatever the word and its variables, expansion ends without a
// panic, and what Check refuses outside of patterns does not expand.
func FuzzWord(f *testing.F) {
	for _, word := range []string{
		"$a", "${a:-b}", "${a#*x}", "${a//x/$b}", `"$a"'$b'\$c`, "${a%%${b}*}", "<<'E'", "${a:?x}", "a b\tc", "${a/\\//x}",
	} {
		f.Add(word, "value", "", false)
	}
	for _, word := range writtenWords(f) {
		f.Add(word, "value", "", false)
	}
	f.Fuzz(func(t *testing.T, word, a, b string, backtick bool) {
		x := dockerfile.Expander{Escape: '\\'}
		if backtick {
			x.Escape = '`'
		}
		env := func(name string) (string, bool) {
			switch name {
			case "a":
				return a, true
			case "b":
				return b, b != ""
			}
			return "", false
		}
		whole, err := x.Word(word, env)
		// What a variable puts into a pattern may make it a good one.
		if bad := x.Check(word); bad != nil && err == nil && !strings.ContainsAny(word, "#%/") {
			t.Errorf("%q is refused, %v, and expands to %q", word, bad, whole.Value)
		}
		if _, err := x.Words(word, env); err == nil && utf8.ValidString(word) && utf8.ValidString(a) && utf8.ValidString(b) && !utf8.ValidString(whole.Value) {
			t.Errorf("%q expands to %q", word, whole.Value)
		}
		if _, err := x.Text(word, env); err != nil && strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("an error of more lines: %q", err)
		}
	})
}
