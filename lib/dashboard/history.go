package dashboard

import (
	"fmt"
	"slices"
	"strconv"

	"docksmith/lib/buildlog"
)

// historyBuilds is how many builds the cache's history shows.
const historyBuilds = 60

// cacheSection draws what the cache had for each of the last builds: a bar is a
// build, as high as its steps that make layers.
func (m *Model) cacheSection() *element {
	var list []*buildlog.Build
	var most int64
	for _, b := range m.Builds {
		hits, misses := cacheSteps(b)
		if hits+misses > 0 && len(list) < historyBuilds {
			list = append(list, b)
			most = max(most, hits+misses)
		}
	}
	if len(list) == 0 {
		return section("cache", "half", "Cache", "No build that is recorded looked into it.")
	}
	slices.Reverse(list) // the latest at the right
	chart := e("svg", "class", "bars map", "role", "img", "aria-label", fmt.Sprintf("Cache hits and misses of the last %s; the table has the same", count(len(list), "build", "builds")))
	plot := e("svg", "y", "18", "class", "below")
	for _, at := range []string{"0.5", "50%", "99.7%"} {
		plot.add(e("line", "class", "grid", "x1", "0", "x2", "100%", "y1", at, "y2", at))
	}
	var rows [][]any
	wide := 1 / float64(max(len(list), 12))
	for i, b := range list {
		hits, misses := cacheSteps(b)
		plot.add(historyBar(b, box{float64(i) * wide, 0, wide, 0}, float64(hits)/float64(most), float64(misses)/float64(most)))
		rows = append(rows, []any{id(b.ID), stampElement(b.Began), buildName(b), strconv.FormatInt(hits, 10), strconv.FormatInt(misses, 10)})
	}
	chart.add(plot, e("text", "class", "quiet", "x", "2", "y", "12").text("%s", count(int(most), "step", "steps")))
	axis := e("p", "class", "axis").add(stampElement(list[0].Began), stampElement(list[len(list)-1].Began))
	keys := e("p").add(key("cache", "from the cache"), key("work", "not in the cache"))
	slices.Reverse(rows)
	note := fmt.Sprintf("%s and %s in %s, %s saved. A bar is one of the last builds, the latest at the right.", count(int(m.Cache.Hits), "hit", "hits"), count(int(m.Cache.Misses), "miss", "misses"), count(int(m.Cache.Builds), "build", "builds"), secondsText(m.Cache.SavedSeconds))
	return section("cache", "half", "Cache", note, chart, axis, keys,
		figures("The same as a table", []column{{"Build", false}, {"Began", false}, {"Image", false}, {"Hits", true}, {"Misses", true}}, rows))
}

// historyBar is a build's bar: hits below, misses on them.
func historyBar(b *buildlog.Build, at box, hits, misses float64) *element {
	bar := e("g").add(e("title").text("%s, %s: %s of its steps from the cache", buildName(b), b.Began.UTC().Format("2006-01-02 15:04:05"), percent(hits/(hits+misses))))
	x, w := share100(at.x+at.w*0.1), share100(at.w*0.8)
	if hits > 0 {
		bar.add(e("rect", "class", "cache", "x", x, "y", share100(1-hits), "width", w, "height", share100(hits)))
	}
	if misses > 0 {
		bar.add(e("rect", "class", "work", "x", x, "y", share100(1-hits-misses), "width", w, "height", share100(misses)))
	}
	return bar
}
