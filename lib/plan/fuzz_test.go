package plan_test

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"

	"github.com/google/go-cmp/cmp"
)

// The plan as encoding/json knows it: what the hand-written encoder and decoder
// are measured by.
type (
	jsonPlan struct {
		Schema   string        `json:"schema"`
		File     string        `json:"file,omitempty"`
		Syntax   string        `json:"syntax,omitempty"`
		Check    string        `json:"check,omitempty"`
		Escape   string        `json:"escape"`
		Args     []jsonArg     `json:"args,omitempty"`
		Warnings []jsonWarning `json:"warnings,omitempty"`
		Stages   []jsonStage   `json:"stages"`
		End      bool          `json:"end"`
	}
	jsonArg struct {
		Name    string  `json:"name"`
		Default *string `json:"default,omitempty"`
		Line    int     `json:"line"`
	}
	jsonWarning struct {
		Rule string `json:"rule"`
		Line int    `json:"line"`
		Text string `json:"text"`
	}
	jsonStage struct {
		Index    int        `json:"index"`
		Name     string     `json:"name,omitempty"`
		From     string     `json:"from"`
		Platform string     `json:"platform,omitempty"`
		Line     int        `json:"line"`
		EndLine  int        `json:"endLine,omitempty"`
		Text     string     `json:"text,omitempty"`
		Steps    []jsonStep `json:"steps"`
	}
	jsonStep struct {
		Op       string        `json:"op"`
		Line     int           `json:"line,omitempty"`
		EndLine  int           `json:"endLine,omitempty"`
		Text     string        `json:"text,omitempty"`
		Flags    []jsonFlag    `json:"flags,omitempty"`
		Form     string        `json:"form,omitempty"`
		Args     []string      `json:"args,omitempty"`
		Heredocs []jsonHeredoc `json:"heredocs,omitempty"`
		Step     *jsonStep     `json:"step,omitempty"`
	}
	jsonFlag struct {
		Name  string `json:"name"`
		Value string `json:"value"`
	}
	jsonHeredoc struct {
		Name      string `json:"name"`
		FD        int    `json:"fd,omitempty"`
		Expand    bool   `json:"expand"`
		StripTabs bool   `json:"stripTabs"`
		Text      string `json:"text"`
	}
)

func newJSONPlan(p *plan.Plan) jsonPlan {
	out := jsonPlan{p.Schema, p.File, p.Syntax, p.Check, p.Escape, nil, nil, []jsonStage{}, p.End}
	for _, a := range p.Args {
		out.Args = append(out.Args, jsonArg(a))
	}
	for _, w := range p.Warnings {
		out.Warnings = append(out.Warnings, jsonWarning(w))
	}
	for _, s := range p.Stages {
		stage := jsonStage{s.Index, s.Name, s.From, s.Platform, s.Line, changed(s.Line, s.EndLine), s.Text, []jsonStep{}}
		for _, st := range s.Steps {
			stage.Steps = append(stage.Steps, newJSONStep(st))
		}
		out.Stages = append(out.Stages, stage)
	}
	return out
}

func newJSONStep(in *dockerfile.Instruction) jsonStep {
	out := jsonStep{Op: in.Op.String(), Line: in.Line, EndLine: changed(in.Line, in.EndLine), Text: in.Text, Form: in.Form.String(), Args: in.Args}
	for _, f := range in.Flags() {
		out.Flags = append(out.Flags, jsonFlag(f))
	}
	for _, d := range in.Heredocs() {
		out.Heredocs = append(out.Heredocs, jsonHeredoc(d))
	}
	if t := in.Trigger(); t != nil {
		trigger := newJSONStep(t)
		trigger.Line, trigger.EndLine = 0, 0
		out.Step = &trigger
	}
	return out
}

func changed(line, end int) int {
	if line == end {
		return 0
	}
	return end
}

func encodeJSON(t *testing.T, p *plan.Plan) string {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(newJSONPlan(p)); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// decodeJSON is the plan in data if it is one by its form; what it means is not
// looked at.
func decodeJSON(data []byte) (p jsonPlan, ok bool) {
	d := json.NewDecoder(bytes.NewReader(data))
	if err := d.Decode(&p); err != nil {
		return p, false
	}
	_, err := d.Token()
	return p, err == io.EOF && p.End && strings.HasPrefix(p.Schema, plan.Schema)
}

// FuzzDecode: no panic; what encoding/json refuses is refused, and what is
// accepted is what encoding/json reads, and is written as it writes it.
func FuzzDecode(f *testing.F) {
	f.Add([]byte(strings.ReplaceAll(wanted, "\n", "")))
	for _, text := range tricky {
		f.Add([]byte(text))
	}
	files, _ := filepath.Glob("../dockerfile/testdata/*/want.json")
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	for _, line := range casePlans(f) {
		f.Add(line)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		p, err := plan.Decode(bytes.NewReader(data))
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\r") || len(err.Error()) > 2000 {
				t.Errorf("an error of %d bytes: %q", len(err.Error()), err)
			}
			return
		}
		want, ok := decodeJSON(data)
		if !ok {
			t.Fatal("encoding/json refuses this")
		}
		got := newJSONPlan(p)
		normalise(&want)
		normalise(&got)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("encoding/json reads it otherwise:\n%s", diff)
		}
		for _, s := range p.Stages {
			for _, step := range s.Steps {
				step.Script()
				_ = step.Source()
			}
		}
		first := encode(t, p)
		if other := encodeJSON(t, p); first != other {
			t.Errorf("encoding/json writes it otherwise:\n%s\n%s", other, first)
		}
		again, err := plan.Decode(strings.NewReader(first))
		if err != nil {
			t.Fatalf("%v: %s", err, first)
		}
		if second := encode(t, again); first != second {
			t.Errorf("the plan changes on its way:\n%s\n%s", first, second)
		}
	})
}

