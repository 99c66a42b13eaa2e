package build

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Stages run at the same time, each on a goroutine; the steps of one follow each
// other. A step waits for the stages it reads, not its stage as a whole. How
// they come to be interleaved shows in the order of events alone: image,
// history, counts and account are those of one stage after the other.

// running is a stage of this build that is under way or has ended.
type running struct {
	ended chan struct{} // closed at the end; what follows is final then
	stage *stage        // nil if it failed
	err   error
	notes []noted // of its steps, for the account
}

// settled tells when it is too late for an earlier step of the file to fail and
// still be the one that is reported. It is called when nothing more may begin.
var settled = func() <-chan time.Time { return time.After(100 * time.Millisecond) }

// buildStages runs the needed stages to their ends. The first that fails ends
// what others execute, a moment later; what they can do without executing
// anything they still do, so that of several faults of the plan always the same
// one is reported: the first in the file.
func (b *builder) buildStages(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	for _, i := range b.order {
		b.running[i] = &running{ended: make(chan struct{})}
	}
	run := func(i int) {
		r := b.running[i]
		defer close(r.ended)
		if r.stage, r.err = b.buildStage(inner, i); r.err != nil {
			b.settle(inner, i)
			cancel()
		}
	}
	var group sync.WaitGroup
	last := len(b.order) - 1
	for _, i := range b.order[:last] {
		group.Go(func() { run(i) })
	}
	run(b.order[last]) // here: the stack of this goroutine has grown already
	group.Wait()
	return b.failure(ctx)
}

// settle lets nobody begin to execute a step any more and waits a moment for the
// stages before i: of two that fail at the same time always the same one is
// reported.
func (b *builder) settle(ctx context.Context, i int) {
	b.failing.Store(true)
	over := settled()
	for _, k := range b.order {
		if k == i {
			return
		}
		select {
		case <-b.running[k].ended:
		case <-over:
			return
		case <-ctx.Done():
			return
		}
	}
}

// failure is the error of the first stage, in the order of the file, that failed
// by itself, whichever was faster. It knows the others.
func (b *builder) failure(ctx context.Context) error {
	var first, ended error
	for _, i := range b.order {
		err := b.running[i].err
		switch {
		case err == nil || errors.Is(err, context.Canceled):
			ended = errors.Join(ended, err)
		case first == nil:
			first = err
		default:
			addFailure(first, err)
		}
	}
	if first != nil || ended == nil {
		return first
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return ended
}

// addFailure notes in the error that is reported another one, of a step of its
// own.
func addFailure(first, err error) {
	reported, ok := errors.AsType[*StepError](first)
	other, isStep := errors.AsType[*StepError](err)
	if ok && isStep && other.same == nil && other != reported.same {
		reported.Others = append(reported.Others, other)
	}
}

// finished is stage n once it has ended, which it is waited for.
func (b *builder) finished(n int) (*stage, error) {
	r := b.running[n]
	if r == nil {
		return nil, fmt.Errorf("stage %s is not part of this build", b.stageName(n))
	}
	// Without the context: whoever is cancelled ends soon, and then so does this.
	<-r.ended
	if r.stage == nil {
		return nil, context.Canceled // its own error is the one to report
	}
	return r.stage, nil
}

// acquire waits for leave to execute a step.
func (b *builder) acquire(ctx context.Context) (release func(), err error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	release = func() {}
	if b.o.Jobs != nil {
		if release, err = b.o.Jobs.Acquire(ctx); err != nil {
			return nil, err
		}
	}
	if b.failing.Load() {
		release()
		return nil, context.Canceled
	}
	return release, nil
}

// use notes that something declared the build argument.
func (b *builder) use(name string) {
	b.mu.Lock()
	b.used[name] = true
	b.mu.Unlock()
}
