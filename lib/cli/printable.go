package cli

import "strings"

// Printable keeps foreign text on one line and from steering the terminal: a
// question mark stands for each control character, and for those that reorder
// or hide what is around them.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '?'
		}
		return r
	}, s)
}
