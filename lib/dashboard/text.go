package dashboard

import (
	"fmt"
	"slices"
	"strings"

	"docksmith/lib/buildlog"
	"docksmith/lib/cli"
	"docksmith/lib/container"
)

// TextOptions says how to draw on a terminal.
type TextOptions struct {
	// Width is that of the terminal; 0 cuts no line.
	Width int
	// Height is how many lines there are; 0 shows all there is. With a height the
	// parts share the lines.
	Height int
	Color  bool
}

// part is a part of the screen: a title with a note, and lines.
type part struct {
	title string
	note  line
	lines []line
}

func (p part) heading() line { return append(line{}.say(strong, "%s", p.title), p.note...) }

// defaultWidth is what the columns are laid out for where any width will do.
const defaultWidth = 100

func (o TextOptions) width() int {
	if o.Width <= 0 {
		return defaultWidth
	}
	return o.Width
}

// Text draws the model. No line holds a character that steers a terminal, but
// for the colours if these are wished.
func (m *Model) Text(o TextOptions) []string {
	lines := m.head(o.width())
	parts := append(beside(m.diskPart(), m.cachePart(), o.width()), m.containersPart(), m.buildsPart(buildsShown), m.imagesPart())
	if o.Height > 0 {
		parts = share(parts, o.Height-len(lines))
	}
	for _, p := range parts {
		lines = append(append(lines, nil, p.heading()), p.lines...)
	}
	return o.texts(lines)
}

// texts cuts lines to what there is of the terminal.
func (o TextOptions) texts(lines []line) (out []string) {
	for _, l := range lines {
		out = append(out, l.cut(o.Width).text(o.Color))
	}
	if o.Height > 0 {
		out = out[:min(len(out), o.Height)]
	}
	return out
}

// head are the lines above all parts.
func (m *Model) head(width int) []line {
	title := line{}.say(strong, "docksmith").say(faint, "  %s", m.Root).cut(width - 10)
	return []line{title.right(width, plain, m.Time.Format("15:04:05")), m.summary()}
}

// summary says the most in one line.
func (m *Model) summary() line {
	total, _ := m.diskTotal()
	l := line{}.say(plain, "%s, %s · disk ", count(len(m.Images), "image", "images"), count(len(m.Layers), "layer", "layers")).say(data, "%s", cli.Size(total))
	l = l.say(plain, " · cache ")
	if rate := hitRate(m.Cache.Hits, m.Cache.Misses); rate >= 0 {
		l = l.say(cached, "%s hits", percent(rate))
	} else {
		l = l.say(plain, "unused")
	}
	l = l.say(plain, " · ")
	if n := m.running(); n > 0 {
		return l.say(good, "%d running", n)
	}
	return l.say(plain, "nothing runs")
}

// titleLines are the title and the empty line above it.
const titleLines = 2

// share shortens the parts so that they fit into so many lines, and leaves out
// the last of them where there is no room for a line of each. The first is
// served first; of what is left none has less than an equal share, but for one
// that needs less.
func share(parts []part, height int) []part {
	for len(parts) > 1 && height < len(parts)*(titleLines+1) {
		parts = parts[:len(parts)-1]
	}
	height -= len(parts) * titleLines
	order := make([]*part, len(parts))
	for i := range parts {
		order[i] = &parts[i]
	}
	slices.SortStableFunc(order[1:], func(a, b *part) int { return len(a.lines) - len(b.lines) })
	for i, p := range order {
		most := height / (len(order) - i)
		if i == 0 {
			most = height - (len(order) - 1)
		}
		p.shorten(max(most, 0))
		height -= len(p.lines)
	}
	return parts
}

// shorten keeps so many lines, of which the last says what is missing.
func (p *part) shorten(most int) {
	if hidden := len(p.lines) - most; hidden > 0 {
		p.lines = p.lines[:most]
		if most > 0 {
			p.lines[most-1] = line{}.say(faint, "… %d more", hidden+1)
		}
	}
}

// beside puts two parts into columns where there is room for both, as one.
func beside(a, b part, width int) []part {
	const gap, least = 3, 38
	column := (width - gap) / 2
	if column < least {
		return []part{a, b}
	}
	p := part{note: append(a.heading().cut(column).to(column+gap), b.heading()...)}
	for i := range max(len(a.lines), len(b.lines)) {
		l := line{}
		if i < len(a.lines) {
			l = a.lines[i].cut(column)
		}
		if i < len(b.lines) {
			l = append(l.to(column+gap), b.lines[i]...)
		}
		p.lines = append(p.lines, l)
	}
	return []part{p}
}

