package build

import (
	"fmt"
	"slices"

	"docksmith/lib/cache"
	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// Reasons of a miss. After ReasonChanged follows what changed, after
// ReasonEarlier which step it was and its reason.
const (
	ReasonNoCache  = "the cache is off"
	ReasonEarlier  = "an earlier step missed"
	ReasonNew      = "nothing recorded for it"
	ReasonChanged  = "changed: "
	ReasonStage    = "it reads stage %s, which would be built" // of a dry run
	ReasonGone     = "its record is gone"
	ReasonNoBlob   = "its layer was removed from the store"
	ReasonRecorded = "its record could not be read"
)

// shownChanges is how many files of a list an event names.
const shownChanges = 100

// miss is why a step is not in the cache.
type miss struct {
	reason  string
	changes []cache.Change
}

// unrecorded says why there is no record of a step, by what its last run in an
// earlier build of this image depended on.
func (b *builder) unrecorded(s *stage, w *work) miss {
	if b.o.Account == nil {
		return miss{reason: ReasonNew}
	}
	changes, ran := b.o.Account.Changes(s.cacheStep(w), w.pre, w.files == nil)
	switch {
	case !ran:
		return miss{reason: ReasonNew}
	case len(changes) == 0:
		return miss{reason: ReasonGone}
	default:
		return miss{ReasonChanged + cache.Summary(changes), changes}
	}
}

// cacheStep names the step that the stage is at.
func (s *stage) cacheStep(w *work) cache.Step {
	return cache.Step{ID: stepID(s.name, s.count), Number: s.step, Text: stepText(w.step), Quiet: w.quiet}
}

// stepID names the step of a stage, counted from 1, triggers included.
func stepID(stage string, count int) string { return fmt.Sprintf("%s/%d", stage, count) }

// expected lists the steps that this build may look for in the cache.
func (b *builder) expected() []cache.Step {
	var list []cache.Step
	for _, i := range b.order {
		p := b.plan.Stages[i]
		var first []*plan.Step
		if o, _, err := b.baseOf(p); err == nil && o.isFiles() {
			first = append(first, filesStep(p, o.name))
		}
		for n, st := range slices.Concat(first, b.triggers[i], p.Steps) {
			switch st.Op {
			case dockerfile.Run, dockerfile.Copy, dockerfile.Add, dockerfile.Workdir:
				list = append(list, cache.Step{ID: stepID(b.stageName(i), n+1), Text: stepText(st)})
			}
		}
	}
	return list
}
