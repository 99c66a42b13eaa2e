package plan_test

import (
	"strconv"
	"strings"
)

// shapes are files of about n bytes: one as people write them, and those that
// make the most work, memory or output of a byte. All of them parse.
var shapes = map[string]func(n int) string{
	"usual": func(n int) string { return strings.Repeat(usual, n/len(usual)) },

	// Many short instructions.
	"CMD":         repeated("", "CMD\n"),
	"cmd":         repeated("", "cmd\n"),
	"Cmd":         repeated("", "Cmd\n"),
	"RUN":         repeated("", "RUN x\n"),
	"COPY":        repeated("", "COPY a b\n"),
	"ENV":         numbered("", "ENV A#=b\n"),
	"ENV old":     repeated("", "ENV a b\n"),
	"LABEL":       numbered("", "LABEL A#=b\n"),
	"USER":        repeated("", "USER $a\n"),
	"VOLUME":      repeated("", "VOLUME a\n"),
	"ONBUILD":     repeated("", "ONBUILD CMD\n"),
	"HEALTHCHECK": repeated("", "HEALTHCHECK --retries=1 CMD a\n"),
	"EXPOSE":      repeated("", "EXPOSE 1:2/TCP $x\n"),
	"CRLF":        repeated("", "ARG a\r\n"),
	"JSON":        repeated("", `CMD ["\n"]`+"\n"),
	"mount":       repeated("", "RUN --mount=target=a x\n"),
	"device":      repeated("", "RUN --device=a x\n"),
	"chain":       numbered("", "ARG A@=$A#\n"),
	"patterns":    repeated("ENV a=x\n", "USER ${a//x/$a}\n"),

	// Many stages, and much before them.
	"FROM":     func(n int) string { return strings.Repeat("FROM a\n", n/7) },
	"stages":   numbered("", "FROM a# AS a@\nENV A#=$B#\n"),
	"FROM $":   numbered("", "FROM a$A#\n"),
	"platform": func(n int) string { return strings.Repeat("FROM --platform=$X a\n", n/21) },
	"header":   func(n int) string { return "ARG" + strings.Repeat(" a", n/2) + "\nFROM a" },
	"headers":  func(n int) string { return strings.Repeat("ARG a\n", n/6) + "FROM a" },
	"header chain": func(n int) string {
		return strings.TrimPrefix(numbered("", "ARG A@=$A#\n")(n), "FROM a\n") + "FROM $A1"
	},
	"syntax": func(n int) string { return "# syntax=" + strings.Repeat("a", n) + "\nFROM a" },
	"check":  func(n int) string { return "# check=skip=" + strings.Repeat("a,", n/2) + "\nFROM a" },

	// Few instructions of many parts.
	"names":   numbered("ENV", " A#=b"),
	"pairs":   repeated("ENV", " a=b"),
	"args":    repeated("ARG", " a"),
	"words":   repeated("VOLUME", " a"),
	"ports":   repeated("EXPOSE", " 1:2/TCP"),
	"array":   repeated(`CMD [""`, `,""`, `]`),
	"escapes": repeated(`CMD [""`, `,"\n"`, `]`),
	"flags":   repeated("COPY", " --exclude=\x01", " a b"),
	"mounts":  repeated("RUN", " --mount=target=a", " x"),
	"fields":  repeated("RUN --mount=", "target=a,", "ro x"),

	// Words.
	"variables": repeated("LABEL a=", "$a"),
	"undefined": numbered("LABEL a=", "$A#"),
	"braces":    repeated("LABEL a=", "${a:-${b:-c}}"),
	"nesting":   repeated("", "USER "+strings.Repeat("${a:-", 99)+strings.Repeat("}", 99)+"\n"),
	"quotes":    repeated("LABEL a=", `"'"`),
	"secrets":   repeated("ARG ", "KEY_"),

	// Documents.
	"RUN <<E":  repeated("", "RUN <<E\nE\n"),
	"COPY <<E": repeated("", "COPY <<E /\nE\n"),
	"documents": func(n int) string {
		return "FROM a\nCOPY" + strings.Repeat(" <<E", n/6) + " /\n" + strings.Repeat("E\n", n/6)
	},
	"document": repeated("COPY <<E /\n", "$a$b\x01\n", "E"),
	"tabs":     repeated("RUN <<-E\n", "\tx\n", "E"),

	// Text.
	"line":          repeated("RUN", " x"),
	"control":       repeated("RUN ", "\x01"),
	"separators":    repeated("RUN ", "\u2028"),
	"blank lines":   repeated("", "\n"),
	"comments":      repeated("", "# x\n"),
	"described":     repeated("", "# x\nARG a\n"),
	"continued":     repeated("", "C\\\nMD\n"),
	"continuations": repeated("RUN x", "\\\n"),
	"comments in":   repeated("RUN x \\\n", "#\n"),
}

const usual = `FROM golang:1.26 AS build
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

`

// repeated is one stage with so many equal parts.
func repeated(head, part string, tail ...string) func(n int) string {
	return func(n int) string {
		return "FROM a\n" + head + strings.Repeat(part, n/len(part)) + strings.Join(tail, "")
	}
}

// numbered is one stage whose parts have their number for "#", and the next one
// for "@".
func numbered(head, part string) func(n int) string {
	return func(n int) string {
		var b strings.Builder
		b.WriteString("FROM a\n" + head)
		for i := 0; b.Len() < n; i++ {
			numbers := strings.NewReplacer("#", strconv.Itoa(i), "@", strconv.Itoa(i+1))
			b.WriteString(numbers.Replace(part))
		}
		return b.String()
	}
}
