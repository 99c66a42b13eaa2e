package cache

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestMain lets the tests start themselves as other processes.
func TestMain(m *testing.M) {
	dir := os.Getenv("CACHE_TEST_DIR")
	switch os.Getenv("CACHE_TEST_ROLE") {
	case "count":
		countMany(&Cache{dir: dir})
		os.Exit(0)
	case "put":
		putForever(&Cache{dir: dir})
	}
	os.Exit(m.Run())
}

func start(t *testing.T, role, dir string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "CACHE_TEST_ROLE="+role, "CACHE_TEST_DIR="+dir)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

const countRounds = 10

func countMany(c *Cache) {
	for range countRounds {
		s := c.Begin("app")
		s.Hit(Step{ID: "1"}, nil, &Record{Seconds: 0.1})
		s.Hit(Step{ID: "2"}, nil, &Record{Seconds: 0.000001})
		s.Miss(Step{ID: "3"}, nil, "new")
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func TestCountersOfManyProcesses(t *testing.T) {
	c := openCache(t)
	const processes = 20
	var running []*exec.Cmd
	for range processes {
		running = append(running, start(t, "count", c.dir))
	}
	for _, cmd := range running {
		if err := cmd.Wait(); err != nil {
			t.Fatal(err)
		}
	}
	want := Counts{Builds: 200, Hits: 400, Misses: 200, SavedSeconds: 20.0002}
	if s, err := c.Stats(); err != nil || s.Counts != want {
		t.Errorf("stats %+v, %v; want %+v", s.Counts, err, want)
	}
	if h, err := c.History("app"); err != nil || h.Counts != want {
		t.Errorf("history %+v, %v; want %+v", h.Counts, err, want)
	}
}

// putForever puts records of all sizes, over and over.
func putForever(c *Cache) {
	for i := 0; ; i++ {
		p := step(i%50, strings.Repeat("x", i*97%9000))
		p.AddFiles("files", []File{{Path: "f"}})
		r := Record{Layer: layerOf(i), Text: strings.Repeat("y", i*131%70000)}
		if err := c.Put(p, r); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		s := c.Begin("app")
		s.Miss(Step{ID: fmt.Sprint(i % 7)}, p, "new")
		if err := s.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

// TestKill kills a process at random moments of Put and Close: whatever is
// there afterwards is whole.
func TestKill(t *testing.T) {
	c := openCache(t)
	var builds int64
	for range 25 {
		cmd := start(t, "put", c.dir)
		time.Sleep(time.Duration(5+rand.IntN(40)) * time.Millisecond)
		cmd.Process.Kill()
		cmd.Wait()
		for f, err := range c.shards(records) {
			if err != nil {
				t.Fatal(err)
			}
			r, err := readRecord(f.path, keyPrefix+f.digits)
			if err != nil {
				t.Fatalf("half a record: %v", err)
			}
			p, err := c.Preimage(r.Key)
			if err != nil {
				t.Fatalf("a record without its pre-image: %v", err)
			}
			if !c.Seen(p) {
				t.Fatal("a record whose prefix was not seen")
			}
		}
		s, err := c.Stats()
		if err != nil || s.Builds < builds {
			t.Fatalf("counters went back: %+v, %v", s, err)
		}
		builds = s.Builds
	}
	if builds == 0 {
		t.Skip("the machine is too slow: no process got as far as a record")
	}
}

func TestConcurrentUse(t *testing.T) {
	c := openCache(t)
	s := c.Begin("app")
	var group sync.WaitGroup
	for w := range 8 {
		group.Go(func() {
			for i := range 50 {
				p := step(i, "same")
				if err := c.Put(p, Record{Layer: layerOf(i)}); err != nil {
					t.Error(err)
				}
				r, ok, err := c.Lookup(p.Key())
				if !ok || err != nil || r.Layer.Size != int64(i) {
					t.Error(ok, err)
					return
				}
				s.Hit(Step{ID: fmt.Sprint(w, i)}, p, r)
			}
		})
	}
	group.Go(func() {
		for range 20 {
			if _, err := c.Prune(PruneOptions{}); err != nil {
				t.Error(err)
			}
		}
	})
	group.Wait()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
