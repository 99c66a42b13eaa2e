package plan_test

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// example is a Dockerfile with something of everything that a plan can hold.
const example = `# syntax=docker/dockerfile:1
# check=skip=all
ARG GO=1.26 X
FROM --platform=$BUILDPLATFORM golang:${GO} AS Build
RUN --mount=type=cache,target=/go make && \
    test "<x>"
COPY --from=0 /src/a /src/b /out/
ENV A=1 B="x y"
CMD ["/app", "-v"]
RUN <<EOF
a
b
EOF
ONBUILD COPY <<-'F' /f
	text
	F
FROM scratch
`

// wanted is its plan, each stage on a line of its own.
const wanted = `{"schema":"docksmith.plan/1","file":"Dockerfile","syntax":"docker/dockerfile:1","check":"skip=all","escape":"\\","args":[{"name":"GO","default":"1.26","line":3},{"name":"X","line":3}],"stages":[
{"index":0,"name":"build","from":"golang:${GO}","platform":"$BUILDPLATFORM","line":4,"text":"FROM --platform=$BUILDPLATFORM golang:${GO} AS Build","steps":[
{"op":"RUN","line":5,"endLine":6,"text":"RUN --mount=type=cache,target=/go make &&     test \"<x>\"","flags":[{"name":"mount","value":"type=cache,target=/go"}],"form":"shell","args":["make &&     test \"<x>\""]},
{"op":"COPY","line":7,"text":"COPY --from=0 /src/a /src/b /out/","flags":[{"name":"from","value":"0"}],"args":["/src/a","/src/b","/out/"]},
{"op":"ENV","line":8,"text":"ENV A=1 B=\"x y\"","args":["A=1","B=\"x y\""]},
{"op":"CMD","line":9,"text":"CMD [\"/app\", \"-v\"]","form":"exec","args":["/app","-v"]},
{"op":"RUN","line":10,"endLine":13,"text":"RUN <<EOF","form":"shell","args":["<<EOF"],"heredocs":[{"name":"EOF","expand":true,"stripTabs":false,"text":"a\nb\n"}]},
{"op":"ONBUILD","line":14,"endLine":16,"text":"ONBUILD COPY <<-'F' /f","step":{"op":"COPY","text":"COPY <<-'F' /f","args":["<<-'F'","/f"],"heredocs":[{"name":"F","expand":false,"stripTabs":true,"text":"text\n"}]}}]},
{"index":1,"from":"scratch","line":17,"text":"FROM scratch","steps":[]}],"end":true}`

func parse(t *testing.T, src string) *plan.Plan {
	t.Helper()
	f, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return plan.New(f)
}

