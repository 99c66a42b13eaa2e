package dashboard

import (
	"slices"
	"strings"
	"testing"
	"time"

	"docksmith/lib/buildlog"
	"docksmith/lib/keep"
)

// TestAreasAreDividedIntoWhatLiesThere by kind, under the names that people know.
func TestAreasAreDividedIntoWhatLiesThere(t *testing.T) {
	inv := &keep.Inventory{}
	for i, name := range []string{"blobs", "snapshots", "cache", "mounts", "fetched", "builds", "failed", "containers", "volumes"} {
		inv.Areas = append(inv.Areas, keep.Area{Area: name, Bytes: int64(100 + i), Items: i, Reclaimable: 7})
	}
	add := func(bytes int64, kind, name, text string, refs ...string) {
		inv.Items = append(inv.Items, &keep.Item{Kind: kind, Name: name, Text: text, Bytes: bytes, Refs: refs})
	}
	add(30, keep.KindBlob, "sha256:1", "layer", "image a:v1", "step RUN make\\\n all")
	add(40, keep.KindBlob, "sha256:2", "layer", "image a:v1")
	add(0, keep.KindBlob, "sha256:3", "")
	add(500, keep.KindBlob, "more than there is", "")
	add(10, keep.KindSnapshot, "sha256:4", "", "image a:v1", "image b:v1", "image c:v1")
	add(11, keep.KindRecord, "blake3:5", "RUN x")
	add(12, keep.KindIndex, "index", "")
	add(13, keep.KindMount, "m", "id of a mount")
	add(14, keep.KindFetched, "f", "")
	add(15, keep.KindLog, "l", "")
	add(16, keep.KindFailed, "x", "")
	add(17, keep.KindContainer, "c", "web")
	add(18, keep.KindVolume, "v", "data")
	want := map[string][]Part{
		"blobs": {{"a:v1", 40}, {"RUN make all", 30}, {"all else", 30}}, "snapshots": {{"all else", 91}, {"a:v1 and 2 more", 10}},
		"cache": {{"all else", 79}, {"index", 12}, {"RUN x", 11}}, "mounts": {{"all else", 90}, {"id of a mount", 13}}, "fetched": {{"all else", 90}, {"f", 14}},
		"builds": {{"all else", 90}, {"l", 15}}, "failed": {{"all else", 90}, {"x", 16}}, "containers": {{"all else", 90}, {"web", 17}}, "volumes": {{"all else", 90}, {"data", 18}},
	}
	got := areas(inv)
	for i, a := range got {
		if !slices.Equal(a.Parts, want[a.Name]) {
			t.Errorf("%s: %+v, want %+v", a.Name, a.Parts, want[a.Name])
		}
		if i > 0 && a.Bytes > got[i-1].Bytes || a.Reclaimable != 7 || a.Items != int(a.Bytes-100) {
			t.Errorf("%+v", a)
		}
	}
	if len(got) != len(want) {
		t.Errorf("%+v", got)
	}
}

// TestABuildThatRuns is measured up to now, in its list and in its timeline.
func TestABuildThatRuns(t *testing.T) {
	m := fixture("")
	m.Builds = []*buildlog.Build{{ID: "runs", State: buildlog.Running, Began: at.Add(-20 * time.Second), Tags: []string{"app:v3"}, Steps: []buildlog.Step{
		{Number: 1, Total: 2, Stage: "0", Text: "FROM base", Done: true, Ended: 1}, {Number: 2, Total: 2, Stage: "0", Text: "RUN sleep", Cache: "miss", Began: 10},
	}}}
	text := strings.Join(m.Text(TextOptions{}), "\n")
	if !strings.Contains(text, "running    20.0s     20s ago  0/1 cached    app:v3  2/2 RUN sleep") {
		t.Error(text)
	}
	got := page(t, m)
	for _, part := range []string{"app:v3, running in 20.0s.", `<title>RUN sleep: running, 10.0s</title>`, `<rect class="work" x="50.00%" y="18" width="50.00%"`, `<rect class="rest" x="0.00%" y="18" width="5.00%"`} {
		if !strings.Contains(got, part) {
			t.Errorf("the page lacks %s", part)
		}
	}
	m.Builds[0].State = buildlog.Cut
	if got := page(t, m); !strings.Contains(got, "<title>RUN sleep: not done, 0s</title>") {
		t.Error("the step of a build that was killed is not told from one that runs")
	}
}

func TestPageSaysWhatItLacks(t *testing.T) {
	got := page(t, fixture("line\nbreak"))
	if strings.Count(got, "not all can be looked at") != 2 || !strings.Contains(got, "line break") {
		t.Error("the page does not say that the disk was not looked at wholly, or breaks a line")
	}
	if text := strings.Join(fixture("x").Text(TextOptions{}), "\n"); !strings.Contains(text, "DISK  not all can be looked at") {
		t.Error(text)
	}
}

func TestUnits(t *testing.T) {
	for s, want := range map[float64]string{0: "0s", -1: "0s", 0.0000001: "1ms", 0.05: "50ms", 0.1: "0.1s", 12.34: "12.3s", 100: "1m40s", 7200: "2h0m0s"} {
		if got := secondsText(s); got != want {
			t.Errorf("%v seconds: %s, want %s", s, got, want)
		}
	}
	for d, want := range map[time.Duration]string{-time.Hour: "0s", 59 * time.Second: "59s", time.Minute: "1m", 47 * time.Hour: "47h", 49 * time.Hour: "2d"} {
		if got := ago(d); got != want {
			t.Errorf("%v: %s, want %s", d, got, want)
		}
	}
	for s, want := range map[string]int{"abc": 3, "日本": 4, "e\u0301": 1, "🐳": 2, "█│…": 3} {
		if got := columns(s); got != want {
			t.Errorf("%q has %d columns, want %d", s, got, want)
		}
	}
	if got := (line{}).say(plain, "日本語").say(strong, "text").cut(6).text(false); got != "日本…" {
		t.Errorf("%q", got)
	}
}
