package makefile

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// step is a target: an instruction of a stage, or its FROM as number 0.
type step struct {
	stage, number int
	line          int
	text          string
	reads         []int  // stages whose files or images it takes
	key           string // of everything in the plan that its image depends on
}

// graph are the steps of the stages that the last one needs.
type graph struct {
	plan   *plan.Plan
	stages map[int][]step
}

func newGraph(p *plan.Plan) (*graph, error) {
	g := &graph{plan: p, stages: map[int][]step{}}
	return g, g.add(len(p.Stages) - 1)
}

// order are the indexes of the stages, each after those that it reads.
func (g *graph) order() []int {
	var order []int
	for i := range g.plan.Stages {
		if g.stages[i] != nil {
			order = append(order, i)
		}
	}
	return order
}

// last is the step whose image is that of a stage.
func (g *graph) last(i int) *step { return &g.stages[i][len(g.stages[i])-1] }

// add adds stage i, after those that it reads.
func (g *graph) add(i int) error {
	if g.stages[i] != nil {
		return nil
	}
	s := g.plan.Stages[i]
	base, from := g.base(s)
	first := step{stage: i, line: s.Line, text: s.Text}
	if base >= 0 {
		first.reads = append(first.reads, base)
		for _, st := range g.plan.Stages[base].Steps {
			if st.Op == dockerfile.Onbuild && st.Trigger() != nil {
				reads, err := g.reads(st.Trigger(), i)
				if err != nil {
					return err
				}
				first.reads = append(first.reads, reads...)
			}
		}
	}
	list := []step{first}
	for n, st := range s.Steps {
		reads, err := g.reads(st, i)
		if err != nil {
			return err
		}
		list = append(list, step{stage: i, number: n + 1, line: st.Line, text: st.Text, reads: reads})
	}
	key := g.header(from, s)
	for n := range list {
		st := &list[n]
		slices.Sort(st.reads)
		st.reads = slices.Compact(st.reads)
		words := []string{key}
		if n > 0 {
			words = append(words, instructionWords(s.Steps[n-1])...)
		}
		for _, r := range st.reads {
			if err := g.add(r); err != nil {
				return err
			}
			words = append(words, "stage", strconv.Itoa(r), g.last(r).key)
		}
		key = keyOf(words)
		st.key = key
	}
	g.stages[i] = list
	return nil
}

// header is the key of what all steps of a stage can see.
func (g *graph) header(from string, s *plan.Stage) string {
	target := g.plan.Stages[len(g.plan.Stages)-1]
	words := []string{g.plan.Escape, target.Name, s.From, from, s.Platform, strconv.Itoa(s.Index), s.Name}
	for _, a := range g.plan.Args {
		words = append(words, a.Name)
		if a.Default != nil {
			words = append(words, "=", *a.Default)
		}
	}
	return keyOf(words)
}

// base is the stage that a stage begins with, as far as it is known without the
// arguments of a build; -1: none. A number is no stage there.
func (g *graph) base(s *plan.Stage) (stage int, name string) {
	x := dockerfile.Expander{}
	if g.plan.Escape != "" {
		x.Escape = g.plan.Escape[0]
	}
	vars := map[string]string{}
	lookup := func(name string) (string, bool) {
		v, ok := vars[name]
		return v, ok
	}
	for _, a := range g.plan.Args {
		if a.Default != nil {
			if v, err := x.Word(*a.Default, lookup); err == nil {
				vars[a.Name] = v.Value
			}
		}
	}
	v, err := x.Word(s.From, lookup)
	if err != nil {
		return -1, ""
	}
	if i, ok := g.plan.FindBefore(v.Value, s.Index); ok && strings.EqualFold(g.plan.Stages[i].Name, v.Value) {
		return i, v.Value
	}
	return -1, v.Value
}

// reads are the stages that a step of stage i takes files from.
func (g *graph) reads(st *plan.Step, i int) ([]int, error) {
	var names []string
	switch st.Op {
	case dockerfile.Copy:
		if from, ok := st.Flag("from"); ok {
			names = append(names, from)
		}
	case dockerfile.Run:
		for _, value := range st.FlagAll("mount") {
			from, err := dockerfile.MountFrom(value)
			if err != nil {
				return nil, &dockerfile.Error{File: g.plan.File, Line: st.Line, Err: fmt.Errorf("RUN: --mount=%s: %w", value, err)}
			}
			names = append(names, from)
		}
	}
	var reads []int
	for _, name := range names {
		if n, ok := g.plan.FindBefore(name, i); ok {
			reads = append(reads, n)
		}
	}
	return reads, nil
}

// instructionWords are all of an instruction but its place in the file.
func instructionWords(st *plan.Step) []string {
	words := []string{st.Op.String(), fmt.Sprint(st.Form), st.Text}
	for _, f := range st.Flags() {
		words = append(words, "flag", f.Name, f.Value)
	}
	for _, a := range st.Args {
		words = append(words, "arg", a)
	}
	for _, d := range st.Heredocs() {
		words = append(words, "document", d.Name, fmt.Sprint(d.FD, d.Expand, d.StripTabs), d.Text)
	}
	if st.Trigger() != nil {
		words = append(words, instructionWords(st.Trigger())...)
	}
	return words
}

// keyOf is a short hash of words.
func keyOf(words []string) string {
	h := sha256.New()
	for _, w := range words {
		fmt.Fprintf(h, "%d %s", len(w), w)
	}
	return hex.EncodeToString(h.Sum(nil))[:12]
}
