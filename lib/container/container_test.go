package container

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// ok gives what must not fail for the test to have a meaning.
func ok[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// stopped is a state that needs no process.
func stopped(name string) State {
	return State{Status: Stopped, Name: name, Bundle: "/b", Exit: &Exit{Status: 3}}
}

func wantErr(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Fatalf("error %v, want %v", err, want)
	}
}

func TestCreateAndFind(t *testing.T) {
	tab := Open(filepath.Join(t.TempDir(), "run"))
	if list, err := tab.List(); err != nil || len(list) != 0 {
		t.Fatalf("a table that is not there: %v, %v", list, err)
	}
	s := stopped("web")
	s.ID, s.Image, s.Command = "abc1", "app:v1", []string{"sh", "-c", "a && b"}
	c := ok(tab.Create(s))
	_, err := tab.Create(s)
	wantErr(t, err, ErrNameTaken)
	s.Name = ""
	_, err = tab.Create(s)
	wantErr(t, err, ErrExists)
	s.ID = "abd2"
	ok(tab.Create(s))

	for ref, want := range map[string]string{"abc1": "abc1", "web": "abc1", "abc": "abc1", "abd": "abd2"} {
		if got, err := tab.Find(ref); err != nil || got.ID() != want {
			t.Errorf("Find(%q): %v, %v", ref, got, err)
		}
	}
	for ref, want := range map[string]error{"ab": ErrAmbiguous, "": ErrNotFound, "we": ErrNotFound, ".names": ErrNotFound, "../x": ErrNotFound} {
		if _, err := tab.Find(ref); !errors.Is(err, want) {
			t.Errorf("Find(%q): %v, want %v", ref, err, want)
		}
	}
	_, err = tab.Get("abc")
	wantErr(t, err, ErrNotFound)
	got := ok(c.State())
	if got.Name != "web" || got.Schema != Schema || got.Image != "app:v1" || got.Command[2] != "a && b" || got.Exit.Status != 3 {
		t.Errorf("%+v", got)
	}
	if age := time.Since(got.Created); age < 0 || age > time.Minute {
		t.Errorf("created %v ago", age)
	}
	list := ok(tab.List())
	if len(list) != 2 || list[0].ID != "abc1" || list[1].ID != "abd2" {
		t.Errorf("list %+v", list)
	}
	raw := ok(os.ReadFile(c.Path(stateFile)))
	if !strings.Contains(string(raw), "a && b") || strings.Count(string(raw), "\n") != 1 {
		t.Errorf("record %s", raw)
	}
	if st := ok(os.Stat(tab.dir)); st.Mode().Perm() != 0o700 {
		t.Errorf("the table has mode %v", st.Mode())
	}
}

func TestRandomIDs(t *testing.T) {
	a, b := NewID(), NewID()
	if len(a) != 64 || a == b || !validID(a) {
		t.Errorf("%s %s", a, b)
	}
}

func TestRefusedStates(t *testing.T) {
	tab := Open(t.TempDir())
	for what, change := range map[string]func(*State){
		"id with a slash":       func(s *State) { s.ID = "a/b" },
		"id of ours":            func(s *State) { s.ID = ".names" },
		"long id":               func(s *State) { s.ID = strings.Repeat("a", maxIDLength+1) },
		"name":                  func(s *State) { s.Name = "-x" },
		"short name":            func(s *State) { s.Name = "x" },
		"status":                func(s *State) { s.Status = "paused" },
		"no exit":               func(s *State) { s.Exit = nil },
		"stopped process":       func(s *State) { s.Process = Process{PID: 1} },
		"stopped monitor":       func(s *State) { s.Monitor = Process{PID: 1} },
		"stopped pid":           func(s *State) { s.PID = 1 },
		"running exit":          func(s *State) { s.Status = Running },
		"running without":       func(s *State) { s.Status, s.Exit = Running, nil },
		"two pids":              func(s *State) { s.Status, s.Exit, s.PID, s.Process.PID = Running, nil, 1, 2 },
		"negative pid":          func(s *State) { s.Status, s.Exit, s.Monitor.PID = Creating, nil, -1 },
		"relative bundle":       func(s *State) { s.Bundle = "b" },
		"log elsewhere":         func(s *State) { s.Log = "../log" },
		"log above":             func(s *State) { s.Log = ".." },
		"cgroup elsewhere":      func(s *State) { s.Cgroups = []string{"/home"} },
		"cgroup by a detour":    func(s *State) { s.Cgroups = []string{"/sys/fs/cgroup/../../../home"} },
		"large record":          func(s *State) { s.Image = strings.Repeat("x", maxState) },
		"options that are none": func(s *State) { s.Options = []byte("{") },
	} {
		s := stopped("")
		change(&s)
		if c, err := tab.Create(s); err == nil {
			t.Errorf("%s: made %s", what, c.ID())
		}
	}
	if list := ok(tab.List()); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
}

