package build

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"docksmith/lib/cache"
)

// rounds is how many schedules a test tries.
const rounds = 5

// many is a file with n stages that do not need each other and one that needs
// them all.
func many(n int, command string) string {
	var text strings.Builder
	for i := range n {
		fmt.Fprintf(&text, "FROM base AS s%d\nRUN %s\n", i, strings.ReplaceAll(command, "%", fmt.Sprint(i)))
	}
	text.WriteString("FROM base\n")
	for i := range n {
		fmt.Fprintf(&text, "COPY --from=s%d /f%d /\n", i, i)
	}
	return text.String()
}

func TestStagesRunAtTheSameTime(t *testing.T) {
	for _, limit := range []int{1, 2, 3, 8} {
		s := newTreeStore(t)
		// Each waits for as many as may run at once: fewer never come.
		var begun atomic.Int32
		all := make(chan struct{})
		run := &fakeRunner{most: time.Millisecond, started: func(string) {
			if int(begun.Add(1)) == limit {
				close(all)
			}
			<-all
		}}
		_, err := Build(t.Context(), parse(t, many(8, "put f% x")), Options{
			Store: s, View: s.mergedView, Runner: run, Jobs: make(fakeJobs, limit),
		})
		if err != nil {
			t.Fatal(err)
		}
		if run.max != limit || run.all != 8 {
			t.Errorf("%d of %d commands at once, want %d", run.max, run.all, limit)
		}
	}
}

// tangle has steps in common, stages in a row, next to each other and across, a
// trigger that needs a stage of its own, and a command that gives something else
// each time.
const tangle = `
FROM base AS lone
RUN put f-lone x

FROM base AS a
RUN stamp f-once
WORKDIR /w
RUN put f-a 1

FROM base AS b
RUN stamp f-once
WORKDIR /w
RUN put f-b 2
COPY --from=a f-a f-once /from-a/

FROM base AS c
RUN stamp f-once
WORKDIR /w
RUN put f-a 1
ARG X=1
RUN put f-c 3

FROM parent AS d
COPY --from=b f-b f-once /
RUN put f-d 4

FROM a AS e
COPY --link --from=c f-c /
COPY --from=b /from-a /

FROM base
COPY --from=d / /d/
COPY --from=e / /e/
COPY --from=a f-once /
`

func TestScheduleDoesNotShow(t *testing.T) {
	for _, noOverlay := range []bool{false, true} {
		var wantCold, wantWarm string
		for round := range rounds {
			s := newTreeStore(t, "COPY --from=lone /f-lone /", "RUN put f-trigger x")
			known, err := cache.Open(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			run := &fakeRunner{most: 2 * time.Millisecond}
			limit := 1 + rand.IntN(4)
			var images []string
			build := func(want *string) {
				account := &fakeAccount{}
				var warnings []string
				r, err := Build(t.Context(), parse(t, tangle), Options{
					Store: s, View: s.mergedView, Runner: run, Cache: known, Account: account, Jobs: make(fakeJobs, limit), NoOverlay: noOverlay,
					Args: map[string]string{"X": "2", "Y": "3"},
					Events: func(e Event) {
						if e.Type == EventWarning {
							warnings = append(warnings, e.Text)
						}
					},
				})
				if err != nil {
					t.Fatal(err)
				}
				slices.Sort(warnings)
				images = append(images, imageSum(t, r.Image))
				got := fmt.Sprint(r.Hits, r.Misses, account.lines, warnings, len(run.ran))
				if *want == "" {
					*want = got
				}
				if got != *want {
					t.Fatalf("round %d: %s", round, cmp.Diff(*want, got))
				}
			}
			build(&wantCold)
			build(&wantWarm)
			if images[0] != images[1] {
				t.Fatalf("round %d: a cached build gave another image", round)
			}
			stamps := slices.DeleteFunc(run.ran, func(c string) bool { return c != "stamp f-once" })
			if len(stamps) != 1 {
				t.Fatalf("round %d: a common command was executed %d times", round, len(stamps))
			}
		}
	}
}

// TestSameImageOnAnySchedule is without a command of changing result, so that
// images of different stores are equal too.
func TestSameImageOnAnySchedule(t *testing.T) {
	want := ""
	for round := range rounds {
		s := newTreeStore(t, "COPY --from=s3 /f3 /triggered")
		r, err := Build(t.Context(), parse(t, many(6, "put f% x")+"FROM parent\nRUN put f 1\nCOPY --from=6 / /all/"), Options{
			Store: s, View: s.mergedView, Runner: &fakeRunner{most: 2 * time.Millisecond}, Jobs: make(fakeJobs, 1+rand.IntN(4)), NoOverlay: round%2 > 0,
		})
		if err != nil {
			t.Fatal(err)
		}
		got := imageSum(t, r.Image)
		if want == "" {
			want = got
		}
		if got != want {
			t.Fatalf("round %d: image %s, want %s", round, got, want)
		}
	}
}

func TestCancelledBuild(t *testing.T) {
	s := newTreeStore(t)
	ctx, cancel := context.WithCancel(t.Context())
	run := &fakeRunner{started: func(command string) {
		if command == "wait" {
			cancel()
		}
	}}
	jobs := make(fakeJobs, 1)
	_, err := Build(ctx, parse(t, many(4, "wait")), Options{Store: s, Runner: run, Jobs: jobs})
	if !errors.Is(err, context.Canceled) || err.Error() != context.Canceled.Error() {
		t.Errorf("error %v", err)
	}
	if run.all != 1 || len(jobs) != 0 {
		t.Errorf("%d commands, %d slots kept", run.all, len(jobs))
	}
}

// A step that has ended, waits for a stage or comes from the cache has no slot.
func TestSlotsAreForExecution(t *testing.T) {
	s := newTreeStore(t)
	known, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	o := Options{Store: s, View: s.mergedView, Runner: &fakeRunner{}, Cache: known, Jobs: make(fakeJobs, 1)}
	file := "FROM base AS slow\nRUN put f1 x\nRUN put f2 x\nFROM base\nRUN put f3 x\nCOPY --from=slow / /\n"
	if _, err := Build(t.Context(), parse(t, file), o); err != nil {
		t.Fatal(err) // one slot is enough for a stage that waits for another
	}
	o.Jobs = make(fakeJobs) // none at all
	r, err := Build(t.Context(), parse(t, file), o)
	if err != nil || r.Hits != 4 {
		t.Errorf("hits %+v, %v", r, err)
	}
}

// Numbers of steps are those of the file; each event knows its own.
func TestEventsKnowTheirStep(t *testing.T) {
	s := newTreeStore(t)
	var inside atomic.Bool
	open := map[int]bool{}
	_, err := Build(t.Context(), parse(t, many(4, "put f% x")), Options{
		Store: s, View: s.mergedView, Runner: &fakeRunner{most: time.Millisecond},
		Events: func(e Event) {
			if inside.Swap(true) {
				t.Error("two events at once")
			}
			defer inside.Store(false)
			if e.Total != 13 || e.Stage == "" && e.Step != 9 || e.Step != wantStep(e.Line) {
				t.Errorf("event %+v", e)
			}
			switch e.Type {
			case EventStart:
				open[e.Step] = true
			case EventDone:
				delete(open, e.Step)
			}
		},
	})
	if err != nil || len(open) > 0 {
		t.Errorf("%v; not done: %v", err, open)
	}
}

// wantStep is the number of a line's instruction: in that file they are equal.
func wantStep(line int) int { return line }
