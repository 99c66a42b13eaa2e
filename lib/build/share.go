package build

import (
	"context"
	"errors"

	"docksmith/lib/cache"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// A step that several stages begin with is done once for all of them. If each
// did it on its own, which of them found the other's record would be a matter
// of luck, and with it what a command gives that gives something else each time.

// outcome is what a step came to.
type outcome struct {
	pre    *cache.Preimage // of its record; nil: it was found by an alias
	rec    *cache.Record
	layer  *oci.Layer // nil: the step changed nothing
	missed bool
	again  bool // a hit that was done nevertheless, and saved nothing
	miss
}

// common is a step of this build that other stages may have too.
type common struct {
	done chan struct{} // closed when the rest is there
	out  *outcome
	err  error
	// fault is what err says of the step, before its stage adds its own name.
	fault *StepError
}

// once does the step or takes part in what another stage does. mine tells which.
func (b *builder) once(ctx context.Context, s *stage, w *work) (out *outcome, mine bool, err error) {
	id := b.commonID(w)
	if id == "" {
		out, err = b.obtain(ctx, s, w)
		return out, true, err
	}
	b.mu.Lock()
	c := b.common[id]
	if mine = c == nil; mine {
		c = &common{done: make(chan struct{})}
		b.common[id] = c
	}
	b.mu.Unlock()
	if mine {
		defer close(c.done)
		c.out, c.err = b.obtain(ctx, s, w)
		if fault, ok := errors.AsType[*StepError](c.err); ok {
			elsewhere := *fault
			elsewhere.same = fault
			c.fault = &elsewhere
		}
		return c.out, true, c.err
	}
	<-c.done // its stage is cancelled with ours
	if c.fault != nil {
		here := *c.fault
		here.Line, here.Step = w.step.Line, 0 // to be named anew
		return nil, false, &here
	}
	return c.out, false, c.err
}

// commonID is equal for steps of this build that must give the same layer, and
// "" for one that is nobody else's.
func (b *builder) commonID(w *work) string {
	if len(b.order) < 2 {
		return ""
	}
	pre := w.pre
	if w.quick != nil {
		pre = w.quick.pre
	}
	return pre.Key() + " " + w.place + " " + flagWords(w.step)
}

// flagWords are the flags of a step in one string: what they say need not all be
// in the key.
func flagWords(st *plan.Step) string {
	var words []string
	for _, f := range st.Flags() {
		words = append(words, f.Name, f.Value)
	}
	return jsonWords(words)
}

// obtain takes the step's layer from the cache or makes it.
func (b *builder) obtain(ctx context.Context, s *stage, w *work) (*outcome, error) {
	rec, why, err := b.recall(ctx, s, w)
	if err != nil {
		return nil, err
	}
	out := &outcome{rec: rec, miss: why}
	if rec != nil {
		b.verdict(s, w, Event{Cache: "hit", Log: rec.Log})
		if out.layer, err = b.fromRecord(ctx, rec); err == nil {
			out.again, err = b.checkHit(ctx, s, w, rec)
		}
	} else {
		if err := b.refuseBelow(ctx, s.index, s.count); err != nil {
			return nil, err
		}
		b.verdict(s, w, Event{Cache: "miss", Reason: why.reason, Changes: cache.Limit(why.changes, shownChanges)})
		out.missed = true
		if b.o.DryRun {
			out.rec = &cache.Record{}
			return out, nil
		}
		out.rec, err = b.execute(ctx, s, w)
		if err == nil {
			out.layer = out.rec.Layer
		}
	}
	out.pre = w.pre
	return out, err
}

// noted is a step that counts as a hit or a miss.
type noted struct {
	step   cache.Step
	out    *outcome
	reason string // of a miss
}

func (b *builder) note(s *stage, w *work, out *outcome, reason string) {
	r := b.running[s.index]
	r.notes = append(r.notes, noted{s.cacheStep(w), out, reason})
}

// saved is for how many seconds a hit did not have to be executed.
func (n noted) saved() float64 {
	if n.out.again {
		return 0
	}
	return n.out.rec.Seconds
}

// account counts hits and misses, in the order of the file: of the stages that
// share a step that was executed, the first missed and the others hit.
func (b *builder) account() {
	counted := map[*outcome]bool{}
	for _, i := range b.order {
		for _, n := range b.running[i].notes {
			missed := n.out.missed && !counted[n.out]
			counted[n.out] = true
			if missed {
				b.accountMiss(n)
			} else {
				b.accountHit(n)
			}
		}
	}
}

func (b *builder) accountMiss(n noted) {
	if !n.step.Quiet {
		b.result.Misses++
	}
	if b.o.Account != nil && !b.o.DryRun {
		b.o.Account.Miss(n.step, n.out.pre, n.reason)
	}
}

func (b *builder) accountHit(n noted) {
	if !n.step.Quiet {
		b.result.Hits++
		b.result.Saved += n.saved()
	}
	if b.o.Account != nil && !b.o.DryRun {
		rec := *n.out.rec
		if rec.Key == "" {
			rec.Key = n.out.pre.Key()
		}
		rec.Seconds = n.saved()
		b.o.Account.Hit(n.step, n.out.pre, &rec)
	}
}
