package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"docksmith/lib/dockerfile"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// stage is the state of a stage: while its steps run, and, finished, what other
// stages begin with or copy from. An image named in --from is one too.
type stage struct {
	index   int
	name    string
	img     oci.Image
	layers  []oci.Layer
	chain   digest.Digest // of layers
	args    []arg
	onbuild []string // triggers for images built on this one
	cmdSet  bool     // this stage has had a CMD
	count   int      // steps begun, triggers included
	missed  bool     // a step missed the cache: so do all below it
	lowers  []string // directories of layers, top first; nil: not asked for yet
	copied  *copied  // the root in one directory, without an overlay
}

// emptyStage is what FROM scratch begins with.
func (b *builder) emptyStage(p *oci.Platform) *stage {
	s := &stage{img: oci.Image{Platform: *p}}
	s.img.Config.WorkingDir = "/"
	return s
}

// scope is what the words of the next step can see.
func (s *stage) scope() *scope { return &scope{env: s.img.Config.Env, args: s.args} }

func (s *stage) platform() oci.Platform { return s.img.Platform }

// derive is a stage that begins where s ends.
func (s *stage) derive() *stage {
	d := *s
	d.img = cloneImage(s.img)
	d.layers = slices.Clone(s.layers)
	d.args = slices.Clone(s.args)
	d.onbuild = slices.Clone(s.onbuild)
	d.cmdSet, d.count, d.copied = false, 0, nil
	return &d
}

// addLayer puts a layer on top.
func (s *stage) addLayer(l oci.Layer) {
	s.chain = oci.NextChainID(s.chain, l.DiffID)
	s.layers = append(s.layers, l)
	s.lowers = nil
}

// record adds the history entry of an instruction.
func (b *builder) record(s *stage, text string, empty bool) {
	s.img.History = append(s.img.History, oci.History{Created: &b.o.Epoch, CreatedBy: text, EmptyLayer: empty})
}

// buildStage executes the stage with index i, and before it those it needs
// that were not known to be needed: a trigger of its base may name one.
func (b *builder) buildStage(ctx context.Context, i int) error {
	if b.stages[i] != nil {
		return nil
	}
	p := &b.plan.Stages[i]
	b.step++
	started := b.start(p.Name, p.Line, stageText(p))
	s, err := b.begin(ctx, p)
	if err != nil {
		return b.fault(p.Line, err)
	}
	triggers, err := b.takeTriggers(s, p)
	if err != nil {
		return b.fault(p.Line, err)
	}
	b.done(started, Event{})
	for k := range triggers {
		if err := b.runStep(ctx, s, &triggers[k], false); err != nil {
			return b.fault(p.Line, fmt.Errorf("trigger of the base image: %w", err))
		}
	}
	for k := range p.Steps {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := b.runStep(ctx, s, &p.Steps[k], true); err != nil {
			return b.fault(p.Steps[k].Line, err)
		}
	}
	b.stages[i] = s
	return nil
}

func stageText(p *plan.Stage) string {
	if p.Text != "" {
		return p.Text
	}
	text := "FROM " + p.From
	if p.Name != "" {
		text += " AS " + p.Name
	}
	return text
}

// begin makes the state a stage starts with, from what its FROM names.
func (b *builder) begin(ctx context.Context, p *plan.Stage) (*stage, error) {
	name, err := b.baseName(p)
	if err != nil {
		return nil, err
	}
	platform, err := b.platformOf(p)
	if err != nil {
		return nil, err
	}
	var s *stage
	o := b.baseOrigin(name, p.Index)
	files := o.context != nil && o.context.Files != nil
	switch {
	case o.stage >= 0:
		s = b.stages[o.stage].derive()
	case o.name == scratch, files:
		s = b.emptyStage(cmp.Or(platform, &b.o.Platform))
	default:
		base, err := b.imageOf(ctx, o, platform)
		if err != nil {
			return nil, err
		}
		s = base.derive()
	}
	// A PATH is always set, so that words and commands can rely on it.
	if _, ok := s.scope().lookup("PATH"); !ok {
		s.img.Config.Env = append(s.img.Config.Env, oci.DefaultPath)
	}
	s.index, s.name = p.Index, p.Name
	if s.name == "" {
		s.name = fmt.Sprint(p.Index)
	}
	if files {
		err = b.runStep(ctx, s, filesStep(p, o.name), false)
	}
	return s, err
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
	if s := b.images[key]; s != nil {
		return s, nil
	}
	base, err := find()
	if err != nil {
		return nil, err
	}
	s := &stage{img: base.Image, layers: base.Layers, chain: oci.ChainID(oci.DiffIDs(base.Layers)), onbuild: base.Image.Config.OnBuild}
	b.images[key] = s
	return s, nil
}

// MissingImageError says that a base image is not in the store.
type MissingImageError struct {
	Name string
	Err  error
}

