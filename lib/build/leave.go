package build

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// What an ADD fetches shows before anything runs: its words depend on ARG and
// ENV alone. One that needs a network which the build was not given is refused
// then, so that nobody waits an hour for it. The exception is one whose content
// is told by the Dockerfile: its layer may come from the cache, which shows when
// the step's turn comes, or when a step above it is not in the cache, which
// makes all below it miss as well.

// pinnedAdd is such an ADD of a build without the network.
type pinnedAdd struct {
	st      *plan.Step
	count   int // of the stage when it begins
	step    int // its number among all instructions
	stage   string
	remotes []*remote
}

// foresee goes through the stages that are built without executing anything.
func (b *builder) foresee(ctx context.Context) error {
	ends := map[int]*stage{}
	for _, i := range b.order {
		p := b.plan.Stages[i]
		s, err := b.outset(ctx, p, ends)
		if err != nil {
			return b.fault(p.Line, err)
		}
		ends[i] = s
		for _, st := range b.triggers[i] {
			if err := b.foreseeStep(s, st); err != nil {
				return b.fault(p.Line, fmt.Errorf("trigger of the base image: %w", err))
			}
		}
		for _, st := range p.Steps {
			s.step++
			if err := b.foreseeStep(s, st); err != nil {
				return b.fault(st.Line, err)
			}
		}
	}
	if b.o.Cache != nil && !b.o.NoCache {
		return nil
	}
	for _, i := range b.order {
		if err := b.refuseBelow(ctx, i, 0); err != nil {
			return err
		}
	}
	return nil
}

// outset is a stage at its begin as far as variables are concerned.
func (b *builder) outset(ctx context.Context, p *plan.Stage, ends map[int]*stage) (*stage, error) {
	o, platform, err := b.baseOf(p)
	if err != nil {
		return nil, err
	}
	base := ends[o.stage]
	if base == nil {
		if base, err = b.base(ctx, o, platform); err != nil {
			return nil, err
		}
	}
	s := b.onBase(base, p)
	if o.isFiles() {
		s.count++
	}
	return s, nil
}

// foreseeStep does with a step what variables are about. What cannot be
// evaluated is for the step itself to tell.
func (b *builder) foreseeStep(s *stage, st *plan.Step) error {
	s.count++
	switch st.Op {
	case dockerfile.Arg, dockerfile.Env:
		_, _ = b.configText(s, st)
	case dockerfile.Add:
		return b.foreseeAdd(s, st)
	}
	return nil
}

func (b *builder) foreseeAdd(s *stage, st *plan.Step) error {
	c := &copyJob{b: b, s: s, st: st}
	if err := c.setFlags(); err != nil {
		return nil
	}
	add := pinnedAdd{st: st, count: s.count, step: s.step, stage: s.name}
	for _, word := range st.Args[:max(len(st.Args)-1, 0)] {
		if _, ok := dockerfile.HeredocWord(word); ok {
			continue
		}
		word, err := b.word(s.scope(), word)
		if err != nil {
			return nil
		}
		r, err := c.newRemote(word)
		if err != nil {
			return fmt.Errorf("ADD: %w", err)
		}
		switch {
		case r == nil || b.o.Network == NetworkHost:
		case !r.pinned():
			return fmt.Errorf("ADD %w", noNetwork(r.Redacted()))
		default:
			add.remotes = append(add.remotes, r)
		}
	}
	if add.remotes != nil {
		b.pinned[s.index] = append(b.pinned[s.index], add)
	}
	return nil
}

// refuseBelow is called when a step of stage i is not in the cache, with the
// stage's count: of the steps that now will be executed too, it refuses those
// that would have to fetch something.
func (b *builder) refuseBelow(ctx context.Context, i, count int) error {
	b.mu.Lock()
	var adds []pinnedAdd
	for _, n := range b.order {
		if n != i && !b.beginsWith(n, i) {
			continue
		}
		b.pinned[n] = slices.DeleteFunc(b.pinned[n], func(a pinnedAdd) bool {
			if n == i && a.count < count {
				return false
			}
			adds = append(adds, a)
			return true
		})
	}
	b.mu.Unlock()
	for _, a := range adds {
		for _, r := range a.remotes {
			_, err := b.fetch(ctx, r, FetchRequest{Checksum: r.checksum, Offline: true, Probe: true})
			if err == nil {
				continue
			}
			err = b.fault(a.st.Line, fmt.Errorf("ADD %w", err))
			if fault, ok := errors.AsType[*StepError](err); ok {
				fault.Step, fault.Total, fault.Stage = a.step, b.total, a.stage
			}
			return err
		}
	}
	return nil
}

// beginsWith tells whether the base of stage n is stage i, or begins with it.
func (b *builder) beginsWith(n, i int) bool {
	for n > i {
		o, _, err := b.baseOf(b.plan.Stages[n])
		if err != nil || o.stage < 0 {
			return false
		}
		n = o.stage
	}
	return n == i
}
