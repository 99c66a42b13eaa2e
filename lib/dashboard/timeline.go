package dashboard

import (
	"fmt"
	"slices"
	"strconv"

	"docksmith/lib/buildlog"
)

// Heights of the timeline, in pixels.
const (
	axisHeight  = 20
	stageHeight = 26
	stepHeight  = 34
	spanHeight  = 9
)

// timelineSection draws the last build: its steps by stage, each with the time
// that it took.
func (m *Model) timelineSection() *element {
	if len(m.Builds) == 0 {
		return nil
	}
	b := m.Builds[0]
	total := buildSeconds(m, b)
	for _, s := range b.Steps {
		total = max(total, s.Began, s.Ended)
	}
	chart := e("svg", "class", "spans", "role", "img", "aria-label", fmt.Sprintf("The %s of the last build over %s; the table has the same", count(len(b.Steps), "step", "steps"), secondsText(total)))
	chart.add(e("text", "class", "quiet", "x", "0", "y", "12").text("0"), e("text", "class", "quiet end", "x", "100%", "y", "12").text("%s", secondsText(total)))
	y := axisHeight
	var rows [][]any
	for _, stage := range stages(b) {
		chart.add(e("text", "class", "strong", "x", "0", "y", strconv.Itoa(y+17)).text("%s", stage.name))
		y += stageHeight
		for _, s := range stage.steps {
			chart.add(m.stepSpan(b, s, total, y))
			y += stepHeight
			rows = append(rows, []any{strconv.Itoa(s.Number), stage.name, code(oneLine(s.Text)), s.outcome(b), secondsText(s.Began), secondsText(s.end(b, total) - s.Began)})
		}
	}
	chart.attrs = append(chart.attrs, "height", strconv.Itoa(y))
	note := fmt.Sprintf("%s, %s in %s.", buildName(b), b.State, secondsText(buildSeconds(m, b)))
	keys := e("p").add(key("work", "done now"), key("cache", "from the cache"), key("rest", "makes no layer"), key("bad", "failed"))
	return section("timeline", "", "Last build", note, keys, chart,
		figures("The same as a table", []column{{"Step", true}, {"Stage", false}, {"Instruction", false}, {"Outcome", false}, {"Began", true}, {"Took", true}}, rows))
}

// step is a step with what is known of its end.
type step struct{ buildlog.Step }

type stageSteps struct {
	name  string
	steps []step
}

// stages are the steps by stage, in the order of the file.
func stages(b *buildlog.Build) []stageSteps {
	steps := slices.Clone(b.Steps)
	slices.SortStableFunc(steps, func(x, y buildlog.Step) int { return x.Number - y.Number })
	var list []stageSteps
	for i, s := range steps {
		if s.Stage == "" && i+1 < len(steps) { // the FROM of a stage without a name
			s.Stage = steps[i+1].Stage
		}
		name := "stage " + s.Stage
		if s.Stage == "" {
			name = "steps"
		}
		i := slices.IndexFunc(list, func(st stageSteps) bool { return st.name == name })
		if i < 0 {
			i, list = len(list), append(list, stageSteps{name: name})
		}
		list[i].steps = append(list[i].steps, step{s})
	}
	return list
}

// end is when a step ended, or when the build did.
func (s step) end(b *buildlog.Build, total float64) float64 {
	if s.Done {
		return max(s.Ended, s.Began)
	}
	return total
}

// outcome says what became of a step.
func (s step) outcome(b *buildlog.Build) string {
	switch {
	case s.Failed:
		return "failed"
	case !s.Done && b.State == buildlog.Running:
		return "running"
	case !s.Done:
		return "not done"
	case s.Cache == "hit":
		return "from the cache"
	case s.Cache == "miss":
		return "done now"
	}
	return "makes no layer"
}

func (s step) colour(b *buildlog.Build) string {
	switch {
	case s.Failed:
		return "bad"
	case s.Cache == "hit":
		return "cache"
	case s.Cache == "miss", !s.Done:
		return "work"
	}
	return "rest"
}

// stepSpan is a step's text, and below it its time.
func (m *Model) stepSpan(b *buildlog.Build, s step, total float64, y int) *element {
	took := s.end(b, total) - s.Began
	from, wide := 0.0, 0.0
	if total > 0 {
		from, wide = min(s.Began/total, 0.995), took/total
	}
	row := e("svg", "y", strconv.Itoa(y), "height", strconv.Itoa(stepHeight))
	text := e("svg", "width", "84%", "height", "20").add(e("text", "x", "0", "y", "13").text("%d  %s", s.Number, oneLine(s.Text)))
	return row.add(e("title").text("%s: %s, %s", oneLine(s.Text), s.outcome(b), secondsText(took)), text,
		e("text", "class", "quiet end", "x", "100%", "y", "13").text("%s", secondsText(took)),
		e("rect", "class", "track", "y", "18", "width", "100%", "height", strconv.Itoa(spanHeight)),
		e("rect", "class", s.colour(b), "x", share100(from), "y", "18", "width", share100(min(max(wide, 0.005), 1-from)), "height", strconv.Itoa(spanHeight)))
}