func (e *MissingImageError) Error() string {
	text := e.Err.Error()
	if strings.HasPrefix(text, "image ") {
		return text // stores say which
	}
	return "image " + e.Name + ": " + text
}

func (e *MissingImageError) Unwrap() error { return e.Err }

// takeTriggers removes the ONBUILD triggers of the base from s and gives them
// as steps of the line that began the stage.
func (b *builder) takeTriggers(s *stage, p *plan.Stage) ([]plan.Step, error) {
	texts := s.onbuild
	s.onbuild, s.img.Config.OnBuild = nil, nil
	var steps []plan.Step
	for _, text := range texts {
		st, err := parseTrigger(text, b.escape)
		if err != nil {
			return nil, fmt.Errorf("trigger %q of the base image: %w", text, err)
		}
		st.Line, st.EndLine = p.Line, 0
		if err := b.checkStep(&st); err != nil {
			return nil, err
		}
		if o, ok, err := b.copyOrigin(&st, p.Index); err != nil {
			return nil, err
		} else if ok && o.stage >= 0 && b.stages[o.stage] == nil {
			return nil, fmt.Errorf("trigger %q of the base image copies from stage %s, which nothing else in this build needs", text, b.stageName(o.stage))
		}
		steps = append(steps, st)
	}
	return steps, nil
}

// parseTrigger reads the text of an ONBUILD trigger as a configuration holds it.
func parseTrigger(text string, escape byte) (plan.Step, error) {
	source := "FROM scratch\n" + text + "\n"
	if escape == '`' {
		source = "# escape=`\n" + source
	}
	f, err := dockerfile.Parse(strings.NewReader(source), dockerfile.Options{Name: "ONBUILD"})
	if err != nil {
		if located, ok := errors.AsType[*dockerfile.Error](err); ok {
			err = located.Err
		}
		return plan.Step{}, err
	}
	p := plan.New(f)
	if len(p.Stages) != 1 || len(p.Stages[0].Steps) != 1 {
		return plan.Step{}, errors.New("not one instruction")
	}
	st := p.Stages[0].Steps[0]
	switch st.Op {
	case dockerfile.Onbuild, dockerfile.From, dockerfile.Maintainer:
		return plan.Step{}, fmt.Errorf("%s is not allowed as a trigger", st.Op)
	}
	return st, nil
}

// runStep executes one step. Those of the plan count and are announced; the
// triggers of a base belong to their FROM.
func (b *builder) runStep(ctx context.Context, s *stage, st *plan.Step, counted bool) error {
	s.count++
	if counted {
		b.step++
	}
	started := b.start(s.name, st.Line, stepText(st))
	var e Event
	var err error
	switch st.Op {
	case dockerfile.Run:
		e, err = b.runCommand(ctx, s, st)
	case dockerfile.Copy, dockerfile.Add:
		e, err = b.copyFiles(ctx, s, st)
	case dockerfile.Workdir:
		e, err = b.workdir(ctx, s, st)
	default:
		err = b.configure(s, st)
	}
	if err != nil {
		if _, ok := errors.AsType[*StepError](err); ok || errors.Is(err, context.Canceled) {
			return err
		}
		if _, ok := errors.AsType[*MissingSourceError](err); ok {
			return b.fault(st.Line, fmt.Errorf("%s %w", st.Op, err))
		}
		return b.fault(st.Line, fmt.Errorf("%s: %w", summary(st), err))
	}
	b.done(started, e)
	return nil
}

// started is a step under way.
type started struct {
	event Event
	at    time.Time
}

func (b *builder) start(name string, line int, text string) started {
	e := Event{Type: EventStart, Step: b.step, Total: b.total, Stage: name, Line: line, Text: text}
	b.emit(e)
	return started{e, time.Now()}
}

// done tells the end of a step with what e knows about it.
func (b *builder) done(s started, e Event) {
	e.Type, e.Step, e.Total, e.Stage, e.Line, e.Text = EventDone, s.event.Step, s.event.Total, s.event.Stage, s.event.Line, s.event.Text
	e.Seconds = time.Since(s.at).Seconds()
	b.emit(e)
}

func stepText(st *plan.Step) string {
	if st.Text != "" {
		return st.Text
	}
	words := []string{st.Op}
	for _, f := range st.Flags {
		words = append(words, "--"+f.Name+"="+f.Value)
	}
	return strings.Join(append(words, st.Args...), " ")
}

// summary is the text of a step short enough for a message.
func summary(st *plan.Step) string {
	text := strings.Join(strings.Fields(stepText(st)), " ")
	const most = 60
	if r := []rune(text); len(r) > most {
		text = string(r[:most-3]) + "..."
	}
	return text
}

// absolute joins a path of an instruction to the working directory.
func (s *stage) absolute(p string) string {
	if path.IsAbs(p) {
		return path.Clean(p)
	}
	return path.Join("/", s.img.Config.WorkingDir, p)
}
