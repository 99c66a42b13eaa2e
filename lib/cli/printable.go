package cli

import (
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

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

// Escape shows a name on one line of a terminal, whatever is in it, and so that
// it can be told from every other: bytes that cannot be printed become \ooo.
func Escape(s string) string {
	if utf8.ValidString(s) && strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); {
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == '\\':
			b.WriteString(`\\`)
		case hidden(r) || r == utf8.RuneError && n == 1:
			for _, c := range []byte(s[i : i+n]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		default:
			b.WriteString(s[i : i+n])
		}
		i += n
	}
	return b.String()
}

func hidden(r rune) bool { return r == '\\' || !strconv.IsPrint(r) }
