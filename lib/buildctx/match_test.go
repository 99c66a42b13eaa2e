package buildctx

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
)

// oracle judges path as the reference does in a walk from the top.
type oracle struct {
	m     *patternmatcher.PatternMatcher
	infos map[string]patternmatcher.MatchInfo
}

func newOracle(text string) (*oracle, error) {
	patterns, err := ignorefile.ReadAll(strings.NewReader(text))
	if err != nil {
		return nil, err
	}
	m, err := patternmatcher.New(patterns)
	return &oracle{m: m, infos: map[string]patternmatcher.MatchInfo{}}, err
}

func (o *oracle) hidden(path string) (bool, error) {
	var info patternmatcher.MatchInfo
	if i := strings.LastIndexByte(path, '/'); i >= 0 {
		parent, ok := o.infos[path[:i]]
		if !ok {
			if _, err := o.hidden(path[:i]); err != nil {
				return false, err
			}
			parent = o.infos[path[:i]]
		}
		info = parent
	}
	hidden, info, err := o.m.MatchesUsingParentResults(path, info)
	o.infos[path] = info
	return hidden, err
}

// compareWithOracle checks one ignore file on some paths: the verdicts, and that
// a hidden directory that is not entered hides all that is below it.
func compareWithOracle(t *testing.T, text string, paths []string) {
	t.Helper()
	ours, err := ParseIgnore(strings.NewReader(text), ".dockerignore")
	o, oracleErr := newOracle(text)
	if err != nil {
		// Ours refuses at once what the reference may refuse when it is asked.
		if oracleErr == nil && !strings.Contains(err.Error(), "NUL") {
			for _, p := range o.m.Patterns() {
				single, _ := patternmatcher.New([]string{p.String()})
				if _, _, err := single.MatchesUsingParentResults("x", patternmatcher.MatchInfo{}); err != nil {
					return
				}
			}
			t.Fatalf("%q: ours refuses it, the reference does not: %v", text, err)
		}
		return
	}
	if oracleErr != nil {
		t.Fatalf("%q: the reference refuses it: %v", text, oracleErr)
	}
	for _, path := range paths {
		want, err := o.hidden(path)
		if err != nil {
			t.Fatalf("%q on %q: %v", text, path, err)
		}
		if _, got := ours.Match(path); got != want {
			t.Errorf("%q on %q: hidden %v, want %v", text, path, got, want)
		}
		for i := strings.IndexByte(path, '/'); i >= 0 && i < len(path); i++ {
			if path[i] != '/' {
				continue
			}
			state, _ := ours.state(path[:i])
			if state.hidden && !want && !ours.mayRestore(path[:i], state) {
				t.Errorf("%q: %q would not be entered, but %q is visible", text, path[:i], path)
			}
		}
	}
}

var ignoreTexts = []string{
	"", "*", "**", "*\n!src", "a", "a/", "/a", "./a", "a/../b", "b\n!b/keep", "b\n!b/keep/x\nb/keep/x/y",
	"*.o", "**/*.o", "*/*.o", "*/*/*.o", "a/*", "a/**", "a/**\n!a/b/**", "a**", "**a", "**/a", "**/a/b", "**/a/**", "**/a*/**/b", "a*b*c/*x*",
	"**/dir\n!**/sub", "dir\n!dir/sub/deep", "a/b\n!a", "!a\na", "a\n!a\na/b", "*\n!*/keep\n", "*\n!**/keep\n**/skip",
	"# comment\n #not\n\\#x", "\ufeffa\n\ufeffb", "\ufeff**\n", "x\ufeff*", "a\r\nb\r\n", "  a  \n\tb\t", "! a\n!  ./a", ".", "..", "../a", "/", "/..", "**/", "a/**/b", "a/**/b/**",
	"[ab]", "[^a]", "[a-c]/x", "\\*", "a?c", "?", "a|b*", "a{1}*", "^a*", "$*", "a+*", "(a)*", "*.(o|a)", "é*", "*é", "\xff*", "**/\xff", "a b", "*\u2028",
	"node_modules\n**/.git\n*.md\n!README.md\nbuild/*\n!build/out", "***", "**/**", "**/*", "*/**", "**/*/**", "a\\", "a\n!b\n!", "a*/**", "**/a*b/*c/**",
}

