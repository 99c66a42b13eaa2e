package container

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// run is a container's life from its start to its end.
func run(t *testing.T, tab *Table, s State, remove bool) {
	t.Helper()
	s.Status, s.Started = Running, time.Now()
	s.Process = ok(Self())
	s.PID = s.Process.PID
	c := ok(tab.Create(s))
	check(t, c.End(Exit{Status: 7, Limits: []string{"memory"}}, remove))
}

func TestEndedTellsOfWhatLeftNoRecord(t *testing.T) {
	tab := Open(filepath.Join(t.TempDir(), "run"))
	if list, err := tab.Ended(); err != nil || len(list) != 0 {
		t.Fatalf("none ran: %v, %v", list, err)
	}
	run(t, tab, State{Bundle: "/b", Image: "app:v1", Command: []string{"a", "b"}, Annotations: map[string]string{"secret": "s"}}, true)
	run(t, tab, State{Bundle: "/b", Name: "kept"}, false)
	run(t, tab, State{Bundle: "/b", Name: "second", Command: []string{strings.Repeat("x", 10<<10), "y"}}, true)
	c := ok(tab.Create(State{Bundle: "/b", Name: "unborn", Status: Creating, Monitor: ok(Self())}))
	check(t, c.End(Exit{Unknown: true}, true))
	list := ok(tab.Ended())
	if len(list) != 2 {
		t.Fatalf("%+v", list)
	}
	if s := list[0]; s.Image != "app:v1" || s.Exit.Status != 7 || len(s.Exit.Limits) != 1 || s.Finished.IsZero() || s.Annotations != nil || strings.Join(s.Command, " ") != "a b" {
		t.Errorf("%+v", s)
	}
	if s := list[1]; s.Name != "second" || len(s.Command) != 0 {
		t.Errorf("a command of %d words", len(s.Command))
	}
}

func TestEndedIsBounded(t *testing.T) {
	tab := Open(filepath.Join(t.TempDir(), "run"))
	word := strings.Repeat("w", 3000)
	var group sync.WaitGroup
	for worker := range 4 {
		group.Go(func() {
			for i := range 30 {
				run(t, tab, State{Bundle: "/b", Command: []string{strconv.Itoa(worker), strconv.Itoa(i), word}}, true)
			}
		})
	}
	group.Wait()
	var size int64
	for _, name := range []string{endedFile, olderFile} {
		if st, err := os.Stat(tab.path(name)); err == nil {
			size += st.Size()
		}
	}
	if size > 2*maxEnded+4*maxEndLine || size < maxEnded {
		t.Errorf("%d bytes of 400,000", size)
	}
	last := map[string]int{}
	for _, s := range ok(tab.Ended()) {
		n := ok(strconv.Atoi(s.Command[1]))
		if was, seen := last[s.Command[0]]; seen && n != was+1 {
			t.Errorf("worker %s: %d follows %d", s.Command[0], n, was)
		}
		last[s.Command[0]] = n
	}
}

func TestEndedLeavesOutWhatCannotBeRead(t *testing.T) {
	tab := Open(filepath.Join(t.TempDir(), "run"))
	run(t, tab, State{Bundle: "/b", Name: "first"}, true)
	f := ok(os.OpenFile(tab.path(endedFile), os.O_WRONLY|os.O_APPEND, 0))
	_, err := f.WriteString("{\"schema\n\n[]\n" + `{"schema":"docksmith.container/1","id":"a","status":"stopped"}` + "\n")
	check(t, err)
	check(t, f.Close())
	run(t, tab, State{Bundle: "/b", Name: "last"}, true)
	list := ok(tab.Ended())
	if len(list) != 2 || list[0].Name != "first" || list[1].Name != "last" {
		t.Errorf("%+v", list)
	}
}
