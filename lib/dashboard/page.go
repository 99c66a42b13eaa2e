package dashboard

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/cli"
)

var escaper = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&quot;", "'", "&#39;")

// WritePage draws the model as a page of HTML that needs nothing else: no
// script, no font, no picture. Its policy forbids all of these, and any style
// but its own.
func (m *Model) WritePage(w io.Writer) error {
	if _, err := io.WriteString(w, "<!DOCTYPE html>\n"); err != nil {
		return err
	}
	css := sheet()
	sum := sha256.Sum256([]byte(css))
	policy := "default-src 'none'; style-src 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'; base-uri 'none'; form-action 'none'"
	head := e("head").add(
		e("meta", "charset", "utf-8"),
		e("meta", "http-equiv", "Content-Security-Policy", "content", policy),
		e("meta", "name", "viewport", "content", "width=device-width, initial-scale=1"),
		e("meta", "name", "referrer", "content", "no-referrer"),
		e("title").text("Docksmith: %s", m.Root),
		e("style").style(css),
	)
	body := e("body").add(m.header(), m.tiles(), e("main").add(
		m.diskSection(), m.cacheSection(), m.timelineSection(), m.containersSection(), m.layersSection(), m.buildsSection(), m.imagesSection(),
	), e("footer").text("Made by docksmith dashboard --html."))
	return e("html", "lang", "en").add(head, body).write(w)
}

func (m *Model) header() *element {
	return e("header").add(e("h1").text("Docksmith"), e("p").text("%s, ", m.Root).add(stampElement(m.Time)))
}

func stampElement(t time.Time) *element {
	if t.IsZero() {
		return e("span")
	}
	return e("time", "datetime", t.UTC().Format(time.RFC3339)).text("%s", t.UTC().Format("2006-01-02 15:04:05 UTC"))
}

// tiles are the figures that matter most.
func (m *Model) tiles() *element {
	stored, unshared := m.layerSizes()
	rate, saved := "unused", "no build used it yet"
	if r := hitRate(m.Cache.Hits, m.Cache.Misses); r >= 0 {
		rate, saved = percent(r)+" hits", secondsText(m.Cache.SavedSeconds)+" saved"
	}
	shared := "nothing is shared yet"
	if unshared > stored {
		shared = cli.Size(unshared-stored) + " less by sharing"
	}
	total, free := m.diskTotal()
	disk := "nothing could be freed"
	if m.Partial {
		disk = "at least: not all can be looked at"
	} else if free > 0 {
		disk = cli.Size(free) + " could be freed"
	}
	var cpu float64
	var memory int64
	for i := range m.Containers {
		cpu += max(m.Containers[i].CPU, 0)
		memory += m.Containers[i].Load.Memory
	}
	load := "no container runs"
	if m.Runs() {
		load = percent(cpu) + " of a processor, " + cli.Size(memory)
	}
	return e("dl").add(
		tile("Images", strconv.Itoa(len(m.Images)), count(len(m.Layers), "layer", "layers")),
		tile("Layers", cli.Size(stored), shared),
		tile("Disk", cli.Size(total), disk),
		tile("Cache", rate, saved),
		tile("Running", strconv.Itoa(m.running()), load),
	)
}

func tile(name, value, note string) *element {
	return e("div").add(e("dt").text("%s", name), e("dd").text("%s", value).add(e("small").text("%s", note)))
}

// section is a card of the page.
func section(id, class, title, note string, kids ...*element) *element {
	s := e("section", "id", id, "class", class, "aria-labelledby", id+"-title")
	s.add(e("h2", "id", id+"-title").text("%s", title))
	if note != "" {
		s.add(e("p").text("%s", note))
	}
	return s.add(kids...)
}

// key explains a colour of a chart.
func key(class, text string) *element {
	return e("span", "class", "key").add(e("svg", "aria-hidden", "true").add(e("rect", "class", class, "width", "11", "height", "11")), e("span").text("%s", text))
}

// column is a column of a table; num ends it at the right.
type column struct {
	title string
	num   bool
}