var ignorePaths = []string{
	"a", "b", "c", "x", "y", "a/b", "a/b/c", "a/c", "b/keep", "b/keep/x", "b/keep/x/y", "b/other", "x.o", "a/x.o", "a/b/x.o", "a/b/c/x.o", "src", "src/x", "srcx",
	"dir", "dir/sub", "dir/sub/deep", "dir/sub/deep/x", "x/dir/sub", "x/dir/y", "abc", "aXbYc", "aXbYc/_x_", "axb", "ab", "ba", "keep", "p/keep", "p/q/keep/z", "p/skip", "keep/skip", "#x", "#not", "\\", "a\\",
	"\ufeffb", "x\ufeffy", "*", "README.md", "x/README.md", "doc.md", "build", "build/out", "build/out/x", "build/tmp", "node_modules", "node_modules/a/b", "x/node_modules", ".git", "x/.git/config", "a\nb", "a\n/b", "x/a\nb", "a/\n/b",
	"é", "éa", "aé", "\xff", "\xffa", "a\xff", "x/\xff", "a b", "^a", "a|b", "$", "$x", "a+", "a+b", "(a)b", "x.(o|a)", "a{1}", "a{1}b", "a/x", "b/x", "d/x", "ax/y/b", "aab/xc/z", "q/aab/xc/z",
	"a\u2028", "-", "..a", "a/..b", "p", "p/q", "aa", "aaa",
}

func TestIgnoreMatchesReference(t *testing.T) {
	for _, text := range ignoreTexts {
		compareWithOracle(t, text, ignorePaths)
	}
	// Every pair of rules, with the second one bringing back.
	lines := []string{"a", "a/b", "*", "**", "a/*", "**/b", "a/**", "*.o", "**/*.o", "b*", "[ab]", "**/a/**", "a/**/c", "?"}
	for _, first := range lines {
		for _, second := range lines {
			for _, sign := range []string{"", "!"} {
				for _, third := range []string{"", "\na", "\n!a/b/c"} {
					compareWithOracle(t, first+"\n"+sign+second+third, ignorePaths)
				}
			}
		}
	}
}

func FuzzIgnore(f *testing.F) {
	for i, text := range ignoreTexts {
		f.Add(text, ignorePaths[i%len(ignorePaths)])
	}
	f.Add("**/node_modules/**\n!a/node_modules/keep", "a/node_modules/keep/x")
	f.Fuzz(func(t *testing.T, text, path string) {
		if len(text) > 300 || len(path) > 100 || strings.Count(text, "*") > 12 || strings.Contains(text, "\x00") {
			return
		}
		path = Clean(path)
		if path == "." || strings.Contains(path, "\x00") {
			return
		}
		// The text's own lines make paths that come near to matching.
		paths := []string{path}
		for line := range strings.Lines(text) {
			if p := Clean(strings.Trim(line, "!*/ \r\n") + "/" + path); p != "." {
				paths = append(paths, p)
			}
		}
		slices.Sort(paths)
		compareWithOracle(t, text, paths)
	})
}

func TestIgnoreExplains(t *testing.T) {
	g, err := ParseIgnore(strings.NewReader("\ufeff# all\r\n*\r\n\r\n!src\r\n/src/*.o\r\n"), ".dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		path   string
		rule   Rule
		hidden bool
	}{
		{"x", Rule{"*", 2}, true},
		{"src", Rule{"!src", 4}, false},
		{"src/a.o", Rule{"src/*.o", 5}, true},
		{"src/a.c", Rule{"!src", 4}, false},
		{".", Rule{}, false},
	} {
		if rule, hidden := g.Match(c.path); rule != c.rule || hidden != c.hidden {
			t.Errorf("%s: %+v %v, want %+v %v", c.path, rule, hidden, c.rule, c.hidden)
		}
	}
	if _, err := ParseIgnore(strings.NewReader("a\n!\n"), "x.dockerignore"); err == nil || !strings.Contains(err.Error(), "x.dockerignore:2") {
		t.Errorf("an illegal rule is not located: %v", err)
	}
	if _, err := ParseIgnore(strings.NewReader(strings.Repeat("aaaaaaa\n", maxIgnoreSize/8+1)), "x"); err == nil {
		t.Error("an oversized ignore file is accepted")
	}
}

func BenchmarkIgnore(b *testing.B) {
	g, _ := ParseIgnore(strings.NewReader("**/.git\n**/node_modules\n*.md\n!README.md\n**/*.pyc\nbuild/*\n!build/out\n"), "")
	state := g.child("lib", g.child("src", dirState{}))
	for b.Loop() {
		g.hides("src/lib/somefile_00123.txt", state)
	}
}
