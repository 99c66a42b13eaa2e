package plan_test

import (
	"bytes"
	"io"
	"maps"
	"slices"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// benchmark does work on ten megabytes of every shape.
func benchmark(b *testing.B, work func(b *testing.B, src, line string)) {
	for _, name := range slices.Sorted(maps.Keys(shapes)) {
		b.Run(name, func(b *testing.B) {
			src := shapes[name](10_000_000)
			var line bytes.Buffer
			if err := plan.Encode(&line, check(b, src)); err != nil {
				b.Fatal(err)
			}
			b.SetBytes(int64(len(src)))
			b.ReportAllocs()
			for b.Loop() {
				work(b, src, line.String())
			}
		})
	}
}

func check(b *testing.B, src string) *plan.Plan {
	f, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{})
	if err != nil {
		b.Fatal(err)
	}
	return plan.Check(f, dockerfile.CheckOptions{})
}

// BenchmarkWrite is what ds-parse does with a file.
func BenchmarkWrite(b *testing.B) {
	benchmark(b, func(b *testing.B, src, _ string) {
		if err := plan.Encode(io.Discard, check(b, src)); err != nil {
			b.Fatal(err)
		}
	})
}

// BenchmarkRead is what ds-build --check does with its plan.
func BenchmarkRead(b *testing.B) {
	benchmark(b, func(b *testing.B, _, line string) {
		p, err := plan.Decode(strings.NewReader(line))
		if err != nil {
			b.Fatal(err)
		}
		p.Findings(dockerfile.CheckOptions{})
	})
}
