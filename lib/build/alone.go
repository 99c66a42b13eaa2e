package build

import (
	"context"
	"fmt"
	"slices"

	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// Alone is one step of a stage: all that is executed. Its image is what the whole
// build has at this point, so the image of the target's last step is that of the
// build. Each step can be made by a process of its own, each on the image of the
// one before.
type Alone struct {
	// Stage is the index of the stage, Step the number of its instruction. Step 0
	// is its begin: the base, with the triggers that it has.
	Stage, Step int
	// Before is the image of the step before; nil: it is built too.
	Before *Base
	// Stages are images of finished stages by their index. Others that the step
	// needs are built.
	Stages map[int]*Base
}

// checkAlone finds out whether there is such a step.
func (b *builder) checkAlone() error {
	b.goal = b.target
	a := b.o.Alone
	if a == nil {
		return nil
	}
	b.goal = a.Stage
	if a.Stage < 0 || a.Stage >= len(b.plan.Stages) {
		return fmt.Errorf("step %d.%d: %w", a.Stage, a.Step, errNoStage)
	}
	n := len(b.plan.Stages[a.Stage].Steps)
	switch {
	case a.Step >= 0 && a.Step <= n:
	case a.Step > 0 && b.overridden(a.Stage): // each of its steps gives what it begins with
		begin := *a
		begin.Step = 0
		b.o.Alone = &begin
	default:
		return fmt.Errorf("step %d.%d: the stage has %d steps", a.Stage, a.Step, n)
	}
	return nil
}

// imageOfStage is the image that stands for a stage, or for what is before the step.
func (b *builder) imageOfStage(i int) *Base {
	a := b.o.Alone
	switch {
	case a == nil:
		return nil
	case i != a.Stage:
		return a.Stages[i]
	case a.Step > 0:
		return a.Before
	}
	return nil
}

// steps are those of stage i that are executed here, and the needs of which count.
func (b *builder) steps(i int) (triggers, steps []*plan.Step) {
	triggers, steps = b.triggers[i], b.plan.Stages[i].Steps
	if a := b.o.Alone; a != nil && i == a.Stage {
		steps = steps[:a.Step]
	}
	if b.imageOfStage(i) == nil {
		return triggers, steps
	}
	if i == b.goal && len(steps) > 0 {
		return nil, steps[len(steps)-1:]
	}
	return nil, nil
}

// take is stage i in the state in which the given image was made of it.
func (b *builder) take(ctx context.Context, i int, base *Base) (*stage, error) {
	steps := b.plan.Stages[i].Steps
	if i == b.goal {
		steps = steps[:b.o.Alone.Step-1]
	}
	s, err := b.imagine(ctx, i, steps)
	if err != nil {
		return nil, err
	}
	img := newStage(base.Image, base.Layers)
	s.img, s.layers, s.chain, s.disk = cloneImage(img.img), slices.Clone(img.layers), img.chain, img.disk
	s.img.Config.OnBuild = nil
	s.vars.vars = oci.MergeEnv(s.vars.vars, img.img.Config.Env...)
	s.step += len(steps)
	return s, nil
}

// imagine is stage i after some of its steps, as far as it can be told without
// executing any: what words can see, and what an image does not say of its stage.
func (b *builder) imagine(ctx context.Context, i int, steps []*plan.Step) (*stage, error) {
	p := b.plan.Stages[i]
	o, platform, err := b.baseOf(p)
	if err != nil {
		return nil, err
	}
	var base *stage
	if o.stage >= 0 {
		base, err = b.imagine(ctx, o.stage, b.plan.Stages[o.stage].Steps)
	} else {
		base, err = b.base(ctx, o, platform)
	}
	if err != nil {
		return nil, err
	}
	s := b.onBase(base, p)
	triggers, err := b.baseTriggers(ctx, p)
	if err != nil {
		return nil, err
	}
	for _, st := range slices.Concat(triggers, steps) {
		switch st.Op {
		case dockerfile.Run, dockerfile.Copy, dockerfile.Add, dockerfile.Workdir: // words never see what they do
		default:
			if _, err := b.configText(s, st); err != nil {
				return nil, b.fault(st.Line, err)
			}
		}
	}
	return s, nil
}
