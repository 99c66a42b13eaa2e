package plan_test

import (
	"io"
	"runtime"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// growing are files of about n bytes that make the most of a plan: many short
// instructions, many words, escapes, findings, one long string.
var growing = map[string]func(n int) string{
	"CMD":        repeated("", "CMD\n"),
	"RUN":        repeated("", "RUN x\n"),
	"FROM":       repeated("", "FROM a\n"),
	"ONBUILD":    repeated("", "ONBUILD CMD\n"),
	"CRLF":       repeated("", "ARG a\r\n"),
	"continued":  repeated("", "C\\\nMD\n"),
	"copy":       repeated("", "COPY <<E /\nE\n"),
	"mount":      repeated("", "RUN --device=a x\n"),
	"findings":   repeated("", "EXPOSE 1:2/TCP $x\n"),
	"comments":   repeated("", "# x\nARG a\n"),
	"header":     func(n int) string { return "ARG" + strings.Repeat(" a", n/2) + "\nFROM a" },
	"pairs":      repeated("ENV", " a=b"),
	"words":      repeated("VOLUME", " a"),
	"array":      repeated(`CMD [""`, `,""`, `]`),
	"control":    repeated("RUN ", "\x01"),
	"separators": repeated("RUN ", "\u2028"),
	"quotes":     repeated("RUN ", `"`),
	"document":   repeated("RUN <<E\n", "\x01\n", "E"),
	"documents": func(n int) string {
		return "FROM a\nCOPY" + strings.Repeat(" <<E", n/6) + " /\n" + strings.Repeat("E\n", n/6)
	},
	"flags": repeated("COPY", " --exclude=\x01", " a b"),
}

func repeated(head, part string, tail ...string) func(n int) string {
	return func(n int) string {
		return "FROM a\n" + head + strings.Repeat(part, n/len(part)) + strings.Join(tail, "")
	}
}

// TestAllThatParses: whatever the parser takes, its plan can be read again. It
// grows in proportion to the file, and so do the work and the memory for it.
func TestAllThatParses(t *testing.T) {
	small, large := 16<<10, 128<<10
	for name, file := range growing {
		a, b := allocatedFor(t, name, file(small)), allocatedFor(t, name, file(large))
		if b > 12*a+1<<20 {
			t.Errorf("%s: %d bytes for %d, %d for %d", name, a, small, b, large)
		}
		if most := uint64(large) * 120; b > most {
			t.Errorf("%s: %d bytes for a file of %d", name, b, large)
		}
	}
	if testing.Short() {
		return
	}
	for _, name := range []string{"CMD"} { // the longest plan
		allocatedFor(t, name, growing[name](dockerfile.MaxSize-100))
	}
}

// allocatedFor reads a file, writes its plan and reads that, and gives the more
// of what the two took.
func allocatedFor(t *testing.T, name, src string) uint64 {
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
	return max(between.TotalAlloc-before.TotalAlloc, after.TotalAlloc-between.TotalAlloc)
}

type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return c.w.Write(p)
}
