package build

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"sync"
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
	vars    scope
	args    []string // the declared arguments, with a value or not
	onbuild []string // triggers for images built on this one
	cmdSet  bool     // this stage has had a CMD
	count   int      // steps begun, triggers included
	step    int      // number of the last one among all instructions
	missed  string   // why all steps below miss the cache; "": none missed so far
	disk    *disk
}

// disk is where the layers of a stage are unpacked. It is all that changes when
// a stage is finished, and several others may read that at once.
type disk struct {
	mu     sync.Mutex
	lowers []string // directories of the layers, top first; nil: not asked for yet
	copied *copied  // the root in one directory, without an overlay
}

// newStage is the stage that an image is.
func newStage(img oci.Image, layers []oci.Layer) *stage {
	return &stage{
		vars: scope{slices.Clone(img.Config.Env)},
		img:  img, layers: layers, chain: oci.ChainID(oci.DiffIDs(layers)),
		onbuild: img.Config.OnBuild, disk: &disk{},
	}
}

// emptyStage is what FROM scratch begins with.
func (b *builder) emptyStage(p *oci.Platform) *stage {
	s := newStage(oci.Image{Platform: *p}, nil)
	s.img.Config.WorkingDir = "/"
	return s
}

// scope is what the words of the next step can see.
func (s *stage) scope() *scope { return &s.vars }

func (s *stage) platform() oci.Platform { return s.img.Platform }

// derive is a stage that begins where s ends.
func (s *stage) derive() *stage {
	d := *s
	d.img = cloneImage(s.img)
	d.layers = slices.Clone(s.layers)
	d.vars.vars, d.args = slices.Clone(s.vars.vars), slices.Clone(s.args)
	d.onbuild = slices.Clone(s.onbuild)
	d.cmdSet, d.count = false, 0
	s.disk.mu.Lock()
	d.disk = &disk{lowers: s.disk.lowers}
	s.disk.mu.Unlock()
	return &d
}

// addLayer puts a layer on top.
func (s *stage) addLayer(l oci.Layer) {
	s.chain = oci.NextChainID(s.chain, l.DiffID)
	s.layers = append(s.layers, l)
	s.disk.lowers = nil
}

// historyMark ends the history entries of instructions that work on files, as
// BuildKit writes them: programs that read a Dockerfile out of a history tell by
// it how the entry is to be read. The texts are BuildKit's for the same reason.
// Its comment on each entry, which names the builder, is not ours to use.
const historyMark = " # buildkit"

// record adds the history entry of an instruction.
func (b *builder) record(s *stage, text string, empty bool) {
	s.img.History = append(s.img.History, oci.History{Created: &b.o.Epoch, CreatedBy: text, EmptyLayer: empty})
}

// buildStage executes the stage with index i.
func (b *builder) buildStage(ctx context.Context, i int) (*stage, error) {
	p := b.plan.Stages[i]
	var s *stage
	var err error
	if base := b.imageOfStage(i); base != nil {
		s, err = b.take(ctx, i, base)
	} else {
		s, err = b.begin(ctx, p)
	}
	if err != nil {
		return nil, b.fault(p.Line, err)
	}
	triggers, steps := b.steps(i)
	for _, st := range triggers {
		if err := b.runStep(ctx, s, st); err != nil {
			return nil, b.fault(p.Line, fmt.Errorf("trigger of the base image: %w", err))
		}
	}
	for _, st := range steps {
		s.step++
		if err := b.runStep(ctx, s, st); err != nil {
			return nil, b.fault(st.Line, err)
		}
	}
	return s, nil
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

// runStep executes one step, once the stages that it reads are finished.
func (b *builder) runStep(ctx context.Context, s *stage, st *plan.Step) error {
	needs, err := b.stepNeeds(st, s.index)
	for _, n := range needs {
		read, ferr := b.finished(n)
		if err == nil {
			err = ferr
		}
		if b.o.DryRun && ferr == nil && read.missed != "" && s.missed == "" {
			s.missed = fmt.Sprintf(ReasonStage, b.stageName(n)) // what it gives is not known
		}
	}
	if err != nil {
		return err
	}
	s.count++
	started := b.start(s.step, s.name, st.Line, stepText(st))
	var e Event
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
			return started.blame(err)
		}
		if _, ok := errors.AsType[*MissingSourceError](err); ok {
			return started.blame(b.fault(st.Line, fmt.Errorf("%s %w", st.Op, err)))
		}
		return started.blame(b.fault(st.Line, fmt.Errorf("%s: %w", summary(st), err)))
	}
	b.done(started, e)
	return nil
}

// started is a step under way.
type started struct {
	event Event
	at    time.Time
}

func (b *builder) start(step int, name string, line int, text string) started {
	e := Event{Type: EventStart, Step: step, Total: b.total, Stage: name, Line: line, Text: text}
	b.emit(e)
	return started{e, time.Now()}
}

// done tells the end of a step with what e knows about it.
func (b *builder) done(s started, e Event) {
	e.Type, e.Step, e.Total, e.Stage, e.Line, e.Text = EventDone, s.event.Step, s.event.Total, s.event.Stage, s.event.Line, s.event.Text
	if e.Seconds == 0 {
		e.Seconds = time.Since(s.at).Seconds()
	}
	b.emit(e)
}

// blame names the step in a fault that does not name one.
func (s started) blame(err error) error {
	if fault, ok := errors.AsType[*StepError](err); ok && fault.Step == 0 {
		fault.Step, fault.Total, fault.Stage = s.event.Step, s.event.Total, s.event.Stage
	}
	return err
}

func stepText(st *plan.Step) string {
	if st.Text != "" {
		return shownText(st, st.Text)
	}
	words := []string{st.Op.String()}
	for _, f := range st.Flags() {
		words = append(words, "--"+f.Name+"="+f.Value)
	}
	return shownText(st, strings.Join(append(words, st.Args...), " "))
}

// shownText is the text without the credentials of URLs that are fetched.
func shownText(st *plan.Step, text string) string {
	if st.Op == dockerfile.Add {
		return dockerfile.RedactURLs(text)
	}
	return text
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
