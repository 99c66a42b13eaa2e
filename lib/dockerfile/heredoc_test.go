package dockerfile

import (
	"slices"
	"testing"
)

// TestIntroducedPlainly: without quotes and variables a line splits as the lexer
// splits it, for every short line of the characters that matter.
func TestIntroducedPlainly(t *testing.T) {
	mode := lexMode{quotes: true, rawQuotes: true, rawEscapes: true, keepUnset: true, split: true}
	const alphabet = "<- \t\vE1"
	var try func(text string, left int)
	try = func(text string, left int) {
		split, err := words(text, mode)
		if err != nil {
			t.Fatal(err)
		}
		var want []Heredoc
		var werr error
		for _, word := range split {
			doc, ok, err := parseHeredoc(word)
			if err != nil && werr == nil {
				werr = err
			} else if ok {
				want = append(want, doc)
			}
		}
		got, gerr := introducedPlainly(nil, text)
		if (gerr == nil) != (werr == nil) || gerr == nil && !slices.Equal(got, want) {
			t.Fatalf("%q: %v, %v, want %v, %v", text, got, gerr, want, werr)
		}
		for _, c := range alphabet {
			if left > 0 {
				try(text+string(c), left-1)
			}
		}
	}
	try("", 6)
	try("<<", 5)
}