func TestUpdatesDoNotLoseEachOther(t *testing.T) {
	c := ok(Open(t.TempDir()).Create(stopped("")))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 20 {
				_, err := c.Update(func(s *State) error { s.Exit.PeakMemory++; return nil })
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	if s := ok(c.State()); s.Exit.PeakMemory != 160 {
		t.Errorf("%d updates of 160", s.Exit.PeakMemory)
	}
	refusal := errors.New("no")
	_, err := c.Update(func(s *State) error { s.Exit.PeakMemory = 0; return refusal })
	wantErr(t, err, refusal)
	if s := ok(c.State()); s.Exit.PeakMemory != 160 {
		t.Error("a refused change was written")
	}
}

func TestOneOfManyGetsTheName(t *testing.T) {
	tab := Open(t.TempDir())
	for round := range 20 {
		name := "name" + strconv.Itoa(round)
		if round%2 == 1 { // left by somebody who was killed
			check(t, os.MkdirAll(tab.path(namesDir), 0o700))
			check(t, os.Symlink(NewID(), tab.namePath(name)))
		}
		var all sync.WaitGroup
		var won atomic.Int32
		for range 12 {
			all.Go(func() {
				_, err := tab.Create(stopped(name))
				if err == nil {
					won.Add(1)
				} else if !errors.Is(err, ErrNameTaken) {
					t.Error(err)
				}
			})
		}
		all.Wait()
		if won.Load() != 1 {
			t.Fatalf("round %d: %d got the name", round, won.Load())
		}
	}
	if list := ok(tab.List()); len(list) != 20 {
		t.Errorf("%d containers", len(list))
	}
}

func TestRemove(t *testing.T) {
	tab := Open(t.TempDir())
	c := ok(tab.Create(stopped("web")))
	check(t, os.WriteFile(c.Path("log"), []byte("x"), 0o600))
	check(t, c.Remove())
	wantErr(t, c.Remove(), ErrNotFound)
	_, err := c.State()
	wantErr(t, err, ErrNotFound)
	_, err = c.Update(func(*State) error { return nil })
	wantErr(t, err, ErrNotFound)
	ok(tab.Create(stopped("web"))) // the name is free
	if ids := ok(tab.ids()); len(ids) != 1 {
		t.Errorf("left: %v", ids)
	}
}

func TestBrokenRecordIsShownAndRemoved(t *testing.T) {
	tab := Open(t.TempDir())
	for what, raw := range map[string]string{
		"empty": "", "cut": `{"schema":"docksmith.container/1","id":"`,
		"other": `{"schema":"docksmith.container/1","id":"x","status":"stopped","exit":{"status":0},"bundle":"/b","created":"2026-01-01T00:00:00Z"}`,
		"later": strings.Replace(fmt.Sprintf(`{"schema":"docksmith.container/2","id":%q}`, "later"), "x", "x", 1),
	} {
		check(t, os.Mkdir(tab.path(what), 0o700))
		check(t, os.WriteFile(filepath.Join(tab.path(what), stateFile), []byte(raw), 0o600))
	}
	check(t, os.Mkdir(tab.path("link"), 0o700))
	check(t, os.Symlink("../other/state.json", filepath.Join(tab.path("link"), stateFile)))
	list := ok(tab.List())
	if len(list) != 5 {
		t.Fatalf("%d of 5 records: %+v", len(list), list)
	}
	for _, s := range list {
		if s.Status != Stopped || s.Exit == nil || !s.Exit.Unknown || s.Exit.Error == "" {
			t.Errorf("%+v", s)
		}
		c := ok(tab.Get(s.ID))
		_, err := c.Update(func(*State) error { return nil })
		wantErr(t, err, ErrBroken)
		check(t, c.Remove())
	}
	if list := ok(tab.List()); len(list) != 0 {
		t.Errorf("left: %+v", list)
	}
}

func TestSweep(t *testing.T) {
	tab := Open(filepath.Join(t.TempDir(), "run"))
	check(t, tab.Sweep()) // makes nothing
	if _, err := os.Stat(tab.dir); err == nil {
		t.Error("the table was made")
	}
	c := ok(tab.Create(stopped("web")))
	for _, d := range []string{newPrefix + "abc/x", "abd/upper"} {
		check(t, os.MkdirAll(tab.path(d), 0o700))
	}
	check(t, os.Symlink("nobody", tab.namePath("stale")))
	check(t, tab.Sweep())
	var left []string
	for _, e := range ok(os.ReadDir(tab.dir)) {
		left = append(left, e.Name())
	}
	if got := strings.Join(left, " "); got != lockFile+" "+namesDir+" "+c.ID() {
		t.Errorf("left: %s", got)
	}
	if c, err := tab.Find("web"); err != nil || c == nil {
		t.Error("the name in use is gone:", err)
	}
	if _, err := os.Lstat(tab.namePath("stale")); err == nil {
		t.Error("the stale name is there")
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"schema":"docksmith.container/1","id":"a","status":"stopped","bundle":"/b","created":"2026-01-01T00:00:00Z","exit":{"status":0}}`))
	f.Add([]byte(`{"schema":"docksmith.container/1","id":"a","status":"running","pid":7,"bundle":"/b","process":{"pid":7,"startTime":9,"boot":"x"},"created":"2026-01-01T00:00:00Z","cgroups":["/sys/fs/cgroup/memory/docksmith/a"],"options":{"a":[1]}}`))
	f.Add([]byte(`{"schema":"docksmith.container/1","id":"a","status":"creating","bundle":"","monitor":{"pid":7,"startTime":9,"boot":"x"},"created":"2026-01-01T00:00:00Z"}{}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := decode(raw)
		if err != nil {
			return
		}
		if !validID(s.ID) || s.Name != "" && !ValidName(s.Name) {
			t.Fatalf("id %q, name %q", s.ID, s.Name)
		}
		for _, dir := range s.Cgroups {
			if !strings.HasPrefix(filepath.Clean(dir), "/sys/fs/cgroup/") {
				t.Fatalf("cgroup %q", dir)
			}
		}
		once, err := s.encode()
		if err != nil {
			t.Fatalf("decoded, not encoded: %v", err)
		}
		again, err := decode(once)
		if err != nil {
			t.Fatalf("encoded, not decoded: %v", err)
		}
		if twice, err := again.encode(); err != nil || string(twice) != string(once) {
			t.Fatalf("%s\n%s\n%v", once, twice, err)
		}
	})
}