// table makes a table that keeps its meaning where a phone shows rows as blocks.
// A cell is text or an element.
func table(columns []column, rows [][]any) *element {
	class := func(c column) []string {
		if c.num {
			return []string{"class", "num"}
		}
		return nil
	}
	head := e("tr", "role", "row")
	for _, c := range columns {
		head.add(e("th", append(class(c), "role", "columnheader", "scope", "col")...).text("%s", c.title))
	}
	body := e("tbody", "role", "rowgroup")
	for _, row := range rows {
		tr := e("tr", "role", "row")
		for i, cell := range row {
			td := e("td", append(class(columns[i]), "role", "cell", "data-label", columns[i].title)...)
			switch cell := cell.(type) {
			case *element:
				td.add(cell)
			case string:
				if cell != "" {
					td.text("%s", cell)
				}
			}
			tr.add(td)
		}
		body.add(tr)
	}
	return e("table", "role", "table").add(e("thead", "role", "rowgroup").add(head), body)
}

// figures is a table of what a chart shows, folded away.
func figures(title string, columns []column, rows [][]any) *element {
	return e("details").add(e("summary").text("%s", title), table(columns, rows))
}

func code(text string) *element { return e("code").text("%s", text) }

// id is what must not be broken into two lines.
func id(text string) *element { return e("code", "class", "id").text("%s", text) }

func (m *Model) containersSection() *element {
	if len(m.Containers) == 0 {
		return section("containers", "", "Containers", "None ran here.")
	}
	var rows [][]any
	for i := range m.Containers {
		c := &m.Containers[i]
		name := c.Name
		if name == "" {
			name = short(c.ID)
		}
		text, k := c.state(m)
		state := e("span").text("%s", text)
		switch k {
		case bad:
			state = e("span", "class", "state-bad").text("%s", text)
		case good:
			state = e("span", "class", "state-run").text("%s", text)
		}
		cpu, memory := "", ""
		if c.Running() {
			memory = cli.Size(c.Load.Memory)
			if c.CPU >= 0 {
				cpu = percent(c.CPU)
			}
		}
		rows = append(rows, []any{name, state, c.Image, cpu, memory, code(strings.Join(c.Command, " ")), lastElement(c.Last)})
	}
	return section("containers", "", "Containers", "Those that run, and the last that ended.",
		table([]column{{"Name", false}, {"State", false}, {"Image", false}, {"CPU", true}, {"Memory", true}, {"Command", false}, {"Last output", false}}, rows))
}

func lastElement(text string) any {
	if text == "" {
		return ""
	}
	return code(text)
}

// pageBuilds is how many builds the page lists.
const pageBuilds = 20

func (m *Model) buildsSection() *element {
	if len(m.Builds) == 0 {
		return nil
	}
	var rows [][]any
	for _, b := range m.Builds[:min(len(m.Builds), pageBuilds)] {
		hits, misses := cacheSteps(b)
		state := e("span").text("%s", b.State)
		if b.Failure != "" {
			state = e("span", "class", "state-bad").text("%s: %s", b.State, b.Failure)
		}
		cached := ""
		if hits+misses > 0 {
			cached = fmt.Sprintf("%d of %d", hits, hits+misses)
		}
		rows = append(rows, []any{id(b.ID), stampElement(b.Began), state, secondsText(buildSeconds(m, b)), cached, buildName(b), b.File})
	}
	return section("builds", "", "Recent builds", "",
		table([]column{{"Build", false}, {"Began", false}, {"State", false}, {"Took", true}, {"Cached", true}, {"Image", false}, {"File", false}}, rows))
}

func (m *Model) imagesSection() *element {
	if len(m.Images) == 0 {
		return section("images", "", "Images", "There is none yet.",
			e("p").add(code("docksmith base NAME")).text(" makes a first one of this machine's shell."),
			e("p").add(code("docksmith build -t NAME DIRECTORY")).text(" builds one by the Dockerfile in a directory."))
	}
	var rows [][]any
	for i := range m.Images {
		image := &m.Images[i]
		size := cli.Size(image.Size)
		if image.Error != "" {
			size = "broken: " + image.Error
		}
		rows = append(rows, []any{image.Name, id(image.ID), stampElement(image.Created), size, strconv.Itoa(len(image.Layers)), labels(image.Labels)})
	}
	return section("images", "", "Images", "", figures(count(len(m.Images), "image", "images")+" with their labels",
		[]column{{"Name", false}, {"ID", false}, {"Created", false}, {"Size", true}, {"Layers", true}, {"Labels", false}}, rows))
}

// labels lists labels by name.
func labels(set map[string]string) any {
	if len(set) == 0 {
		return ""
	}
	list := e("span")
	for i, name := range slices.Sorted(maps.Keys(set)) {
		if i > 0 {
			list.text(", ")
		}
		list.add(code(name + "=" + set[name]))
	}
	return list
}
