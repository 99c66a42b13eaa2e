package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"docksmith/lib/build"
	"docksmith/lib/cli"
)

// screen is the little of a terminal that live uses: lines that break at the
// last column, and the sequences for up, erase right and erase below.
type screen struct {
	columns int
	rows    [][]rune
	y, x    int
}

func (s *screen) Write(p []byte) (int, error) {
	text := []rune(string(p))
	for i := 0; i < len(text); i++ {
		for len(s.rows) <= s.y {
			s.rows = append(s.rows, nil)
		}
		switch text[i] {
		case '\r':
			s.x = 0
		case '\n':
			s.y, s.x = s.y+1, 0
		case '\x1b':
			n := 0
			for i += 2; text[i] >= '0' && text[i] <= '9'; i++ {
				n = 10*n + int(text[i]-'0')
			}
			switch text[i] {
			case 'A':
				s.y -= n
			case 'K':
				s.rows[s.y] = s.rows[s.y][:min(s.x, len(s.rows[s.y]))]
			case 'J':
				s.rows = s.rows[:s.y+1]
				s.rows[s.y] = s.rows[s.y][:min(s.x, len(s.rows[s.y]))]
			default:
				panic("sequence " + string(text[i]))
			}
		default:
			if s.x == s.columns {
				s.y, s.x = s.y+1, 0
				for len(s.rows) <= s.y {
					s.rows = append(s.rows, nil)
				}
			}
			for len(s.rows[s.y]) <= s.x {
				s.rows[s.y] = append(s.rows[s.y], ' ')
			}
			s.rows[s.y][s.x] = text[i]
			s.x++
		}
	}
	return len(p), nil
}

// resize breaks lines as a terminal does that becomes narrower.
func (s *screen) resize(columns int) {
	lines := s.rows[:min(s.y, len(s.rows))]
	s.rows, s.y, s.x, s.columns = nil, 0, 0, columns
	for _, l := range lines {
		_, _ = s.Write([]byte(string(l) + "\n"))
	}
}

func (s *screen) String() string {
	var b strings.Builder
	for _, r := range s.rows {
		b.WriteString(strings.TrimRight(string(r), " ") + "\n")
	}
	return strings.TrimRight(b.String(), "\n") + "\n"
}

// TestLiveArea: whatever happens, the screen has the final lines in their order
// and below them the area, once.
func TestLiveArea(t *testing.T) {
	s := &screen{columns: 30}
	rows := 10
	l := &live{s: &cli.IO{Name: "ds-build", Stderr: os.Stderr}, w: s, size: func() (int, int) { return s.columns, rows }}
	l.stop = make(chan struct{}) // no clock: the test draws
	want := func(what, text string) {
		t.Helper()
		if got := elapsed.Replace(s.String()); got != text {
			t.Errorf("%s:\n%s\nwant:\n%s", what, got, text)
		}
	}
	draw := func() { l.show("") }
	a := build.Event{Type: build.EventStart, Step: 2, Total: 9, Text: "RUN make  -C /a/long/directory all"}
	b := build.Event{Type: build.EventStart, Step: 5, Total: 9, Text: "RUN two"}
	l.event(a)
	want("nothing is drawn before the clock says so", "\n")
	draw()
	draw()
	want("one step", "Step 2/9 : RUN make -C … 0.0s\n")
	out := l.output(a, nil)
	fmt.Fprint(out, "\x1b[31mred\x1b[0m\x1b[2Jx\n\n")
	l.event(b)
	fmt.Fprint(l.output(b, nil), "1%\r50%\r\npart of a line")
	draw()
	want("two steps with output", "Step 2/9 : RUN make -C … 0.0s\n | red^[[2Jx\nStep 5/9 : RUN two 0.0s\n | 50%\n")
	b.Type, b.Cache, b.Seconds = build.EventDone, "miss", 1.5
	l.event(b)
	want("one is done; its line is longer than the screen", "Step 5/9 : RUN two [CACHE MISS\n] 1.50s\nStep 2/9 : RUN make -C … 0.0s\n | red^[[2Jx\n")
	s.resize(12)
	draw()
	want("narrower", "Step 5/9 : R\nUN two [CACH\nE MISS\n] 1.50s\nStep … 0.0s\n | red^[[2…\n")
	s.columns = 40
	rows = 3
	fmt.Fprint(out, "世界世界世界世界世界世界世界世界世界世界世界世界\n")
	draw()
	want("lower", "Step 5/9 : R\nUN two [CACH\nE MISS\n] 1.50s\n(1 steps under way)\n")
	rows = 10
	l.event(build.Event{Type: build.EventWarning, Text: "look\x1b[2J"})
	want("a warning", "Step 5/9 : R\nUN two [CACH\nE MISS\n] 1.50s\nds-build: warning: look^[[2J\nStep 2/9 : RUN make -C /a/long/di… 0.0s\n | 世界世界世界世界世界世界世界世界世…\n")
	l.end()
	want("the end", "Step 5/9 : R\nUN two [CACH\nE MISS\n] 1.50s\nds-build: warning: look^[[2J\n")
}

