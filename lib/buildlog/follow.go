package buildlog

import (
	"context"
	"fmt"
	"io"
	"os"
	"time"
)

// pollEvery is how often a follower looks for more. Looking costs a read of the
// record; a build that is watched has seconds to go.
const pollEvery = 100 * time.Millisecond

// Follow copies what a step prints to w, like Output, until the step or the
// build is over; a step that is yet to begin is waited for. Of a build that is
// over it is Output.
func (b *Build) Follow(ctx context.Context, number int, w io.Writer) error {
	var out *os.File // of a command of this build, once it has printed
	defer func() {
		if out != nil {
			out.Close()
		}
	}()
	for {
		// Asked before the output is read: all of it is there when it says over.
		now, err := b.dir.read(b.ID)
		if err != nil {
			return err
		}
		if step := now.last(number); now.ran(step, number) {
			if out == nil {
				out, err = b.dir.output(step.Log)
			}
			if err == nil && out != nil {
				_, err = io.Copy(w, out)
			}
			if err != nil || now.over(step) {
				return err
			}
		} else if now.over(step) {
			return now.copyOutput(number, w)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}

// ran tells whether a command of this very build prints for the step.
func (b *Build) ran(s *Step, number int) bool {
	return s != nil && s.Log == fmt.Sprintf("%s:%d", b.ID, number)
}

// over tells whether the step, which may be nil, will print no more.
func (b *Build) over(s *Step) bool {
	return b.State != Running || s != nil && (s.Done || s.Failed)
}

// last is the step with the number, nil if none was begun.
func (b *Build) last(number int) *Step { return b.begun(&record{Step: number}) }

func (b *Build) copyOutput(number int, w io.Writer) error {
	r, err := b.Output(number)
	if err != nil {
		return err
	}
	defer r.Close()
	_, err = io.Copy(w, r)
	return err
}

// Next is the step that was begun after the first n, once there is one; nil if
// the build ends before that.
func (b *Build) Next(ctx context.Context, n int) (*Step, error) {
	for {
		now, err := b.dir.read(b.ID)
		if err != nil {
			return nil, err
		}
		if n < len(now.Steps) {
			return &now.Steps[n], nil
		}
		if now.State != Running {
			return nil, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(pollEvery):
		}
	}
}
