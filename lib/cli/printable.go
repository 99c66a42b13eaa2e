package cli

import "strings"

// Printable keeps foreign text on one line and from steering the terminal: a
// question mark stands for each control character, and for those that reorder
// or hide what is around them.
func Printable(s string) string {
	return strings.Map(func(r rune) rune {
		if steers(r) {
			return '?'
		}
		return r
	}, s)
}

// steers tells whether a rune is no text: a control, a mark that reorders, what
// takes no room, or one of the tags behind the last plane of text.
func steers(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r == 0x61c || r == 0xfeff ||
		r >= 0x200b && r <= 0x200f || r >= 0x2028 && r <= 0x202e || r >= 0x2060 && r <= 0x206f || r >= 0xe0000 && r <= 0xe0fff
}