var elapsed = strings.NewReplacer(" 0.1s", " 0.0s", " 0.2s", " 0.0s")

func TestVisible(t *testing.T) {
	for in, want := range map[string]string{
		"plain":                       "plain",
		"tab\there":                   "tab here",
		"50%\r100%":                   "100%",
		"dos\r":                       "dos",
		"\x1b[1;31mred\x1b[m":         "red",
		"\x1b]0;title\x07":            "^[]0;title^G",
		"\x1b[2J\x1b[31":              "^[[2J^[[31",
		"\u009b2J \u202egpj.exe \x7f": "?2J ?gpj.exe ?",
		"bad \xff utf-8 \x1b[0m\xff":  "bad \ufffd utf-8 \ufffd",
		"only bad \xff":               "only bad \ufffd",
		"Grüße, 世界":                   "Grüße, 世界",
	} {
		if got := visible(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestTail(t *testing.T) {
	for _, c := range []struct {
		write []string
		lines string
		all   int
	}{
		{nil, "", 0},
		{[]string{"a\nb\n"}, "a|b", 2},
		{[]string{"a\nb"}, "a|b", 2},
		{[]string{"a", "b", "\n"}, "ab", 1},
		{[]string{"\n\n"}, "|", 2},
		{[]string{strings.Repeat("x\n", 30)}, strings.TrimSuffix(strings.Repeat("x|", 20), "|"), 30},
		{[]string{strings.Repeat("y", 2*tailSize), "z"}, strings.Repeat("y", tailSize-1) + "z", 1},
		{[]string{"1\n", strings.Repeat("y", tailSize-3), "\nab"}, "\xff", 3},
	} {
		var got tail
		for _, w := range c.write {
			got.add([]byte(w))
		}
		lines, all := got.last()
		if c.lines == "\xff" {
			c.lines = strings.Repeat("y", tailSize-3) + "|ab"
		}
		if text := strings.Join(lines, "|"); text != c.lines || all != c.all {
			t.Errorf("%.20q: %d bytes, %d lines; want %d, %d", c.write, len(text), all, len(c.lines), c.all)
		}
	}
}

func TestLineSplitter(t *testing.T) {
	long := strings.Repeat("l", longestLine)
	for _, c := range []struct {
		write []string
		want  string
	}{
		{[]string{"a\nb\n"}, "a|b|"},
		{[]string{"a", "b\n", "\n", "c"}, "ab||c|"},
		{[]string{long + "\n"}, long + "|"},
		{[]string{long[1:], "ab\n"}, long[1:] + "a+b|"},
		{[]string{long + long + "x"}, long + "+" + long + "+x|"},
	} {
		var b strings.Builder
		l := &lineSplitter{line: func(text []byte, partial bool) {
			b.Write(text)
			b.WriteString(map[bool]string{false: "|", true: "+"}[partial])
		}}
		for _, w := range c.write {
			if n, err := l.Write([]byte(w)); n != len(w) || err != nil {
				t.Fatal(n, err)
			}
		}
		_ = l.Close()
		if b.String() != c.want {
			t.Errorf("%.20q: got %.60q, want %.60q", c.write, b.String(), c.want)
		}
	}
}

// TestPlainOutput: alone, output is passed on as it comes; beside others, line by
// line with the step's number, and no line is torn.
func TestPlainOutput(t *testing.T) {
	var b strings.Builder
	l := &lines{s: &cli.IO{Name: "ds-build"}, w: &b, flying: map[int]bool{}}
	a := build.Event{Type: build.EventStart, Step: 2, Total: 4, Text: "RUN a", Line: 2, Stage: "x"}
	c := build.Event{Type: build.EventStart, Step: 4, Total: 4, Text: "RUN c", Line: 5, Stage: "y"}
	l.event(a)
	one := l.output(a, nil)
	fmt.Fprint(one, "progress .")
	fmt.Fprint(one, ".")
	l.event(c)
	two := l.output(c, nil)
	fmt.Fprint(two, "half ")
	fmt.Fprint(one, ".\nmore ")
	fmt.Fprint(two, "a line\nthe rest")
	fmt.Fprint(one, "of it\n")
	_ = two.Close()
	c.Type = build.EventDone
	l.event(c)
	fmt.Fprint(one, "alone ")
	a.Type = build.EventDone
	_ = one.Close()
	l.event(a)
	want := "progress ..\n#2 T .\n#4 T half a line\n#2 T more of it\n#4 T the rest\nStep 4/4 : RUN c\nalone \nStep 2/4 : RUN a\n"
	if got := times.Replace(b.String()); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

var times = strings.NewReplacer(" 0.000 ", " T ", " 0.001 ", " T ", " 0.002 ", " T ")
