package plan_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// TestAllThatParses: whatever the parser takes, its plan can be read again. It
// grows in proportion to the file, and so do the work and the memory for it: four
// times as much of a shape takes at most six times as many bytes, since lists double,
// and five times as many allocations; and no shape takes more than so many bytes for
// each of its own. At the larger sizes only linear work ends.
func TestAllThatParses(t *testing.T) {
	const small, most = 64 << 10, 80
	for name, file := range shapes {
		a, b := costOf(t, name, file(small)), costOf(t, name, file(4*small))
		if b.bytes > 6*a.bytes+1<<19 || b.allocs > 5*a.allocs+1000 {
			t.Errorf("%s: %+v for %d, %+v for %d", name, a, small, b, 4*small)
		}
		if b.bytes > most*4*small {
			t.Errorf("%s: %d bytes for a file of %d", name, b.bytes, 4*small)
		}
		if len(b.findings) > 110*len(dockerfile.Catalogue) {
			t.Errorf("%s: %d findings", name, len(b.findings))
		}
	}
	if testing.Short() {
		return
	}
	for name, file := range shapes {
		if c := costOf(t, name, file(1<<20)); c.bytes > most<<20 {
			t.Errorf("%s: %d bytes for a file of a megabyte", name, c.bytes)
		}
	}
	costOf(t, "CMD", shapes["CMD"](dockerfile.MaxSize-100)) // the longest plan
}

// cost is what a file takes to be read and checked and its plan to be written, or
// that to be read, whichever is more.
type cost struct {
	bytes, allocs uint64
	findings      []dockerfile.Finding
}

func costOf(t *testing.T, name, src string) cost {
	t.Helper()
	var before, between, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{})
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	p := plan.Check(f, dockerfile.CheckOptions{})
	r, w := io.Pipe()
	done := make(chan error)
	go func() {
		_, err := plan.Decode(r)
		r.CloseWithError(err)
		done <- err
	}()
	size := counter{w: w}
	runtime.ReadMemStats(&between)
	if err := plan.Encode(&size, p); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	w.Close()
	if err := <-done; err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	runtime.ReadMemStats(&after)
	if size.n > int64(len(src))*plan.MaxSize/dockerfile.MaxSize+1<<16 {
		t.Errorf("%s: a plan of %d bytes for a file of %d", name, size.n, len(src))
	}
	return cost{
		max(between.TotalAlloc-before.TotalAlloc, after.TotalAlloc-between.TotalAlloc),
		max(between.Mallocs-before.Mallocs, after.Mallocs-between.Mallocs),
		p.Warnings,
	}
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}
