package main

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
)

// live is the progress on a terminal. Lines that are final are written once, as
// lines does; below them is an area of the steps under way, each with its time
// and the last line that its command printed. What commands printed before that
// is in the log, and the end of it is shown if the command fails.
//
// The area is redrawn in one write: up to its first line, then every line with
// what was right of it erased. Nothing else of the terminal is changed, neither
// the cursor's form nor the modes, so there is nothing to restore for a program
// that is killed. Between two drawings the cursor is on the line below the area.
type live struct {
	s    *cli.IO
	w    io.Writer
	size func() (columns, rows int) // of the terminal

	mu     sync.Mutex
	steps  []*liveStep // under way, in the order of their begin
	drawn  []int       // widths of the lines of the area
	stop   chan struct{}
	closed sync.WaitGroup
}

type liveStep struct {
	event  build.Event
	began  time.Time
	output string // the last line
}

// redrawEvery is often enough for seconds with one digit.
const redrawEvery = 100 * time.Millisecond

func newLive(s *cli.IO) *live {
	return &live{s: s, w: s.Stderr, size: func() (int, int) { return terminalSize(s.Stderr) }}
}

// start begins the redrawing; with the first step, so that a program that has
// nothing to show has nothing to stop.
func (l *live) start() {
	if l.stop != nil {
		return
	}
	stop := make(chan struct{})
	l.stop = stop
	l.closed.Go(func() {
		tick := time.NewTicker(redrawEvery)
		defer tick.Stop()
		for {
			select {
			case <-stop:
				return
			case <-tick.C:
				l.mu.Lock()
				l.show("")
				l.mu.Unlock()
			}
		}
	})
}

// end takes the area away.
func (l *live) end() {
	l.mu.Lock()
	stop := l.stop
	l.stop, l.steps = nil, nil
	l.show("")
	l.mu.Unlock()
	if stop != nil {
		close(stop)
		l.closed.Wait()
	}
}

func (l *live) event(e build.Event) {
	l.mu.Lock()
	defer l.mu.Unlock()
	switch e.Type {
	case build.EventStart:
		l.start()
		l.steps = append(l.steps, &liveStep{event: e, began: time.Now()})
	case build.EventFetch:
		for _, s := range l.steps {
			if s.event.Step == e.Step {
				s.output = visible(fetchLine(e))
			}
		}
	case build.EventCheck:
		for _, line := range checkedLines(e) {
			l.show(visible(line) + "\n")
		}
	case build.EventWarning:
		l.show(visible(warningText(l.s.Name, e)) + "\n")
	case build.EventDone:
		l.steps = slices.DeleteFunc(l.steps, func(s *liveStep) bool { return s.event.Step == e.Step && s.event.Text == e.Text })
		e.Text = visible(e.Text)
		l.show(stepLine(e) + "\n")
	}
}

func (l *live) output(e build.Event, _ func() float64) io.WriteCloser {
	return &lineSplitter{line: func(text []byte, _ bool) {
		line := visible(string(text))
		l.mu.Lock()
		defer l.mu.Unlock()
		for _, s := range l.steps {
			if s.event.Step == e.Step && strings.TrimSpace(line) != "" {
				s.output = line
			}
		}
	}}
}

// Control sequences.
const (
	eraseRight = "\x1b[K" // of the cursor, in its line
	eraseBelow = "\x1b[J" // of the cursor, and all lines below
)

// show writes final lines above the area and draws that anew.
func (l *live) show(final string) {
	if final == "" && len(l.steps) == 0 && len(l.drawn) == 0 {
		return
	}
	columns, rows := l.size()
	var b strings.Builder
	right, below := "", ""
	if up := l.height(columns); up > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\r", up)
		right, below = eraseRight, eraseBelow
	}
	if final != "" {
		b.WriteString(below + final) // it may take more rows than it has lines
	}
	l.drawn = l.drawn[:0]
	for _, line := range l.area(columns, rows) {
		b.WriteString(line + right + "\n")
		l.drawn = append(l.drawn, width(line))
	}
	b.WriteString(below)
	_, _ = io.WriteString(l.w, b.String())
}

// height is how many rows the area takes on the screen now: a terminal that
// became narrower has broken its lines.
func (l *live) height(columns int) int {
	n := 0
	for _, w := range l.drawn {
		n += max(1, (w+columns-1)/columns)
	}
	return n
}

// area is the text of the area, cut to the size of the terminal.
func (l *live) area(columns, rows int) []string {
	var out []string
	for _, s := range l.steps {
		took := fmt.Sprintf(" %.1fs", time.Since(s.began).Seconds())
		out = append(out, cutTo(visible(stepHead(s.event)), columns-1-len(took))+took)
		if s.output != "" {
			out = append(out, cutTo(" | "+s.output, columns-1))
		}
	}
	if most := max(1, rows-2); len(out) > most {
		more := cutTo(fmt.Sprintf("(%d steps under way)", len(l.steps)), columns-1)
		out = append(out[:most-1], more)
	}
	return out
}

func (l *live) failed(f *failure) {
	l.end()
	showTail(l.s, f)
}

func (l *live) built(r *build.Result, tags []oci.Ref, took time.Duration) {
	l.end()
	fmt.Fprintln(l.w, builtLine(r, tags, took))
}

// terminalSize is asked for at each drawing: it is one cheap call, and nobody
// has to listen for changes.
func terminalSize(f *os.File) (columns, rows int) {
	size, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	if err != nil || size.Col == 0 || size.Row == 0 {
		return 80, 24
	}
	return int(size.Col), int(size.Row)
}
