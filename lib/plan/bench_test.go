package plan_test

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// benchFiles are files of a megabyte: one as people write them, and what is
// small in the file and large elsewhere.
var benchFiles = map[string]string{
	"usual": strings.Repeat(`FROM golang:1.26 AS build
# the modules first
COPY --chown=app:app go.mod go.sum ./
RUN --mount=type=cache,target=/go/pkg/mod \
    go mod download && \
    go build -trimpath -o /out/app ./cmd/app
ENV PATH=/app/bin:$PATH LANG="C.UTF-8"
COPY <<EOF /etc/app.conf
listen ${PORT:-8080}
EOF
CMD ["/app/bin/app", "--verbose"]

`, 1<<20/366),
	"commands":  "FROM scratch\n" + strings.Repeat("CMD\n", 1<<20/4),
	"runs":      "FROM scratch\n" + strings.Repeat("RUN x\n", 1<<20/6),
	"pairs":     "FROM scratch\nENV" + strings.Repeat(" a=b", 1<<20/4),
	"undefined": "FROM scratch\n" + strings.Repeat("USER $u\n", 1<<20/8),
	"mounts":    "FROM scratch\n" + strings.Repeat("RUN --mount=target=a x\n", 1<<20/23),
	"documents": "FROM scratch\n" + strings.Repeat("COPY <<E /\nE\n", 1<<20/13),
	"arguments": "FROM scratch\nARG" + strings.Repeat(" a", 1<<19),
	"line":      "FROM scratch\nRUN " + strings.Repeat("x ", 1<<19),
}

func benchmark(b *testing.B, work func(b *testing.B, src, line string)) {
	for name, src := range benchFiles {
		b.Run(name, func(b *testing.B) {
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
		if found := p.Findings(dockerfile.CheckOptions{}); len(found) > 1000 {
			b.Fatal(fmt.Sprint(len(found), " findings"))
		}
	})
}
