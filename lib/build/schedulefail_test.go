package build

import (
	"context"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"docksmith/lib/cache"
)

func TestFirstErrorEndsTheRest(t *testing.T) {
	for range rounds {
		s := newTreeStore(t)
		known, err := cache.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		run := &fakeRunner{}
		file := "FROM base AS a\nRUN put f1 x\nRUN wait\nFROM base AS b\nRUN put f2 x\nRUN fail 7\nRUN put never x\n" +
			"FROM a AS c\nRUN put never x\nFROM scratch\nCOPY --from=c / /\nCOPY --from=b / /\n"
		o := Options{Store: s, View: s.mergedView, Runner: run, Cache: known}
		_, err = Build(t.Context(), parse(t, file), o)
		step, ok := errors.AsType[*StepError](err)
		if !ok || step.Line != 6 || step.Status != 7 || step.Bundle == "" {
			t.Fatalf("error %v", err)
		}
		if slices.Contains(run.ran, "put never x") {
			t.Fatalf("executed %q", run.ran)
		}
		// What had ended is not done again.
		o.Runner = &fakeRunner{}
		r, err := Build(t.Context(), parse(t, "FROM base\nRUN put f2 x"), o)
		if err != nil || r.Hits != 1 {
			t.Fatalf("%d hits, %v", r.Hits, err)
		}
	}
}

// Of faults that need no execution to be found, the first in the file is named.
func TestErrorIsThatOfTheFirstLine(t *testing.T) {
	for range rounds {
		s := newTreeStore(t)
		file := "FROM base AS a\nENV X=${A?first}\nFROM base AS b\nENV X=${A?second}\nFROM scratch\nCOPY --from=b / /\nCOPY --from=a / /\n"
		_, err := Build(t.Context(), parse(t, file), Options{Store: s})
		if err == nil || !strings.HasPrefix(err.Error(), "Dockerfile:2: ") {
			t.Fatalf("error %v", err)
		}
		file = "FROM base AS a\nRUN fail 1\nFROM nowhere AS b\nFROM base\nCOPY --from=b / /\nCOPY --from=a / /\n"
		run := &fakeRunner{}
		_, err = Build(t.Context(), parse(t, file), Options{Store: s, Runner: run})
		if err == nil || !strings.Contains(err.Error(), "Dockerfile:3: image nowhere") || run.all > 0 {
			t.Fatalf("%d commands, error %v", run.all, err)
		}
	}
}

// settleLong makes "the same time" long enough for any machine. The channel is
// closed when a first step has failed and nothing more may begin.
func settleLong(t *testing.T) <-chan struct{} {
	usual, failing := settled, make(chan struct{})
	var once sync.Once
	settled = func() <-chan time.Time {
		once.Do(func() { close(failing) })
		return time.After(time.Minute)
	}
	t.Cleanup(func() { settled = usual })
	return failing
}

// Of steps that fail at the same time the first in the file is reported, not the
// fastest, and the others with it.
func TestOfTwoFailuresTheFirstIsReported(t *testing.T) {
	settleLong(t)
	file := "FROM base AS a\nRUN fail 5\nFROM base AS b\nRUN fail 7\nFROM base AS c\nRUN late\nFROM scratch\n" +
		"COPY --from=c / /\nCOPY --from=b / /\nCOPY --from=a / /\n"
	for round := range 2 * rounds {
		s := newTreeStore(t)
		begun := make(chan struct{}, 3)
		run := &fakeRunner{started: func(command string) {
			begun <- struct{}{}
			for len(begun) < 3 {
				time.Sleep(time.Millisecond)
			}
			if command == "fail 5" && round%2 == 0 {
				time.Sleep(20 * time.Millisecond) // the others have failed by then
			}
		}}
		_, err := Build(t.Context(), parse(t, file), Options{Store: s, View: s.mergedView, Runner: run})
		step, ok := errors.AsType[*StepError](err)
		if !ok || step.Line != 2 || step.Status != 5 || len(step.Others) != 2 {
			t.Fatalf("error %v", err)
		}
		if b, c := step.Others[0], step.Others[1]; b.Line != 4 || b.Status != 7 || b.Step != 4 || c.Line != 6 || c.Status != 5 {
			t.Errorf("others %v, %v", b, c)
		}
	}
}