func encode(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var b bytes.Buffer
	if err := plan.Encode(&b, p); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestEncode(t *testing.T) {
	got := encode(t, parse(t, example))
	if diff := cmp.Diff(strings.ReplaceAll(wanted, "\n", "")+"\n", got); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestRoundTrip(t *testing.T) {
	p := parse(t, example)
	again, err := plan.Decode(strings.NewReader(encode(t, p)))
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(p, again, cmpopts.IgnoreUnexported(dockerfile.Stage{}, dockerfile.Extra{}), cmpopts.EquateEmpty(), equateNoExtra); diff != "" {
		t.Error(diff)
	}
}

// equateNoExtra: a step without anything extra may have an empty one.
var equateNoExtra = cmp.Transformer("extra", func(e *plan.Extra) plan.Extra {
	if e == nil {
		return plan.Extra{}
	}
	return *e
})

// TestCut: no part of a plan is taken for a plan.
func TestCut(t *testing.T) {
	whole := strings.TrimSpace(encode(t, parse(t, example)))
	for n := range len(whole) {
		if p, err := plan.Decode(strings.NewReader(whole[:n])); err == nil {
			t.Fatalf("%d of %d bytes give a plan of %d stages", n, len(whole), len(p.Stages))
		} else if n > 0 && !errors.Is(err, plan.ErrCut) {
			t.Fatalf("%d bytes: %v", n, err)
		}
	}
}

func TestDecodeErrors(t *testing.T) {
	whole := strings.ReplaceAll(wanted, "\n", "")
	edit := func(pairs ...string) string {
		out := strings.NewReplacer(pairs...).Replace(whole)
		if out == whole {
			t.Fatalf("%q changes nothing", pairs)
		}
		return out
	}
	for _, test := range []struct{ in, want string }{
		{"", "the input is empty"},
		{" \n\t", "the input is empty"},
		{"FROM scratch\n", "the input is not JSON: a plan comes from ds-parse"},
		{"[]", "the input is not JSON: a plan comes from ds-parse"},
		{"{}", `the document has no schema: a plan begins with {"schema":"docksmith.plan/1"`},
		{"{x}", "byte 1 is 'x' where a member name should be"},
		{`{"schema":"docksmith.plan/2","stages":3}`, `the plan has version "docksmith.plan/2", this program knows "docksmith.plan/1"`},
		{edit("plan/1", "plan/2"), `the plan has version "docksmith.plan/2", this program knows "docksmith.plan/1"`},
		{edit("plan/1", "plan/10"), `the plan has version "docksmith.plan/10", this program knows "docksmith.plan/1"`},
		{edit("plan/1", "plan"), `the plan has version "docksmith.plan", this program knows "docksmith.plan/1"`},
		{edit("docksmith.plan/1", "docksmith.status/1"), `the document is a "docksmith.status/1", not a "docksmith.plan/1"`},
		{edit(`,"end":true`, ``), plan.ErrCut.Error()},
		{edit(`"end":true`, `"end":false`), plan.ErrCut.Error()},
		{whole + whole, "data after the end of the plan"},
		{whole + "x", "data after the end of the plan"},
		{edit(`"index":1`, `"index":2`), "stages[1]: index 2, expected 1"},
		{edit(`"index":1`, `"index":"1"`), `member "stages.index" holds a string`},
		{edit(`"escape":"\\"`, `"escape":"x"`), "escape \"x\" is neither \\ nor `"},
		{edit(`"name":"GO"`, `"name":""`), `args[0]: line 3: ARG "=1.26": a name cannot be empty`},
		{edit(`"name":"build"`, `"name":"Build"`), `stages[0]: line 4: name "Build" is not in lower case`},
		{edit(`"name":"build"`, `"name":"b/c"`), `stages[0]: line 4: FROM names a stage "b/c": a name begins with a letter and has letters, digits and -_. only`},
		{edit(`"from":"scratch"`, `"from":""`), "stages[1]: line 17: from is empty"},
		{edit(`"from":"scratch"`, `"x":1`), "stages[1]: line 17: from is empty"},
		{edit(`"line":17`, `"line":0`), "stages[1]: line 0 is no line"},
		{edit(`"line":7,`, ``), "stages[0]: steps[1]: line 0 is no line"},
		{edit(`"endLine":6`, `"endLine":3`), "stages[0]: steps[0]: line 5 ends on line 3"},
		{edit(`"op":"ENV"`, `"op":"ENW"`), `member "stages.steps.op": unknown instruction "ENW" (did you mean ENV?)`},
		{edit(`"op":"ENV"`, `"op":"env"`), `member "stages.steps.op": unknown instruction "env" (did you mean ENV?)`},
		{edit(`"op":"ENV"`, `"op":"FROM"`), "stages[0]: steps[2]: line 8: FROM is no step: it begins a stage"},
		{edit(`"op":"ENV"`, `"op":"ONBUILD"`), "stages[0]: steps[2]: line 8: ONBUILD: only ONBUILD has a trigger, and must have one"},
		{edit(`"args":["A=1",`, `"args":["A",`), `stages[0]: steps[2]: line 8: ENV "A" has no "=": write NAME=VALUE, with quotes around a value that has blanks`},
		{edit(`"form":"exec"`, `"form":"json"`), `member "stages.steps.form": form "json" is neither shell nor exec`},
		{edit(`"form":"exec"`, `"form":"shell"`), "stages[0]: steps[3]: line 9: CMD in shell form needs one string"},
		{edit(`"form":"exec",`, ``), `stages[0]: steps[3]: line 9: CMD: form "" is neither shell nor exec`},
		{edit(`"args":["/src/a","/src/b","/out/"]`, `"form":"exec","args":["a","b"]`), `stages[0]: steps[1]: line 7: COPY has no "exec" form`},
		{edit(`"args":["/src/a","/src/b","/out/"]`, `"args":["/src/a"]`), "stages[0]: steps[1]: line 7: COPY needs at least one source and a destination"},
		{edit(`"name":"from"`, `"name":"form"`), `stages[0]: steps[1]: line 7: unknown flag "--form" of COPY (did you mean --from?)`},
		{edit(`"value":"type=cache,`, `"value":"type=cash,`), `stages[0]: steps[0]: line 5: RUN --mount: type "cash" is not one of bind, cache, tmpfs, secret, ssh`},
		{edit(`{"op":"COPY","text"`, `{"op":"FROM","text"`), "stages[0]: steps[5]: line 14: FROM cannot be a trigger of ONBUILD"},
		{edit(`{"op":"COPY","text"`, `{"op":"ONBUILD","step":{"op":"RUN","form":"shell","args":["x"]},"text"`), "stages[0]: steps[5]: line 14: ONBUILD cannot be a trigger of ONBUILD"},
		{edit(`{"name":"F"`, `{"name":"G"`), `stages[0]: steps[5]: line 14: COPY: no source stands for the here-document "G": write <<G as one word`},
		{edit(`"stages":[`, `"stages":[],"x":[`), "there are no stages"},
	} {
		_, err := plan.Decode(strings.NewReader(test.in))
		got := ""
		if err != nil {
			got = err.Error()
		}
		if got != "read plan: "+test.want {
			t.Errorf("%.60q:\n got %s\nwant read plan: %s", test.in, got, test.want)
		}
	}
}

// TestDecodeTolerates: members of a later minor version are ignored, and what
// has a default may be left out.
func TestDecodeTolerates(t *testing.T) {
	p, err := plan.Decode(strings.NewReader(` {"schema":"docksmith.plan/1.3","new":{"a":[1]},"stages":[
		{"index":0,"from":"a","line":1,"later":null,"steps":[{"op":"RUN","line":2,"form":"shell","args":["x"],"why":"y"}]}],"end":true} ` + "\n"))
	if err != nil {
		t.Fatal(err)
	}
	if p.Escape != `\` || p.Stages[0].Steps[0].EndLine != 2 || p.File != "" {
		t.Errorf("got %+v", p)
	}
}

func TestFindAndUntil(t *testing.T) {
	src := "FROM a AS one\nFROM b\nFROM c AS Two\nFROM d AS one\nFROM e\n"
	for target, want := range map[string]int{"0": 0, "one": 3, "ONE": 3, "two": 2, "1": 1, "4": 4} {
		p := parse(t, src)
		if got, err := p.Find(target); got != want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", target, got, err, want)
		}
		if err := p.Until(target); err != nil || len(p.Stages) != want+1 {
			t.Errorf("%s: %d stages, %v", target, len(p.Stages), err)
		}
	}
	for target, want := range map[string]string{
		"":      `no stage "": there are one, two, one, and 0 to 4`,
		"three": `no stage "three": there are one, two, one, and 0 to 4`,
		"5":     `no stage "5": there are one, two, one, and 0 to 4`,
		"-1":    `no stage "-1": there are one, two, one, and 0 to 4`,
	} {
		if err := parse(t, src).Until(target); err == nil || err.Error() != want {
			t.Errorf("%s: got %v, want %s", target, err, want)
		}
	}
	if err := parse(t, "FROM a").Until("x"); err == nil || err.Error() != `no stage "x": there is one stage, 0` {
		t.Errorf("got %v", err)
	}
}

func TestFlags(t *testing.T) {
	p := parse(t, "FROM a\nCOPY --link --parents=false --exclude=x --exclude=y --from=b c d")
	s := p.Stages[0].Steps[0]
	if v, ok := s.Flag("from"); v != "b" || !ok {
		t.Errorf("from: %q, %v", v, ok)
	}
	if _, ok := s.Flag("chown"); ok {
		t.Error("chown is there")
	}
	if diff := cmp.Diff([]string{"x", "y"}, s.FlagAll("exclude")); diff != "" {
		t.Error(diff)
	}
	if !s.IsSet("link") || s.IsSet("parents") || s.IsSet("chown") {
		t.Error("boolean flags")
	}
}

func TestScript(t *testing.T) {
	for _, test := range []struct {
		src, want string
		alone     bool
	}{
		{"RUN a  b", "a  b", false},
		{"RUN <<E\n#!/bin/x\ny\nE", "#!/bin/x\ny\n", true},
		{"RUN <<-'E'\n\ty\n\tE", "y\n", true},
		{"RUN cat <<A && sh <<-B\na\nA\n\tb\n\tB", "cat <<A && sh <<-B\na\nA\nb\nB", false},
		{"RUN <<E cat\nx\nE", "<<E cat\nx\nE", false},
		{"RUN", "", false},
	} {
		p := parse(t, "FROM a\n"+test.src)
		if got, alone := p.Stages[0].Steps[0].Script(); got != test.want || alone != test.alone {
			t.Errorf("%q: got %q, %v", test.src, got, alone)
		}
	}
}