// casePlans are the plans of all cases of what a build does.
func casePlans(t testing.TB) (lines [][]byte) {
	files, err := filepath.Glob("../../tests/cases/*.txtar")
	if err != nil || len(files) < 100 {
		t.Fatalf("%d cases, %v", len(files), err)
	}
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		_, src, _ := strings.Cut(string(data), "-- Dockerfile --\n")
		src, _, _ = strings.Cut(src, "\n-- ")
		parsed, err := dockerfile.Parse(strings.NewReader(src), dockerfile.Options{})
		if err != nil {
			continue
		}
		var line bytes.Buffer
		if err := plan.Encode(&line, plan.Check(parsed, dockerfile.CheckOptions{})); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line.Bytes())
	}
	return lines
}

// normalise makes equal what means the same.
func normalise(p *jsonPlan) {
	if p.Escape == "" {
		p.Escape = `\`
	}
	p.Args, p.Warnings = slices.Clip(p.Args), slices.Clip(p.Warnings)
	if len(p.Args) == 0 {
		p.Args = nil
	}
	if len(p.Warnings) == 0 {
		p.Warnings = nil
	}
	for i := range p.Stages {
		s := &p.Stages[i]
		s.EndLine = changed(s.Line, s.EndLine)
		if len(s.Steps) == 0 {
			s.Steps = nil
		}
		for j := range s.Steps {
			normaliseStep(&s.Steps[j])
		}
	}
}

func normaliseStep(s *jsonStep) {
	s.EndLine = changed(s.Line, s.EndLine)
	if len(s.Args) == 0 {
		s.Args = nil
	}
	if len(s.Flags) == 0 {
		s.Flags = nil
	}
	if len(s.Heredocs) == 0 {
		s.Heredocs = nil
	}
	if s.Step != nil {
		s.Step.Line, s.Step.EndLine = 0, 0
		normaliseStep(s.Step)
	}
}

// tricky are plans in whose strings and blanks the decoder may go wrong.
var tricky = func() (all []string) {
	for _, value := range []string{
		`"\u0041\u00e9\u20ac\ud83d\ude00"`, `"\ud800"`, `"\ud800x"`, `"\ud800\n"`, `"\ud800\ud83d\ude00"`, `"\udc00\ud800"`, `"\ud83d\uD800"`,
		`"\"\\\/\b\f\n\r\t"`, `"\u2028\u2029\u007f\u0001"`, "\"\u2028<&>\x7f\"", `null`, `"\x"`, `"\u00g0"`, `"\u123`, `"a` + "\n" + `"`, "\"\xff\"", `"\u0000"`, `7`, `tru`, `[`, `{}`,
	} {
		all = append(all, `{"schema":"docksmith.plan/1","stages":[{"index":0,"from":"a","line":1,"text":`+value+`,"steps":[]}],"end":true}`)
	}
	for _, number := range []string{"1", "01", "-0", "1.0", "1e0", "+1", "1E", "99999999999999999999", "\"1\"", "null", "-", "1.", "true", "1x"} {
		all = append(all, `{"schema":"docksmith.plan/1","stages":[{"index":0,"from":"a","line":1,"endLine":`+number+`,"steps":[]}],"end":true}`)
	}
	for _, member := range []string{
		`"x":{"a":[1,-2.5e+3,"\ud800",null,true,{}]},`, `"x":[1,],`, `"x":{,},`, `"x":{"a"},`, `"x":[1 2],`, `"x":nulll,`, `"File":"x",`, `"file":"x","file":"y",`, `"file":null,`, `"x":-,`, `"x":` + strings.Repeat("[", 20000) + `,`,
		` "file" : "x" ,` + "\r\n\t", `"x":"` + "\x01" + `",`, `,`, `"x":truefalse,`, `"\u0066ile":"x",`,
	} {
		all = append(all, `{"schema":"docksmith.plan/1",`+member+`"stages":[{"index":0,"from":"a","line":1,"steps":[]}],"end":true}`)
	}
	return all
}()
