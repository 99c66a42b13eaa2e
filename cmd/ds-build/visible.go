package main

import "strings"

// cutTo shortens a line to so many columns.
func cutTo(s string, columns int) string {
	if width(s) <= columns {
		return s
	}
	n := 0
	for i, r := range s {
		if n += runeWidth(r); n > columns-1 {
			return s[:i] + "…"
		}
	}
	return s
}

func width(s string) int {
	n := 0
	for _, r := range s {
		n += runeWidth(r)
	}
	return n
}

// runeWidth is how many columns a rune may take. It is never too little: a line
// that is a little short does no harm, one that breaks would leave its rest on
// the screen.
func runeWidth(r rune) int {
	if r >= 0x1100 && r != '…' {
		return 2
	}
	return 1
}

// visible makes a line of foreign text harmless: of a line that was drawn over
// itself the last state, without colours, and with every other control
// character written out.
func visible(s string) string {
	if s = strings.TrimRight(s, "\r"); strings.Contains(s, "\r") {
		s = s[strings.LastIndexByte(s, '\r')+1:]
	}
	if !strings.ContainsFunc(s, isControl) {
		return strings.ToValidUTF8(s, "\ufffd")
	}
	s = withoutColours(strings.ReplaceAll(s, "\t", " "))
	var b strings.Builder
	for _, r := range s { // bytes that are no UTF-8 come as U+FFFD
		switch {
		case r < ' ':
			b.WriteString("^" + string('@'+r))
		case isControl(r):
			b.WriteByte('?')
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}

// withoutColours drops the sequences that set colours.
func withoutColours(s string) string {
	var b strings.Builder
	for {
		plain, rest, found := strings.Cut(s, "\x1b[")
		b.WriteString(plain)
		if !found {
			return b.String()
		}
		s = strings.TrimLeft(rest, "0123456789;:")
		if colour, ok := strings.CutPrefix(s, "m"); ok {
			s = colour
		} else {
			b.WriteString("\x1b[")
			s = rest
		}
	}
}

// isControl tells what a terminal does not print, and what changes the direction
// of what it prints.
func isControl(r rune) bool {
	return r < ' ' || r >= 0x7f && r < 0xa0 || r >= 0x200b && r <= 0x200f || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}
