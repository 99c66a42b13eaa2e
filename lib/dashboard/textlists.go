package dashboard

import (
	"strings"

	"docksmith/lib/buildlog"
	"docksmith/lib/cli"
)

// buildsShown is how many builds the text lists.
const buildsShown = 10

func (m *Model) buildsPart(most int) part {
	p := part{title: "BUILDS"}
	if len(m.Builds) == 0 {
		p.lines = []line{line{}.say(faint, "none is recorded")}
		return p
	}
	for _, b := range m.Builds[:min(len(m.Builds), most)] {
		p.lines = append(p.lines, m.buildLine(b))
	}
	return p
}

func (m *Model) buildLine(b *buildlog.Build) line {
	l := line{}.say(faint, "%s", b.ID).to(14)
	k := plain
	switch b.State {
	case buildlog.Running:
		k = good
	case buildlog.Failed, buildlog.Cut, buildlog.Cancelled:
		k = bad
	}
	l = l.say(k, "%s", b.State).to(24).right(30, plain, secondsText(buildSeconds(m, b))).right(42, faint, ago(m.Time.Sub(b.Began))+" ago")
	hits, misses := cacheSteps(b)
	l = l.to(44)
	if hits+misses > 0 {
		l = l.say(cached, "%d", hits).say(plain, "/%d cached", hits+misses)
	}
	l = l.to(58).say(strong, "%s", buildName(b))
	if b.State == buildlog.Running && len(b.Steps) > 0 {
		s := b.Steps[len(b.Steps)-1]
		l = l.say(plain, "  %d/%d %s", s.Number, s.Total, oneLine(s.Text))
	}
	if b.Failure != "" {
		l = l.say(bad, "  %s", oneLine(b.Failure))
	}
	return l
}

// buildSeconds is how long a build took, or has taken so far.
func buildSeconds(m *Model, b *buildlog.Build) float64 {
	if b.State == buildlog.Running {
		return m.Time.Sub(b.Began).Seconds()
	}
	return b.Seconds
}

// buildName is what a build was to give.
func buildName(b *buildlog.Build) string {
	if len(b.Tags) > 0 {
		return strings.Join(b.Tags, ", ")
	}
	if _, digits, ok := strings.Cut(b.Digest, ":"); ok {
		return short(digits)
	}
	return b.File
}

// oneLine joins the lines of an instruction.
func oneLine(text string) string {
	return strings.Join(strings.Fields(strings.ReplaceAll(text, "\\\n", " ")), " ")
}

func (m *Model) imagesPart() part {
	stored, unshared := m.layerSizes()
	p := part{title: "IMAGES AND LAYERS"}
	if len(m.Images) == 0 {
		p.lines = []line{line{}.say(faint, "none: docksmith base NAME makes a first one")}
		return p
	}
	p.note = line{}.say(faint, "  %s stored once, %s without sharing", cli.Size(stored), cli.Size(unshared))
	for _, n := range m.Tree {
		p.lines = n.draw(p.lines, "", "")
	}
	for i := range m.Images {
		if i := &m.Images[i]; i.Error != "" {
			p.lines = append(p.lines, line{}.say(strong, "%s", i.Name).say(bad, "  %s", i.Error))
		}
	}
	return p
}

// draw adds the lines of a node and of what is on it. first stands before its
// own line, further before all below it.
func (n *Node) draw(lines []line, first, further string) []line {
	l := line{}.say(faint, "%s", first)
	if len(n.Layers) == 0 {
		l = l.say(plain, "no layer")
	} else {
		l = l.say(data, "%s", n.Layers[len(n.Layers)-1].ID).say(plain, " %s", cli.Size(n.Size()))
	}
	if len(n.Layers) > 1 {
		l = l.say(plain, " in %d layers", len(n.Layers))
	}
	if n.leaves > 1 {
		l = l.say(cached, " shared by %d", n.leaves)
	}
	if len(n.On) == 0 && len(n.Images) == 1 { // the image on the same line
		return append(lines, l.say(plain, " ─ ").say(strong, "%s", n.Images[0].Name).say(faint, "  %s", n.by()))
	}
	lines = append(lines, l.say(faint, "  %s", n.by()))
	for i, image := range n.Images {
		mark := "├─ "
		if i == len(n.Images)-1 && len(n.On) == 0 {
			mark = "└─ "
		}
		lines = append(lines, line{}.say(faint, "%s%s", further, mark).say(strong, "%s", image.Name))
	}
	for i, c := range n.On {
		if i == len(n.On)-1 {
			lines = c.draw(lines, further+"└─ ", further+"   ")
		} else {
			lines = c.draw(lines, further+"├─ ", further+"│  ")
		}
	}
	return lines
}

// by is the instruction of the node's last layer.
func (n *Node) by() string {
	if len(n.Layers) == 0 {
		return ""
	}
	return madeBy(n.Layers[len(n.Layers)-1])
}

// madeBy is the instruction that made a layer, without what all of them have.
func madeBy(l *Layer) string {
	text := strings.TrimSuffix(oneLine(l.By), " # buildkit")
	if command, ok := strings.CutPrefix(text, "RUN /bin/sh -c "); ok {
		return "RUN " + command
	}
	return text
}
