package dockerfile

import (
	"maps"
	"slices"
	"strings"
	"unicode"
)

// arguments reads what follows the flags into Form and Args. Whether these
// make sense is for Validate.
func (p *parser) arguments(in *Instruction, rest string) (err error) {
	p.array = false
	p.words = p.words[:0]
	switch in.Op {
	case Add, Copy, Volume:
		if err = p.jsonArray(rest); err == nil && !p.array {
			p.words = appendFields(p.words, rest)
		}
	case Expose, From:
		p.words = appendFields(p.words, rest)
	case Cmd, Entrypoint, Run, Shell:
		in.Form, err = p.command(rest)
	case Healthcheck:
		err = p.healthcheck(in, rest)
	case Env, Label:
		p.words = appendQuotedWords(p.words, rest, p.src.escape)
		p.src.notes.oldForm, err = p.keyValues(in.Op, rest)
	case Arg:
		p.words = appendQuotedWords(p.words, rest, p.src.escape)
	default: // Maintainer, Stopsignal, User, Workdir
		if rest != "" {
			p.words = append(p.words, rest)
		}
	}
	switch {
	case in.Op == From: // they become a stage
		in.Args = p.words
	case len(p.words) > 0:
		in.Args = p.take()
	}
	return err
}

// take gives away the words, in memory of their own.
func (p *parser) take() []string {
	if len(p.words) < lastSlab {
		return p.strings.copy(p.words)
	}
	words := slices.Clip(p.words)
	p.words = nil
	return words
}

// command reads a command in either form.
func (p *parser) command(rest string) (form Form, err error) {
	if err := p.jsonArray(rest); err != nil {
		return 0, err
	}
	if p.array {
		return FormExec, nil
	}
	p.words = append(p.words, rest)
	return FormShell, nil
}

func (p *parser) healthcheck(in *Instruction, rest string) (err error) {
	n := strings.IndexFunc(rest, unicode.IsSpace)
	if n < 0 {
		n = len(rest)
	}
	kind, rest := rest[:n], strings.TrimLeftFunc(rest[n:], unicode.IsSpace)
	if kind == "" {
		return nil
	}
	kind = strings.ToUpper(kind)
	p.words = append(p.words, kind)
	if rest == "" {
		return nil
	}
	form, err := p.command(rest)
	if kind == "CMD" {
		in.Form = form
	}
	return err
}

// Words are the names that this package knows: of flags, of checks. A reader of
// many need not keep a copy of each.
func Words() []string {
	var words []string
	for _, flags := range flagTable {
		words = slices.AppendSeq(words, maps.Keys(flags))
	}
	for _, rule := range Catalogue {
		words = append(words, rule.Name)
	}
	return words
}
