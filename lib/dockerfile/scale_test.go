package dockerfile_test

import (
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
)

// shapes are inputs of about n bytes, each of which would take hours at 4 MiB
// if some part of the parser were quadratic, or a stack without end.
var shapes = map[string]func(n int) string{
	"long line":           func(n int) string { return "RUN " + strings.Repeat("x ", n/2) },
	"long word":           func(n int) string { return "RUN " + strings.Repeat("x", n) },
	"long instruction":    func(n int) string { return strings.Repeat("x", n) },
	"continuations":       func(n int) string { return "RUN x" + strings.Repeat("\\\n", n/2) },
	"comments within":     func(n int) string { return "RUN x \\\n" + strings.Repeat("#\n", n/2) },
	"blank lines":         func(n int) string { return strings.Repeat("\n", n) },
	"blanks":              func(n int) string { return "RUN x" + strings.Repeat(" ", n) + "\\" },
	"comments":            func(n int) string { return strings.Repeat("# c\n", n/4) },
	"instructions":        func(n int) string { return strings.Repeat("RUN x\n", n/6) },
	"commands":            func(n int) string { return strings.Repeat("CMD\n", n/4) },
	"stages":              func(n int) string { return strings.Repeat("FROM a AS b\n", n/12) },
	"json":                func(n int) string { return `RUN ["` + strings.Repeat(`","`, n/3) + `"]` },
	"json numbers":        func(n int) string { return `RUN [` + strings.Repeat(`1,`, n/2) + `1]` },
	"json depth":          func(n int) string { return `RUN ` + strings.Repeat(`[`, n) },
	"flags":               func(n int) string { return "COPY " + strings.Repeat("--exclude=x ", n/12) + "a b" },
	"flag quotes":         func(n int) string { return "RUN --mount=" + strings.Repeat(`"'`, n/2) },
	"mount fields":        func(n int) string { return "RUN --mount=" + strings.Repeat("target=x,", n/9) + "ro x" },
	"devices":             func(n int) string { return "RUN --device=x" + strings.Repeat(",required", n/9) + " x" },
	"pairs":               func(n int) string { return "ENV " + strings.Repeat("a=b ", n/4) },
	"args":                func(n int) string { return "ARG " + strings.Repeat("a ", n/2) },
	"variables":           func(n int) string { return "LABEL a=" + strings.Repeat("$a", n/2) },
	"braces":              func(n int) string { return "LABEL a=" + strings.Repeat("${a}", n/4) },
	"nesting":             func(n int) string { return "LABEL a=" + strings.Repeat("${a:-", n/5) },
	"nesting in quotes":   func(n int) string { return `LABEL a=` + strings.Repeat(`"${a:-`, n/6) },
	"patterns":            func(n int) string { return "LABEL a=${a#" + strings.Repeat("*?", n/2) + "}" },
	"quotes":              func(n int) string { return "LABEL a=" + strings.Repeat(`"'"`, n/3) },
	"escapes":             func(n int) string { return "LABEL a=" + strings.Repeat(`\`, n) },
	"heredoc":             func(n int) string { return "RUN <<E\n" + strings.Repeat("x\n", n/2) + "E" },
	"heredoc tabs":        func(n int) string { return "RUN <<-E\n" + strings.Repeat("\tx\n", n/3) + "E" },
	"heredoc without end": func(n int) string { return "RUN <<E\n" + strings.Repeat("x\n", n/2) },
	"heredocs":            func(n int) string { return strings.Repeat("RUN <<E\nE\n", n/10) },
	"heredocs on a line":  func(n int) string { return "RUN" + strings.Repeat(" <<E", n/6) + "\n" + strings.Repeat("E\n", n/6) },
	"heredocs to copy": func(n int) string {
		return "COPY" + strings.Repeat(" <<E", n/6) + " /\n" + strings.Repeat("E\n", n/6)
	},
	"heredoc signs":      func(n int) string { return "RUN x " + strings.Repeat("<<", n/2) },
	"heredoc digits":     func(n int) string { return "RUN x " + strings.Repeat("1", n) + "<<E" },
	"heredoc name":       func(n int) string { return "RUN x <<" + strings.Repeat(`'E'"`, n/4) },
	"heredoc and dollar": func(n int) string { return "RUN <<E " + strings.Repeat("${a:-", n/5) },
	"onbuild":            func(n int) string { return strings.Repeat("ONBUILD ", n/8) },
	"volumes":            func(n int) string { return "VOLUME " + strings.Repeat("a ", n/2) },
	"healthcheck":        func(n int) string { return "HEALTHCHECK " + strings.Repeat("a", n) },
}

func parseShape(src string) error {
	_, err := dockerfile.Parse(io.MultiReader(strings.NewReader("FROM a\n"), strings.NewReader(src)), dockerfile.Options{})
	return err
}

// TestLargeInputs parses every shape at a size at which only linear work ends.
func TestLargeInputs(t *testing.T) {
	n := 4 << 20
	if testing.Short() {
		n = 256 << 10
	}
	for name, shape := range shapes {
		t.Run(name, func(t *testing.T) {
			if err := parseShape(shape(n)); err != nil && len(err.Error()) > 400 {
				t.Errorf("an error of %d bytes", len(err.Error()))
			}
		})
	}
}

// TestLinearMemory compares what parsing allocates for an input with what it
// allocates for one eight times as long.
func TestLinearMemory(t *testing.T) {
	const n = 64 << 10
	for name, shape := range shapes {
		small, large := allocated(shape(n)), allocated(shape(8*n))
		if large > 12*small+1<<20 {
			t.Errorf("%s: %d bytes for %d, %d for %d", name, small, n, large, 8*n)
		}
		if most := uint64(8 * n * 100); large > most {
			t.Errorf("%s: %d bytes for an input of %d", name, large, 8*n)
		}
	}
}

func allocated(src string) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	_ = parseShape(src) // an error is as good
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

func TestTooLarge(t *testing.T) {
	_, err := dockerfile.Parse(endless{}, dockerfile.Options{Name: "f"})
	if want := fmt.Sprintf("f:1: the file is larger than %d bytes", dockerfile.MaxSize); err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

type endless struct{}

func (endless) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func BenchmarkParse(b *testing.B) {
	src := "FROM a\n" + strings.Repeat("RUN one && \\\n    two ${x:-y} \"z\"\nCOPY --chown=a:b x y /z/\nENV a=$b c=\"d e\"\n", 100_000)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if _, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{}); err != nil {
			b.Fatal(err)
		}
	}
}
