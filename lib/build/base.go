package build

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"docksmith/lib/oci"
	"docksmith/lib/plan"
	"docksmith/lib/suggest"
)

// begin makes the state a stage starts with, from what its FROM names.
func (b *builder) begin(ctx context.Context, p *plan.Stage) (*stage, error) {
	o, platform, err := b.baseOf(p)
	if err != nil {
		return nil, err
	}
	if o.stage >= 0 {
		if _, err := b.finished(o.stage); err != nil {
			return nil, err
		}
	}
	started := b.start(b.first[p.Index], b.stageName(p.Index), p.Line, stageText(p))
	base, err := b.base(ctx, o, platform)
	if err != nil {
		return nil, started.blame(b.fault(p.Line, err))
	}
	s := b.onBase(base, p)
	if o.isFiles() {
		if err := b.runStep(ctx, s, filesStep(p, o.name)); err != nil {
			return nil, err
		}
	}
	b.done(started, Event{})
	return s, nil
}

// onBase is the stage p where it begins.
func (b *builder) onBase(base *stage, p *plan.Stage) *stage {
	s := base.derive()
	s.onbuild, s.img.Config.OnBuild = nil, nil // they run now
	// A PATH is always set, so that words and commands can rely on it.
	if _, ok := s.scope().lookup("PATH"); !ok {
		s.img.Config.Env = append(s.img.Config.Env, oci.DefaultPath)
	}
	s.vars.vars = oci.MergeEnv(s.vars.vars, s.img.Config.Env...)
	s.index, s.step = p.Index, b.first[p.Index]
	s.name = b.stageName(p.Index)
	return s
}

// baseOf is what the FROM of a stage stands for, and for which platform.
func (b *builder) baseOf(p *plan.Stage) (origin, *oci.Platform, error) {
	name, err := b.baseName(p)
	if err != nil {
		return origin{}, nil, err
	}
	platform, err := b.platformOf(p)
	return b.baseOrigin(name, p.Index), platform, err
}

// base is o as a finished stage.
func (b *builder) base(ctx context.Context, o origin, platform *oci.Platform) (*stage, error) {
	switch {
	case o.stage >= 0:
		return b.finished(o.stage)
	case o.name == scratch && o.context == nil, o.isFiles():
		return b.emptyStage(&b.o.Platform), nil // whatever FROM says
	}
	return b.imageOf(ctx, o, platform)
}

// checkBase finds out, before anything runs, whether the base of a stage is
// there.
func (b *builder) checkBase(ctx context.Context, p *plan.Stage) error {
	o, platform, err := b.baseOf(p)
	if err == nil && o.stage < 0 {
		_, err = b.base(ctx, o, platform)
	}
	return b.fault(p.Line, err)
}

// checkSources finds out likewise whether the images that the steps of a stage
// take files from are there, for whatever platform.
func (b *builder) checkSources(p *plan.Stage) error {
	for i := range p.Steps {
		origins, err := b.origins(p.Steps[i], p.Index)
		if err != nil {
			return err
		}
		for _, o := range origins {
			if o.stage >= 0 || o.context != nil {
				continue
			}
			_, err := b.image(o.name, nil)
			if missing, ok := errors.AsType[*MissingImageError](err); ok {
				missing.Near = suggest.DidYouMean(o.name, stageNames(b.plan.Stages[:p.Index]))
			}
			if err != nil {
				st := p.Steps[i]
				return b.fault(st.Line, fmt.Errorf("%s: %w", summary(st), err))
			}
		}
	}
	return nil
}

// platformOf is the platform that a stage asks its base for: that of the FROM
// line, else the one given for the build, else nil: the base decides.
func (b *builder) platformOf(p *plan.Stage) (*oci.Platform, error) {
	if p.Platform == "" && !b.given {
		return nil, nil
	}
	if p.Platform == "" {
		return &b.o.Platform, nil
	}
	word, err := b.word(&b.globals, p.Platform)
	if err != nil {
		return nil, err
	}
	platform, err := oci.ParsePlatform(word)
	return &platform, err
}

// image is a stored image as a finished stage.
func (b *builder) image(name string, p *oci.Platform) (*stage, error) {
	return b.keepImage(name, p, func() (*Base, error) {
		base, err := b.o.Store.Image(name, p)
		if errors.Is(err, oci.ErrNotFound) {
			err = &MissingImageError{Name: name, Err: err}
		}
		return base, err
	})
}

// keepImage makes what find gives a finished stage, once for a name and platform.
func (b *builder) keepImage(name string, p *oci.Platform, find func() (*Base, error)) (*stage, error) {
	key := name
	if p != nil {
		key = oci.PlatformString(*p) + " " + name
	}
	b.finding.Lock()
	defer b.finding.Unlock()
	if s := b.images[key]; s != nil {
		return s, nil
	}
	base, err := find()
	if err != nil {
		return nil, err
	}
	s := newStage(base.Image, base.Layers)
	b.images[key] = s
	return s, nil
}

// MissingImageError says that an image that the plan names is not in the store.
type MissingImageError struct {
	Name string
	// Near asks whether a stage of a name like it was meant; "": there is none.
	Near string
	Err  error
}

func (e *MissingImageError) Error() string {
	text := e.Err.Error()
	if !strings.HasPrefix(text, "image ") { // stores say which
		text = "image " + e.Name + ": " + text
	}
	return text + e.Near
}

func (e *MissingImageError) Unwrap() error { return e.Err }
