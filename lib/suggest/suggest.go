// Package suggest finds what a mistyped word may have meant, for messages. It
// knows no words itself.
//
//	fmt.Errorf("unknown instruction %q%s", word, suggest.DidYouMean(word, known))
package suggest

// DidYouMean is " (did you mean X?)", to end a message, for the candidate
// nearest to a mistyped word, or nothing if none is near enough to be what was
// meant.
func DidYouMean(word string, candidates []string) string {
	best, least := "", max(1, (len(word)+1)/3)+1
	for _, c := range candidates {
		if len(word) > 2*len(c)+2 {
			continue // keeps the work bounded whatever the word
		}
		if d := Distance(word, c); d < least {
			best, least = c, d
		}
	}
	if best == "" {
		return ""
	}
	return " (did you mean " + best + "?)"
}

// Distance counts insertions, deletions, substitutions and swaps of
// neighbours that turn a into b.
func Distance(a, b string) int {
	before, prev, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(prev[j]+1, row[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, prev, row = prev, row, before
	}
	return prev[len(b)]
}
