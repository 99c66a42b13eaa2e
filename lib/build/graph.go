package build

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"docksmith/lib/plan"
	"docksmith/lib/suggest"
)

// resolveTarget finds the stage to build.
func (b *builder) resolveTarget() error {
	if len(b.plan.Stages) == 0 {
		return errors.New("the plan has no stage")
	}
	b.target = len(b.plan.Stages) - 1
	if b.o.Target == "" {
		return nil
	}
	i, ok := b.plan.FindBefore(b.o.Target, len(b.plan.Stages))
	if !ok {
		return fmt.Errorf("target %q: %w%s", b.o.Target, errNoStage, stagesLike(b.plan.Stages, b.o.Target))
	}
	b.target = i
	return nil
}

var errNoStage = errors.New("no such stage")

// stagesLike names the stage that ref may have meant, else all that have names.
func stagesLike(stages []*plan.Stage, ref string) string {
	names := stageNames(stages)
	if near := suggest.DidYouMean(ref, names); near != "" || len(names) == 0 {
		return near
	}
	return "; there are " + strings.Join(names, ", ")
}

func stageNames(stages []*plan.Stage) []string {
	var names []string
	for _, s := range stages {
		if s.Name != "" {
			names = append(names, s.Name)
		}
	}
	return names
}

// setOrder lists the stages that the target needs and numbers their
// instructions. A stage can only need earlier ones, so the order of the file is
// an order of need, and nothing ever waits in a circle.
func (b *builder) setOrder(ctx context.Context) error {
	needed := map[int]bool{}
	var visit func(i int) error
	visit = func(i int) error {
		if needed[i] {
			return nil
		}
		needed[i] = true
		needs, err := b.needs(ctx, i)
		if err != nil {
			return err
		}
		for _, n := range needs {
			if err := visit(n); err != nil {
				return err
			}
		}
		return nil
	}
	if err := visit(b.goal); err != nil {
		return err
	}
	for i := range b.plan.Stages {
		if needed[i] {
			b.order = append(b.order, i)
			b.first[i] = b.total + 1
			b.total += 1 + len(b.plan.Stages[i].Steps)
		}
	}
	for _, i := range b.order {
		if err := b.check(b.plan.Stages[i]); err != nil {
			return err
		}
		if err := b.checkBase(ctx, b.plan.Stages[i]); err != nil {
			return err
		}
		if err := b.checkSources(b.plan.Stages[i]); err != nil {
			return err
		}
	}
	if b.o.Alone != nil {
		return nil
	}
	return b.foresee(ctx)
}

// needs lists the stages that stage i begins with or takes files from.
func (b *builder) needs(ctx context.Context, i int) ([]int, error) {
	s := b.plan.Stages[i]
	o, _, err := b.baseOf(s)
	if err != nil {
		return nil, b.fault(s.Line, err)
	}
	var needs []int
	if o.stage >= 0 && b.imageOfStage(i) == nil {
		needs = append(needs, o.stage)
	}
	if b.triggers[i], err = b.baseTriggers(ctx, s); err != nil {
		return nil, b.fault(s.Line, err)
	}
	for _, st := range slices.Concat(b.steps(i)) {
		more, err := b.stepNeeds(st, i)
		if err != nil {
			return nil, err
		}
		needs = append(needs, more...)
	}
	return needs, nil
}

// stepNeeds lists the stages that a step of stage i takes files from: what it
// waits for before it begins.
func (b *builder) stepNeeds(st *plan.Step, i int) ([]int, error) {
	origins, err := b.origins(st, i)
	var needs []int
	for _, o := range origins {
		if o.stage >= 0 {
			needs = append(needs, o.stage)
		}
	}
	return needs, err
}

// baseName is the word after FROM with its variables replaced.
func (b *builder) baseName(s *plan.Stage) (string, error) {
	name, err := b.word(&b.globals, s.From)
	if err == nil && name == "" {
		err = fmt.Errorf("FROM %s: the name of the base image is empty", s.From)
	}
	return name, b.fault(s.Line, err)
}
