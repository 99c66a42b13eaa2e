// Package makefile writes a plan as a makefile for GNU make: each step is a
// target, made by one run of ds-build, which writes the digest of the stage's
// image so far. The last one's is that of the build as a whole.
//
// A target's name holds a hash of all that the plan says about its image, so that
// a step that was edited is another target, and one that was edited back is still
// there. The plan itself is a comment of the makefile: no text of a Dockerfile
// is ever read by make or a shell.
package makefile

import (
	"bytes"
	"fmt"
	"io"
	"strings"
	"unicode"

	"docksmith/lib/plan"
)

// Options of Write.
type Options struct {
	// File is the Dockerfile's path; "": nobody knows, and the makefile is not
	// written again when it changes.
	File string
	// Flags are those of ds-parse that gave the plan.
	Flags []string
}

// Write writes the makefile of a plan for its last stage. An error of the plan is
// a *dockerfile.Error.
func Write(w io.Writer, p *plan.Plan, o Options) error {
	g, err := newGraph(p)
	if err != nil {
		return err
	}
	var text bytes.Buffer
	if err := plan.Encode(&text, p); err != nil {
		return err
	}
	m := &maker{g: g, plan: keyOf([]string{text.String()})}
	m.head(o)
	for _, i := range g.order() {
		for n := range g.stages[i] {
			m.step(&g.stages[i][n])
		}
		m.line("")
		m.line(".PHONY: stage-%s", m.stageName(i))
		m.line("stage-%s: %s", m.stageName(i), m.target(g.last(i)))
	}
	m.line("")
	m.line("-include $(wildcard $(STEPS_DIR)/*.d)")
	m.line("")
	m.line("# The plan, as ds-parse writes it.")
	m.line("#plan %s", strings.TrimSuffix(text.String(), "\n"))
	_, err = w.Write(m.text.Bytes())
	return err
}

// maker collects the text.
type maker struct {
	g    *graph
	plan string
	text bytes.Buffer
}

func (m *maker) line(format string, args ...any) { fmt.Fprintf(&m.text, format+"\n", args...) }

func (m *maker) head(o Options) {
	name := m.g.plan.File
	if name == "" {
		name = "a Dockerfile"
	}
	last := m.g.last(len(m.g.plan.Stages) - 1)
	m.text.WriteString(strings.NewReplacer(
		"@FILE@", comment(name),
		"@STAGE@", m.stageName(last.stage),
		"@LAST@", m.target(last),
		"@PLAN@", m.plan,
		"@AGAIN@", again(o),
	).Replace(head))
}

// step writes the rule of a step.
func (m *maker) step(st *step) {
	needs := []string{"$(STEPS_DIR)/flags"}
	flags := []string{fmt.Sprintf("--step %d.%d", st.stage, st.number)}
	if st.number > 0 {
		before := m.target(&m.g.stages[st.stage][st.number-1])
		needs = append(needs, before)
		flags = append(flags, "--after "+before)
	}
	for _, r := range st.reads {
		last := m.target(m.g.last(r))
		needs = append(needs, last)
		flags = append(flags, fmt.Sprintf("--stage %d=%s", r, last))
	}
	m.line("")
	m.line("# %s:%d: %s", comment(m.g.plan.File), st.line, comment(st.text))
	m.line("%s: %s | $(STEPS_DIR)/plan-%s", m.target(st), strings.Join(needs, " "), m.plan)
	m.line("\t$(BUILD) %s $(BUILD_FLAGS) '$(CONTEXT)' <$(STEPS_DIR)/plan-%s >/dev/null", strings.Join(flags, " "), m.plan)
}

// target is the file of a step.
func (m *maker) target(st *step) string {
	return fmt.Sprintf("$(STEPS_DIR)/%s.%d-%s", m.stageName(st.stage), st.number, st.key)
}

// stageName is the name of a stage, if it is its own and means nothing to make,
// else its number.
func (m *maker) stageName(i int) string {
	name := m.g.plan.Stages[i].Name
	for n, s := range m.g.plan.Stages {
		if n != i && s.Name == name {
			name = ""
		}
	}
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
	}
	if name == "" || name[0] < 'a' || strings.ContainsFunc(name, func(r rune) bool { return !plain(r) }) {
		return fmt.Sprint(i)
	}
	return name
}

// again is the rule that writes the makefile anew when the Dockerfile has changed;
// "" where nobody can name that to make.
func again(o Options) string {
	if o.File == "" || strings.ContainsFunc(o.File, unspeakable) || strings.HasPrefix(o.File, "~") {
		return ""
	}
	words := []string{"$(DS_PARSE)", "--emit=make"}
	for _, w := range append(o.Flags, "--", o.File) {
		words = append(words, shellWord(w))
	}
	return fmt.Sprintf("\nifneq ($(wildcard %[1]s),)\n$(MAKEFILE): %[1]s\n\t%[2]s >'$@.new'\n\tmv '$@.new' '$@'\nendif\n", fileName(o.File), strings.Join(words, " "))
}

// unspeakable are the characters that make knows no escape for, in one place or
// another.
func unspeakable(r rune) bool {
	return strings.ContainsRune("%()=;|&,\\:*?[", r) || unicode.IsControl(r) || r == '\uFFFD'
}

// shellWord is a word of a recipe.
func shellWord(s string) string {
	s = "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
	return strings.ReplaceAll(s, "$", "$$")
}

// fileName is a file's name among prerequisites.
func fileName(s string) string {
	return strings.NewReplacer("$", "$$", " ", `\ `, "#", `\#`).Replace(s)
}

// comment is text that stays within its line.
func comment(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == '\t' || unicode.IsSpace(r) {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s)
	const most = 100
	if r := []rune(s); len(r) > most {
		s = string(r[:most]) + "..."
	}
	return strings.TrimRight(s, ` \`)
}
