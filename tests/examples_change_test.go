package tests

import (
	"regexp"
	"strings"
)

// change is a line appended to a file of an example, and the beginnings of the
// steps that are there all the same and of those that are done again.
type change struct {
	file, line   string
	hits, misses []string
	sameImageToo bool // the line is a comment that no compiler keeps
}

// changes are by the names of the images.
var changes = map[string]change{
	"nginx": {file: "html/index.html", line: "<p>Changed.",
		hits: []string{"RUN --mount=type=cache", "COPY site.conf"}, misses: []string{"COPY --chmod=u=rwX,go=rX html", "RUN --network=none nginx -t"}},
	"postgres": {file: "initdb.d/10-tables.sql", line: "-- changed",
		hits: []string{"RUN --mount=type=cache", "COPY --chmod=755 docker-entrypoint.sh"}, misses: []string{"COPY initdb.d/"}},
	"clockd": {file: "src/calendar.c", line: "/* changed */", sameImageToo: true,
		hits: []string{"COPY Makefile", "RUN groupadd", "COPY --from=build"}, misses: []string{"COPY src", "RUN make -j", "RUN make install"}},
	"louder": {file: "app.py", line: "# changed",
		hits: []string{"RUN --mount=type=bind,source=shout", "RUN --mount=type=bind,from=wheels", "RUN useradd", "COPY --from=environment"}, misses: []string{"COPY app.py"}},
	"wordcount": {file: "src/main/example/WordCount.java", line: "// changed", sameImageToo: true,
		hits: []string{"RUN jlink", "COPY --from=runtime", "COPY --from=build"}, misses: []string{"COPY src/main", "RUN javac", "RUN jar"}},
	"notes": {file: "main.go", line: "// changed", sameImageToo: true,
		hits: []string{"RUN --mount=type=bind,source=go.mod", "COPY --from=build"}, misses: []string{"RUN --mount=type=bind,target=."}},
	"guestbook": {file: "server.js", line: "// changed",
		hits: []string{"RUN --mount=type=bind,source=package.json", "COPY --from=dependencies"}, misses: []string{"COPY --chown=node:node package.json"}},
	"api": {file: "services/api/src/main.js", line: "// changed",
		hits:   []string{"COPY --parents package.json", "RUN --mount=type=cache"},
		misses: []string{"COPY --parents --exclude", "RUN --mount=type=bind,source=tools", "COPY --from=bundle", "COPY --parents docs"}},
	"worker": {file: "services/api/src/main.js", line: "// changed", sameImageToo: true,
		hits:   []string{"COPY --parents package.json", "RUN --mount=type=cache", "COPY --from=bundle", "COPY --parents docs"},
		misses: []string{"COPY --parents --exclude", "RUN --mount=type=bind,source=tools"}},
}

// change builds an example from a copy with one line more: what comes before it
// is not done again, and neither is what its result did not change.
func (x *examples) change(name, image, digest string, flags []string) {
	x.t.Helper()
	c, ok := changes[image]
	if !ok {
		return
	}
	x.sh("rm -rf changed && cp -R " + x.dir(name) + " changed && echo '" + c.line + "' >>changed/" + c.file)
	changed, log := x.once("with a line changed", x.path("changed"), image+":changed", flags)
	if (changed == digest) != c.sameImageToo {
		x.t.Errorf("with %q in %s: %s, before %s", c.line, c.file, changed, digest)
	}
	for verdict, steps := range map[string][]string{"HIT": c.hits, "MISS": c.misses} {
		for _, step := range steps {
			line := regexp.MustCompile(`(?m)^Step \d+/\d+ : ` + regexp.QuoteMeta(step) + `.* \[CACHE ` + verdict + `\] `)
			if !line.MatchString(log) {
				x.t.Errorf("with a line changed, %q is no %s:\n%s", step, verdict, stepLines(log))
			}
		}
	}
}

// stepLines is a build's progress without what the commands print.
func stepLines(log string) string {
	var lines []string
	for _, line := range strings.Split(log, "\n") {
		if strings.HasPrefix(line, "Step ") {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "\n")
}
