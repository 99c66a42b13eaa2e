package build

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"docksmith/lib/buildctx"
	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// NamedContext is what a name of Options.Contexts stands for: a directory or an
// image.
type NamedContext struct {
	// Files is the directory, seen through its own ignore rules.
	Files *buildctx.Context
	// Image finds the image for a platform, nil meaning whatever it is for. It
	// is asked when Files is nil. It may be called concurrently.
	Image func(ctx context.Context, p *oci.Platform) (*Base, error)
}

// origin is what a name after FROM, --from= or from= stands for: a named
// context, else a stage, else an image of the store.
type origin struct {
	name    string
	context *NamedContext // nil: none
	stage   int           // its index; -1: none
}

func (o origin) isFiles() bool { return o.context != nil && o.context.Files != nil }

// source is a place that files are taken from, ready to be read: the root of a
// finished stage or an image, or a directory. The zero source is the context of
// the build.
type source struct {
	name  string // of a named context
	stage *stage
	files *buildctx.Context // where stage is nil
}

// setContexts gives the named contexts their names as references are compared,
// and puts them in the place of the stages of the same name.
func (b *builder) setContexts() {
	if len(b.o.Contexts) == 0 {
		return
	}
	b.contexts = map[string]*NamedContext{}
	for name, c := range b.o.Contexts {
		b.contexts[contextName(name)] = &c
	}
	p := *b.plan
	p.Stages = slices.Clone(p.Stages)
	for i := range p.Stages {
		if s := p.Stages[i]; b.overridden(i) {
			p.Stages[i] = &plan.Stage{Index: s.Index, Name: s.Name, From: s.Name, Platform: s.Platform, Line: s.Line}
		}
	}
	b.plan = &p
}

// contextName is the form in which names of contexts are compared: that of the
// reference they may stand for, without what docker adds by itself.
func contextName(name string) string {
	name = strings.TrimSuffix(name, ":"+oci.DefaultTag)
	for _, prefix := range []string{"docker.io/library/", "docker.io/", "index.docker.io/library/", "index.docker.io/"} {
		if rest, ok := strings.CutPrefix(name, prefix); ok {
			name = rest
			break
		}
	}
	rest, tag := name, ""
	if i := strings.LastIndexByte(name, ':'); i > strings.LastIndexByte(name, '/') {
		rest, tag = name[:i], name[i:]
	}
	return strings.ToLower(rest) + tag
}

// overridden tells whether a named context takes the place of stage i.
func (b *builder) overridden(i int) bool {
	name := b.plan.Stages[i].Name
	return name != "" && b.contexts[strings.ToLower(name)] != nil
}

// outside is the origin of a name that no stage has.
func (b *builder) outside(name string) origin {
	return origin{name: name, stage: -1, context: b.contexts[contextName(name)]}
}

// stageOrigin is the origin that a stage is.
func (b *builder) stageOrigin(i int) origin {
	if b.overridden(i) {
		return b.outside(b.plan.Stages[i].Name)
	}
	return origin{name: b.plan.Stages[i].Name, stage: i}
}

// baseOrigin is what the name after the FROM of stage i stands for. A number is
// a name there.
func (b *builder) baseOrigin(name string, i int) origin {
	if n, ok := b.plan.FindBefore(name, i); ok && strings.EqualFold(b.plan.Stages[n].Name, name) {
		return origin{name: name, stage: n} // one that a context replaced too: it begins with that
	}
	if name == scratch {
		return origin{name: name, stage: -1}
	}
	return b.outside(name)
}

// scratch is the name of the empty base.
const scratch = "scratch"

// sourceOrigin is what name, from a flag of st in stage i, stands for. flag is
// how messages show it.
func (b *builder) sourceOrigin(st *plan.Step, flag, name string, i int) (origin, error) {
	if strings.ContainsRune(name, '$') {
		return origin{}, b.errorf(st, "%s: variables are not expanded here; name a stage with FROM $VARIABLE AS NAME and take it from that", flag)
	}
	if n, ok := b.plan.FindBefore(name, i); ok {
		return b.stageOrigin(n), nil
	}
	o := b.outside(name)
	if o.context != nil {
		return o, nil
	}
	if later, ok := b.plan.FindBefore(name, len(b.plan.Stages)); ok && later > i {
		return o, b.errorf(st, "%s: that stage comes later; it has to be defined before this one", flag)
	}
	if _, err := strconv.Atoi(name); err == nil {
		return o, b.errorf(st, "%s: there is no stage %s before this one", flag, name)
	}
	if strings.EqualFold(b.plan.Stages[i].Name, name) && name != "" {
		return o, b.errorf(st, "%s: a stage cannot copy from itself", flag)
	}
	return o, nil
}

// origins are what a step of stage i takes files from, its own context apart.
func (b *builder) origins(st *plan.Step, i int) ([]origin, error) {
	if st.Op == dockerfile.Run {
		return b.mountOrigins(st, i)
	}
	o, ok, err := b.copyOrigin(st, i)
	if !ok || err != nil {
		return nil, err
	}
	return []origin{o}, nil
}

// copyOrigin is what the --from of a COPY of stage i names; false without one.
func (b *builder) copyOrigin(st *plan.Step, i int) (origin, bool, error) {
	from, ok := st.Flag("from")
	if st.Op != dockerfile.Copy || !ok || from == "" {
		return origin{}, false, nil
	}
	o, err := b.sourceOrigin(st, "--from="+from, from, i)
	return o, true, err
}

// source makes o ready to be read by a step of stage s. A stage must be one
// that s needs, and so be finished.
func (b *builder) source(ctx context.Context, s *stage, o origin) (source, error) {
	if o.isFiles() {
		return source{name: contextName(o.name), files: o.context.Files}, nil
	}
	if o.stage < 0 {
		p := s.platform()
		img, err := b.imageOf(ctx, o, &p)
		return source{stage: img}, err
	}
	done, err := b.finished(o.stage)
	return source{stage: done}, err
}

// imageOf is an image, of a named context or of the store, as a finished stage.
func (b *builder) imageOf(ctx context.Context, o origin, p *oci.Platform) (*stage, error) {
	if o.context == nil {
		return b.image(o.name, p)
	}
	return b.keepImage("context "+contextName(o.name), p, func() (*Base, error) {
		base, err := o.context.Image(ctx, p)
		if err != nil {
			err = fmt.Errorf("build context %s: %w", o.name, err)
		}
		return base, err
	})
}

// stageName is how messages name a stage.
func (b *builder) stageName(i int) string {
	if name := b.plan.Stages[i].Name; name != "" {
		return name
	}
	return strconv.Itoa(i)
}

// filesStep is the step that makes a directory the base of a stage.
func filesStep(p *plan.Stage, name string) *plan.Step {
	return &plan.Step{
		Op: dockerfile.Copy, Line: p.Line, Args: []string{".", "/"},
		Extra: &plan.Extra{Flags: []plan.Flag{{Name: "from", Value: name}}},
	}
}
