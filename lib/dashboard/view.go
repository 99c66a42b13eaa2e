package dashboard

// View is what a person who sits at a terminal has chosen to look at: the whole,
// or one part of it with a place in that. The zero value is the whole.
type View struct {
	part byte // the first letter of its title, 0 for the whole
	top  int  // the first line that is seen
}

// What the terminals send for keys that are no letters, in both of their modes.
const (
	keyUp, keyUp2     = "\x1b[A", "\x1bOA"
	keyDown, keyDown2 = "\x1b[B", "\x1bOB"
	keyPageUp         = "\x1b[5~"
	keyPageDown       = "\x1b[6~"
)

// pageLines is how far a page goes: less than any screen that has parts has.
const pageLines = 10

// Key takes a key as the terminal sends it, and tells whether there is something
// else to see now.
func (v *View) Key(key string) bool {
	was := *v
	switch key {
	case "c", "b", "i":
		*v = View{part: key[0]}
	case "a", "\x1b":
		*v = View{}
	case "k", keyUp, keyUp2:
		v.top--
	case "j", keyDown, keyDown2:
		v.top++
	case keyPageUp:
		v.top -= pageLines
	case " ", keyPageDown:
		v.top += pageLines
	case "g":
		v.top = 0
	}
	v.top = max(v.top, 0)
	return *v != was
}

// Draw draws what is to be seen of the model, with the keys in the last line.
func (v *View) Draw(m *Model, o TextOptions) []string {
	if o.Height < 2 {
		return m.Text(o)
	}
	keys := line{}.say(faint, "q quit · c containers · b builds · i images · a all")
	if v.part != 0 {
		keys = append(keys, line{}.say(faint, " · ↑ ↓ space")...)
	}
	screen := o
	screen.Height--
	var lines []string
	if v.part == 0 {
		lines = m.Text(screen)
	} else {
		lines = v.alone(m, screen)
	}
	for len(lines) < screen.Height {
		lines = append(lines, "")
	}
	return append(lines, keys.cut(o.Width).text(o.Color))
}

// alone draws one part, from a line on that leaves no room at the end.
func (v *View) alone(m *Model, o TextOptions) []string {
	p := m.containersPart()
	switch v.part {
	case 'b':
		p = m.buildsPart(len(m.Builds))
	case 'i':
		p = m.imagesPart()
	}
	lines := append(m.head(o.width()), nil, p.heading())
	room := max(o.Height-len(lines), 0)
	v.top = min(v.top, max(len(p.lines)-room, 0))
	lines = append(lines, p.lines[v.top:min(v.top+room, len(p.lines))]...)
	return o.texts(lines)
}
