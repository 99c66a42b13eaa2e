package dockerfile_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"

	"github.com/google/go-cmp/cmp"
)

// names are the variables of testdata/words.
var names = map[string]string{
	"a": "hello", "b": "", "p": "/usr/lib/x.tar.gz", "s": "a b  c", "q": `x"y'z`, "bs": `a\b`,
	"st": "a*b?c", "n": "1", "A": "up", "a_1": "under", "é": "accent",
}

func lookup(name string) (string, bool) {
	v, ok := names[name]
	return v, ok
}

// TestWords reads testdata/words: a word, a tab, and what it means.
func TestWords(t *testing.T) {
	const file = "testdata/words"
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var got strings.Builder
	rows := 0
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		if strings.HasPrefix(line, "#") {
			fmt.Fprintln(&got, line)
			continue
		}
		rows++
		word, _, _ := strings.Cut(line, "\t")
		e, err := dockerfile.Expander{}.Word(word, lookup)
		if err != nil {
			e.Value = "error: " + errors.Unwrap(err).Error()
		}
		fmt.Fprintf(&got, "%s\t%s\n", word, e.Value)
	}
	if rows < 150 {
		t.Errorf("%d rows", rows)
	}
	golden(t, file, []byte(got.String()))
}

func TestWordsSplit(t *testing.T) {
	for _, test := range []struct {
		word string
		want []string
	}{
		{"", nil},
		{"  \t ", nil},
		{"a", []string{"a"}},
		{" a  b\tc ", []string{"a", "b", "c"}},
		{"$s", []string{"a", "b", "c"}},
		{"x$s", []string{"xa", "b", "c"}},
		{"${s}x", []string{"a", "b", "cx"}},
		{`"$s"`, []string{"a b  c"}},
		{`x"$s"y z`, []string{"xa b  cy", "z"}},
		{`'a b' c`, []string{"a b", "c"}},
		{`a\ b c`, []string{"a b", "c"}},
		{`"" ''`, nil},
		{"$b$x", nil},
		{"80${x:-81} 82", []string{"8081", "82"}},
		{"${x:-80 81}", []string{"80", "81"}},
		{`${x:-"80 81"}`, []string{"80", "81"}}, // only quotes outside of the braces hold together
		{"a\u00a0b", []string{"a", "b"}},
	} {
		e, err := dockerfile.Expander{}.Words(test.word, lookup)
		if diff := cmp.Diff(test.want, e.Words); diff != "" || err != nil {
			t.Errorf("%q: %v\n%s", test.word, err, diff)
		}
	}
}

func TestEscapeCharacter(t *testing.T) {
	for _, test := range []struct{ word, want string }{
		{"`$a", "$a"},
		{`c:\x\$a`, `c:\x\hello`},
		{"\"`\"\"", `"`},
		{"``", "`"},
		{"${x:-`}}", "}"},
		{"${st#a`*}", "b?c"},
		{`${bs#a\}`, "b"},
	} {
		e, err := dockerfile.Expander{Escape: '`'}.Word(test.word, lookup)
		if e.Value != test.want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", test.word, e.Value, err, test.want)
		}
	}
}

func TestText(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"it's $a\n\"$a\"\n'$a'\n", "it's hello\n\"hello\"\n'hello'\n"},
		{`\$a \\ ${x:-"b"}`, `$a \ "b"`},
		{"a <<b", "a <<b"},
	} {
		e, err := dockerfile.Expander{Escape: '`'}.Text(test.text, lookup)
		if e.Value != test.want || err != nil {
			t.Errorf("%q: got %q, %v, want %q", test.text, e.Value, err, test.want)
		}
	}
}

func TestUsedNames(t *testing.T) {
	for _, test := range []struct {
		word            string
		used, undefined []string
	}{
		{"a", nil, nil},
		{"$a$b$a", []string{"a", "b"}, nil},
		{"$x${y}$x", nil, []string{"x", "y"}},
		{"${x:-$a}", []string{"a"}, nil},
		{"${x:-$y}", nil, []string{"y"}},
		{"${x-}$x", nil, []string{"x"}},
		{"${a:-$x}", []string{"a"}, nil},
		{"${a:+$b}", []string{"a", "b"}, nil},
		{"${x:+$b}", nil, nil},
		{`'$a' \$a "$b"`, []string{"b"}, nil},
		{"${a#$x}", []string{"a"}, []string{"x"}},
		{"${a/$n/$A}", []string{"a", "n", "A"}, nil},
	} {
		e, err := dockerfile.Expander{}.Word(test.word, lookup)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([2][]string{test.used, test.undefined}, [2][]string{e.Used, e.Undefined}); diff != "" {
			t.Errorf("%q:\n%s", test.word, diff)
		}
	}
}

func TestCheck(t *testing.T) {
	for word, want := range map[string]string{
		"${a:?never set here}": "",
		"${a:-${b:?}}":         "",
		"${a#*.}":              "",
		"${a:=b}":              `expand "${a:=b}": unsupported modifier ":=" in a substitution`,
		"${}":                  `expand "${}": bad substitution`,
		"${a":                  `expand "${a": missing '}'`,
		"'a":                   `expand "'a": missing closing single quote`,
		"${a#\\x}":             `expand "${a#\\x}": invalid escape "\\x" in a pattern`,
	} {
		got := ""
		if err := (dockerfile.Expander{}).Check(word); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q: got %q, want %q", word, got, want)
		}
	}
}

// TestExpansionBounds holds that a short word can neither exhaust memory nor
// the stack.
func TestExpansionBounds(t *testing.T) {
	big := func(string) (string, bool) { return strings.Repeat("x", 1<<20), true }
	for name, word := range map[string]string{
		"many":    strings.Repeat("$a", 1000),
		"nested":  strings.Repeat("${x:+", 1<<20),
		"quoted":  strings.Repeat(`"${x:-`, 1<<20),
		"replace": "${a//x/$a}",
		"pattern": "${a#" + strings.Repeat("*?", 1<<20) + "}",
	} {
		if _, err := (dockerfile.Expander{}).Word(word, big); err == nil || len(err.Error()) > 300 {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// TestMessage: the text of a ${name?text} comes from the file and goes to a
// terminal.
func TestMessage(t *testing.T) {
	for word, want := range map[string]string{
		"${x?not so}":      `expand "${x?not so}": x: not so`,
		"${x?\x1b[2J\r\n}": `expand "${x?\x1b[2J\r\n}": x: "\x1b[2J\r\n"`,
	} {
		if _, err := (dockerfile.Expander{}).Word(word, lookup); err == nil || err.Error() != want {
			t.Errorf("%q: got %v, want %s", word, err, want)
		}
	}
}