// While it is waited for others that may have failed, nothing new is begun.
func TestNoStepBeginsAfterAFailure(t *testing.T) {
	file := "FROM base AS a\nRUN put f1 x\nRUN put never x\nFROM base AS b\nRUN fail 7\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
	for _, jobs := range []Jobs{nil, make(fakeJobs, 2)} {
		failing := settleLong(t)
		s := newTreeStore(t)
		begun := make(chan struct{})
		run := &fakeRunner{started: func(command string) {
			switch command {
			case "put f1 x":
				close(begun)
				<-failing
			case "fail 7":
				<-begun
			}
		}}
		known, err := cache.Open(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		_, err = Build(t.Context(), parse(t, file), Options{Store: s, View: s.mergedView, Runner: run, Jobs: jobs, Cache: known})
		if step, ok := errors.AsType[*StepError](err); !ok || step.Status != 7 || len(step.Others) > 0 {
			t.Errorf("error %v", err)
		}
		if run.all != 2 {
			t.Errorf("executed %q", run.ran)
		}
		if held, ok := jobs.(fakeJobs); ok && len(held) != 0 {
			t.Errorf("%d slots kept", len(held))
		}
		// The step that came to its end in that time is not done again.
		r, err := Build(t.Context(), parse(t, "FROM base\nRUN put f1 x"), Options{Store: s, View: s.mergedView, Cache: known})
		if err != nil || r.Hits != 1 {
			t.Errorf("%+v, %v", r, err)
		}
	}
}

// handOver gives its one slot to who waits for it before the step that had it is
// through: release returns when the next has begun a command, or after a moment.
type handOver struct {
	slot, begun chan struct{}
}

func (h handOver) Acquire(context.Context) (func(), error) {
	h.slot <- struct{}{}
	return func() {
		<-h.slot
		select {
		case <-h.begun:
		case <-time.After(100 * time.Millisecond):
		}
	}, nil
}

// A step that fails gives its slot to none of the same build.
func TestFailedStepHandsItsSlotToNone(t *testing.T) {
	s := newTreeStore(t)
	jobs := handOver{make(chan struct{}, 1), make(chan struct{})}
	run := &fakeRunner{started: func(string) {
		select {
		case jobs.begun <- struct{}{}:
		default:
		}
	}}
	file := "FROM base AS a\nRUN fail 7\nFROM base AS b\nRUN fail 8\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
	if _, err := Build(t.Context(), parse(t, file), Options{Store: s, View: s.mergedView, Runner: run, Jobs: jobs}); err == nil {
		t.Error("no error")
	}
	if run.all != 1 {
		t.Errorf("executed %q", run.ran)
	}
}

// A failed step that stages have in common is reported where the first has it.
func TestCommonStepFailsForAll(t *testing.T) {
	s := newTreeStore(t)
	known, err := cache.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	file := "FROM base AS a\nRUN fail 3\nFROM base AS b\nRUN fail 3\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n"
	reached := make(chan struct{}, 2)
	run := &fakeRunner{started: func(string) { <-reached; <-reached }}
	_, err = Build(t.Context(), parse(t, file), Options{Store: s, Runner: run, Cache: known, Events: func(e Event) {
		if e.Type == EventStart && strings.HasPrefix(e.Text, "RUN") {
			reached <- struct{}{}
		}
	}})
	step, ok := errors.AsType[*StepError](err)
	if !ok || step.Line != 2 || step.Status != 3 || step.Step != 2 || len(step.Others) != 0 || run.all != 1 {
		t.Fatalf("%d commands, error %v", run.all, err)
	}
}
