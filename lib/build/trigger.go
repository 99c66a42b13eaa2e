package build

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// baseTriggers are the ONBUILD triggers of the base of a stage as steps of the
// line that begins it. They are known before anything runs, because they too may
// need stages. A base that cannot be had has none here: see checkBase.
func (b *builder) baseTriggers(ctx context.Context, p *plan.Stage) ([]*plan.Step, error) {
	var texts []string
	o, platform, err := b.baseOf(p)
	if err != nil {
		return nil, err
	}
	if o.stage >= 0 {
		steps := b.plan.Stages[o.stage].Steps
		for _, st := range steps {
			if st.Op == dockerfile.Onbuild {
				texts = append(texts, triggerSource(st))
			}
		}
	} else if base, err := b.base(ctx, o, platform); err == nil {
		texts = base.onbuild
	}
	var steps []*plan.Step
	for _, text := range texts {
		st, err := parseTrigger(text, b.escape)
		if err != nil {
			return nil, fmt.Errorf("trigger %q of the base image: %w", text, err)
		}
		st.Line, st.EndLine = p.Line, p.Line
		if err := b.checkStep(st); err != nil {
			return nil, err
		}
		steps = append(steps, st)
	}
	return steps, nil
}

// parseTrigger reads the text of an ONBUILD trigger as a configuration holds it.
func parseTrigger(text string, escape byte) (*plan.Step, error) {
	source := "FROM scratch\n" + text + "\n"
	if escape == '`' {
		source = "# escape=`\n" + source
	}
	f, err := dockerfile.Parse(strings.NewReader(source), dockerfile.Options{Name: "ONBUILD"})
	if err != nil {
		if located, ok := errors.AsType[*dockerfile.Error](err); ok {
			err = located.Err
		}
		return nil, err
	}
	p := plan.New(f)
	if len(p.Stages) != 1 || len(p.Stages[0].Steps) != 1 {
		return nil, errors.New("not one instruction")
	}
	st := p.Stages[0].Steps[0]
	switch st.Op {
	case dockerfile.Onbuild, dockerfile.From, dockerfile.Maintainer:
		return nil, fmt.Errorf("%s is not allowed as a trigger", st.Op)
	}
	return st, nil
}
