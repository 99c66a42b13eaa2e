package cache

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"testing"
	"time"
)

// count accounts for a build of an image with one hit and one miss.
func count(t *testing.T, c *Cache, image string, seconds float64) {
	t.Helper()
	s := c.Begin(image)
	p, q := step(1, image), step(2, image)
	s.Hit(Step{ID: "1"}, p, &Record{Key: p.Key(), Seconds: seconds})
	s.Miss(Step{ID: "2"}, q, "new")
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func TestStatsByImage(t *testing.T) {
	c := openCache(t)
	if s, err := c.StatsByImage(true); err != nil || s.Counts != (Counts{}) || s.Images != nil {
		t.Errorf("before the first build: %+v, %v", s, err)
	}
	count(t, c, "b", 1)
	count(t, c, "a", 2)
	count(t, c, "b", 0.5)
	count(t, c, "", 4)
	a := Counts{Builds: 1, Hits: 1, Misses: 1, SavedSeconds: 2}
	b := Counts{Builds: 2, Hits: 2, Misses: 2, SavedSeconds: 1.5}
	all := Counts{Builds: 4, Hits: 4, Misses: 4, SavedSeconds: 7.5}
	check := func(what string, reset bool, wantAll, wantA, wantB Counts) {
		t.Helper()
		s, err := c.StatsByImage(reset)
		if err != nil || s.Counts != wantAll || len(s.Images) != 2 || s.Images[0] != (ImageCounts{"a", wantA}) || s.Images[1] != (ImageCounts{"b", wantB}) {
			t.Errorf("%s: %+v, %v", what, s, err)
		}
	}
	check("first", false, all, a, b)
	if n, err := c.ResetImage("b"); err != nil || n != b {
		t.Errorf("reset gives %+v, %v", n, err)
	}
	check("with one image at zero", true, all, a, Counts{})
	check("with all at zero", false, Counts{}, Counts{}, Counts{})
	if h, err := c.History("b"); err != nil || len(h.Steps) != 2 {
		t.Errorf("the history went with the counters: %+v, %v", h, err)
	}
	if n, err := c.ResetImage("nobody"); err != nil || n != (Counts{}) {
		t.Errorf("an unknown image: %+v, %v", n, err)
	}
}

// TestResetBesideBuilds: what resets take away and what is left is what builds
// counted.
func TestResetBesideBuilds(t *testing.T) {
	c := openCache(t)
	var builds, resets sync.WaitGroup
	for i := range 4 {
		builds.Go(func() {
			for range 25 {
				count(t, c, fmt.Sprint("image", i%2), 1)
			}
		})
	}
	stop := make(chan struct{})
	var sum, images Counts
	add := func(to *Counts, n Counts) {
		to.Builds, to.Hits, to.Misses, to.SavedSeconds = to.Builds+n.Builds, to.Hits+n.Hits, to.Misses+n.Misses, to.SavedSeconds+n.SavedSeconds
	}
	take := func() {
		s, err := c.StatsByImage(true)
		if err != nil {
			t.Error(err)
		}
		add(&sum, s.Counts)
		for _, i := range s.Images {
			add(&images, i.Counts)
		}
	}
	resets.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
				take()
			}
		}
	})
	builds.Wait()
	close(stop)
	resets.Wait()
	take()
	want := Counts{Builds: 100, Hits: 100, Misses: 100, SavedSeconds: 100}
	if sum != want || images != want {
		t.Errorf("all %+v, by image %+v, want %+v", sum, images, want)
	}
}

// TestImagesAreBounded: the names that were not built for longest go, with their
// counters; the sum stays.
func TestImagesAreBounded(t *testing.T) {
	c := openCache(t)
	now := time.Now()
	for i, image := range []string{"c", "old", "a", "older", "b"} {
		count(t, c, image, 1)
		age := time.Duration(i) * time.Minute
		if image == "old" || image == "older" {
			age += time.Hour
		}
		path := c.historyPath(image, countsExt)
		if err := os.Chtimes(path, now.Add(-age), now.Add(-age)); err != nil {
			t.Fatal(err)
		}
	}
	if err := c.forgetImages(3); err != nil {
		t.Fatal(err)
	}
	s, err := c.StatsByImage(false)
	if err != nil || len(s.Images) != 3 || s.Images[0].Image != "a" || s.Images[1].Image != "b" || s.Images[2].Image != "c" || s.Builds != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	if _, err := os.Lstat(c.historyPath("older", countsExt)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("its counters are still there: %v", err)
	}
	count(t, c, "older", 1)
	if h, err := c.History("older"); err != nil || h.Builds != 1 {
		t.Errorf("built again: %+v, %v", h, err)
	}
}
