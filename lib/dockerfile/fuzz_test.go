package dockerfile_test

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// FuzzParse: whatever the bytes, no panic; lines are in range and in order; the
// plan survives its own encoding; and what ONBUILD stores can be read again.
func FuzzParse(f *testing.F) {
	for _, src := range dockerfiles(f) {
		f.Add(src)
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		lines := bytes.Count(src, []byte("\n")) + 1
		file, err := dockerfile.Parse(bytes.NewReader(src), dockerfile.Options{})
		if err != nil {
			checkLocated(t, err, lines)
			return
		}
		last := 0
		for _, in := range flatten(file) {
			if in.Line <= last || in.EndLine < in.Line || in.EndLine > lines {
				t.Errorf("%s: lines %d to %d after %d, of %d", in.Op, in.Line, in.EndLine, last, lines)
			}
			last = in.EndLine
			if in.Trigger() != nil && file.Escape == '\\' {
				checkTrigger(t, in)
			}
		}
		checkRoundTrip(t, plan.New(file))
	})
}

// dockerfiles are all that there are: those of the tests here, those of the cases
// of what a build does, and the examples.
func dockerfiles(t testing.TB) (all [][]byte) {
	const cases = "../../tests/cases/*.txtar"
	for _, pattern := range []string{"testdata/*/Dockerfile", "testdata/checks/*/Dockerfile", cases, "../../tests/examples/*/Dockerfile"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) < 10 {
			t.Fatalf("%s: %d files, %v", pattern, len(files), err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			if pattern == cases {
				_, src, _ = bytes.Cut(src, []byte("-- Dockerfile --\n"))
				src, _, _ = bytes.Cut(src, []byte("\n-- "))
			}
			all = append(all, src)
		}
	}
	return all
}

// writtenWords are the words of all Dockerfiles that mean something else than
// themselves.
func writtenWords(t testing.TB) (words []string) {
	for _, src := range dockerfiles(t) {
		file, err := dockerfile.Parse(bytes.NewReader(src), dockerfile.Options{})
		if err != nil {
			continue
		}
		for _, in := range flatten(file) {
			for _, word := range in.Args {
				if strings.ContainsAny(word, "$\"'\\`") {
					words = append(words, word)
				}
			}
		}
	}
	return words
}

func checkLocated(t *testing.T, err error, lines int) {
	e, ok := err.(*dockerfile.Error)
	if !ok || e.Line < 1 || e.Line > lines || strings.ContainsAny(err.Error(), "\n\r") {
		t.Errorf("%#v is not one line with a place in %d", err, lines)
	}
}

// flatten lists everything in the order of the file.
func flatten(f *dockerfile.File) []*dockerfile.Instruction {
	all := f.Args
	for _, s := range f.Stages {
		all = append(all, &dockerfile.Instruction{Op: dockerfile.From, Line: s.Line, EndLine: s.EndLine})
		all = append(all, s.Steps...)
	}
	return all
}

func checkTrigger(t *testing.T, in *dockerfile.Instruction) {
	again, err := dockerfile.ParseTrigger("image", in.Trigger().Source())
	if err != nil {
		t.Errorf("%q: %v", in.Trigger().Source(), err)
		return
	}
	again.Line, again.EndLine = in.Line, in.EndLine
	if diff := cmp.Diff(in.Trigger(), again, cmpopts.IgnoreUnexported(dockerfile.Extra{}), equateNoExtra); diff != "" {
		t.Errorf("%q:\n%s", in.Trigger().Source(), diff)
	}
}

// equateNoExtra: an instruction without anything extra may have an empty one.
var equateNoExtra = cmp.Transformer("extra", func(e *dockerfile.Extra) dockerfile.Extra {
	if e == nil {
		return dockerfile.Extra{}
	}
	return *e
})

func checkRoundTrip(t *testing.T, p *plan.Plan) {
	var first, second bytes.Buffer
	if err := plan.Encode(&first, p); err != nil {
		t.Fatal(err)
	}
	again, err := plan.Decode(bytes.NewReader(first.Bytes()))
	if err != nil {
		t.Fatalf("%v: %s", err, first.Bytes())
	}
	if err := plan.Encode(&second, again); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first.Bytes(), second.Bytes()) {
		t.Errorf("the plan changes on its way:\n%s\n%s", first.Bytes(), second.Bytes())
	}
}

// FuzzExpand: no panic, bounded output, words without blanks of their own in
// the absence of quotes, and Check agrees with what does not depend on values.
func FuzzExpand(f *testing.F) {
	data, err := os.ReadFile("testdata/words")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(data)) {
		word, _, _ := strings.Cut(line, "\t")
		f.Add(word, false)
	}
	for _, word := range writtenWords(f) {
		f.Add(word, false)
	}
	f.Fuzz(func(t *testing.T, word string, backtick bool) {
		x := dockerfile.Expander{}
		if backtick {
			x.Escape = '`'
		}
		value, err := x.Word(word, lookup)
		split, serr := x.Words(word, lookup)
		if (err == nil) != (serr == nil) {
			t.Errorf("%q: %v as one word, %v as several", word, err, serr)
		}
		if err != nil {
			return
		}
		if cerr := x.Check(word); cerr != nil {
			t.Errorf("%q means %q, but: %v", word, value.Value, cerr)
		}
		if value.Value != split.Value {
			t.Errorf("%q: %q as one word, %q before splitting", word, value.Value, split.Value)
		}
		if !strings.ContainsAny(word, "$'\"\\`") && value.Value != word {
			t.Errorf("%q: %q", word, value.Value)
		}
		if got := strings.Join(split.Words, ""); len(got) > len(value.Value) {
			t.Errorf("%q: words %q of %q", word, split.Words, value.Value)
		}
		_, _ = x.Text(word, lookup) // must not panic
	})
}