// bar draws a share of a width in eighths of a column.
func bar(share float64, width int) string {
	eighths := int(share*float64(width)*8 + 0.5)
	eighths = min(max(eighths, 0), width*8)
	b := strings.Repeat("█", eighths/8)
	if eighths%8 > 0 {
		b += string([]rune("▏▎▍▌▋▊▉")[eighths%8-1])
	}
	return b
}

func (m *Model) diskPart() part {
	p := part{title: "DISK"}
	if m.Partial {
		p.note = line{}.say(bad, "  not all can be looked at")
	} else if _, free := m.diskTotal(); free > 0 {
		p.note = line{}.say(faint, "  %s could be freed", cli.Size(free))
	}
	var rest int64
	for i, u := range m.Disk {
		if i >= 5 && len(m.Disk) > 6 || u.Bytes == 0 {
			rest += u.Bytes
			continue
		}
		p.lines = append(p.lines, diskLine(u.Name, u.Bytes, m.Disk[0].Bytes))
	}
	if rest > 0 {
		p.lines = append(p.lines, diskLine("others", rest, m.Disk[0].Bytes))
	}
	return p
}

func diskLine(name string, n, most int64) line {
	return line{}.say(plain, "%s", name).right(18, plain, cli.Size(n)).say(plain, " ").say(data, "%s", bar(float64(n)/float64(max(most, 1)), 18))
}

func (m *Model) cachePart() part {
	p := part{title: "CACHE"}
	rate := hitRate(m.Cache.Hits, m.Cache.Misses)
	if rate < 0 {
		p.lines = []line{line{}.say(faint, "no build used it yet")}
		return p
	}
	const width = 24
	full := bar(rate, width)
	p.lines = []line{
		line{}.say(cached, "%s", full).say(faint, "%s", strings.Repeat("·", width-columns(full))).say(plain, " %s hits", percent(rate)),
		line{}.say(plain, "%s, %s", count(int(m.Cache.Hits), "hit", "hits"), count(int(m.Cache.Misses), "miss", "misses")),
		line{}.say(plain, "%s saved in %s", secondsText(m.Cache.SavedSeconds), count(int(m.Cache.Builds), "build", "builds")),
	}
	if text, n := sparks(m.Builds, width); n > 1 {
		p.lines = append(p.lines, line{}.say(cached, "%s", text).say(faint, " last %d", n))
	}
	return p
}

// sparks draws the share of hits of the last builds, the latest at the right.
func sparks(builds []*buildlog.Build, most int) (string, int) {
	levels := []rune("▁▂▃▄▅▆▇█")
	var out []rune
	for _, b := range builds {
		if rate := hitRate(cacheSteps(b)); rate >= 0 && len(out) < most {
			out = append([]rune{levels[int(rate*float64(len(levels)-1)+0.5)]}, out...)
		}
	}
	return string(out), len(out)
}

func (m *Model) containersPart() part {
	p := part{title: "CONTAINERS", note: line{}.to(17-len("CONTAINERS")).say(faint, "STATE").right(37-len("CONTAINERS"), faint, "CPU").right(45-len("CONTAINERS"), faint, "MEMORY").say(faint, "  COMMAND, LAST OUTPUT")}
	if len(m.Containers) == 0 {
		p.note, p.lines = nil, []line{line{}.say(faint, "none ran here")}
		return p
	}
	for i := range m.Containers {
		p.lines = append(p.lines, m.containerLine(&m.Containers[i]))
	}
	return p
}

func (m *Model) containerLine(c *Container) line {
	name := c.Name
	if name == "" {
		name = short(c.ID)
	}
	l := line{}.say(strong, "%s", shorten(name, 16, 0)).to(17)
	state, k := c.state(m)
	l = l.say(k, "%s", shorten(state, 16, 0))
	if c.Running() {
		cpu := "…"
		if c.CPU >= 0 {
			cpu = percent(c.CPU)
		}
		l = l.right(37, plain, cpu).right(45, plain, cli.Size(c.Load.Memory))
	}
	l = l.to(47).say(plain, "%s", strings.Join(c.Command, " "))
	if c.Last != "" {
		l = l.cut(72).say(faint, "  %s", c.Last)
	}
	return l
}

// state says in a few words what a container does or how it ended.
func (c *Container) state(m *Model) (string, look) {
	switch {
	case c.Status == container.Running:
		return "up " + ago(m.Time.Sub(c.Started)), good
	case c.Running():
		return string(c.Status), work
	case c.Exit.OOM:
		return "out of memory", bad
	case c.Exit.Unknown:
		return "killed", bad
	case c.Exit.Status == 0:
		return "done " + ago(m.Time.Sub(c.Finished)) + " ago", faint
	}
	return fmt.Sprintf("exit %d %s ago", c.Exit.Status, ago(m.Time.Sub(c.Finished))), bad
}
