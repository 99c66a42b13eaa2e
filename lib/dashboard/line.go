package dashboard

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"docksmith/lib/cli"
)

// look is how a piece of text stands out on a terminal: the parameters of the
// control sequence, which a terminal of any colours knows.
type look string

const (
	plain  look = ""
	strong look = "1"
	faint  look = "2"
	good   look = "32"
	work   look = "33"
	cached look = "35"
	bad    look = "31"
	data   look = "36"
)

// line is a line of text in pieces.
type line []span

type span struct {
	text string
	look look
}

// say adds text of our own, or foreign text made harmless: either is passed
// through the same filter.
func (l line) say(k look, format string, args ...any) line {
	return append(l, span{cli.Printable(fmt.Sprintf(format, args...)), k})
}

// to fills the line up with blanks to a column.
func (l line) to(column int) line {
	if n := column - l.width(); n > 0 {
		return append(l, span{strings.Repeat(" ", n), plain})
	}
	return l
}

// right says text so that it ends at a column.
func (l line) right(column int, k look, text string) line {
	return l.to(column-columns(text)).say(k, "%s", text)
}

func (l line) width() (n int) {
	for _, s := range l {
		n += columns(s.text)
	}
	return n
}

// cut shortens the line to so many columns; 0 stands for any number.
func (l line) cut(width int) line {
	if width <= 0 || l.width() <= width {
		return l
	}
	var out line
	left := width
	for _, s := range l {
		if n := columns(s.text); n < left {
			out, left = append(out, s), left-n
			continue
		}
		return append(out, span{shorten(s.text, left, len(s.text)+1), s.look})
	}
	return out
}

// text is the line as it is printed.
func (l line) text(color bool) string {
	var b strings.Builder
	for _, s := range l {
		if color && s.look != plain {
			fmt.Fprintf(&b, "\x1b[%sm%s\x1b[m", s.look, s.text)
		} else {
			b.WriteString(s.text)
		}
	}
	return strings.TrimRight(b.String(), " ")
}

// shorten cuts text to so many columns, with a mark of that. at is the width of
// what the text is the beginning of.
func shorten(text string, width, at int) string {
	if columns(text) <= width && at <= width {
		return text
	}
	n := 0
	for i, r := range text {
		if n += runeColumns(r); n > width-1 {
			return text[:i] + "…"
		}
	}
	return text
}

func columns(s string) (n int) {
	for _, r := range s {
		n += runeColumns(r)
	}
	return n
}

// runeColumns is how many columns a terminal gives a rune. Terminals differ for
// some; the screen does not depend on it, since nothing wraps.
func runeColumns(r rune) int {
	switch {
	case r < 0x300:
		return 1
	case unicode.In(r, unicode.Mn, unicode.Me):
		return 0
	case r >= 0x1100 && r <= 0x115f, r >= 0x2e80 && r <= 0xa4cf, r >= 0xac00 && r <= 0xd7a3, r >= 0xf900 && r <= 0xfaff,
		r >= 0xfe30 && r <= 0xfe6f, r >= 0xff00 && r <= 0xff60, r >= 0xffe0 && r <= 0xffe6, r >= 0x1f300 && r <= 0x1faff, r >= 0x20000 && r <= 0x3fffd:
		return 2
	}
	return 1
}

// ago is a span of time in one unit.
func ago(d time.Duration) string {
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", int(max(d, 0).Seconds()))
	case d < time.Hour:
		return fmt.Sprintf("%dm", int(d.Minutes()))
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", int(d.Hours()))
	}
	return fmt.Sprintf("%dd", int(d.Hours())/24)
}

// secondsText is how long something took.
func secondsText(s float64) string {
	switch {
	case s <= 0:
		return "0s"
	case s < 0.0995:
		return fmt.Sprintf("%.0fms", max(s*1000, 1))
	case s < 99.95:
		return fmt.Sprintf("%.1fs", s)
	}
	return (time.Duration(s) * time.Second).String()
}

func percent(share float64) string { return fmt.Sprintf("%.0f%%", 100*share) }

// count is a number with its noun.
func count(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
