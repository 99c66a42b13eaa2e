// Package build executes a plan: it turns the steps of a Dockerfile into
// layers and a configuration, reusing what a cache remembers.
//
// It has the semantics of BuildKit's Dockerfile frontend. It does not know how
// images are kept, how a process is isolated or who watches: a store, a cache,
// a runner and a context are handed in, and what happens is told as events.
//
// The invariant: the image depends on the plan, the bytes, names and modes of
// the context, the base images and the options; never on the clock, the user,
// the umask or on whether a step came from the cache.
//
//	result, err := build.Build(ctx, p, build.Options{
//		Store: store, Cache: cache, Runner: runner, Context: files, View: view,
//	})
//	err = store.Tag(ctx, result.Descriptor, names...)
package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"docksmith/lib/buildctx"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// Options says with what and how to build. Store and Context may be wanted by
// any plan, Runner and View by most; the zero value of the rest is the default.
type Options struct {
	Store  Store
	Runner Runner
	// Cache remembers steps; nil remembers nothing.
	Cache Cache
	// DryRun executes nothing and stores no image: of the Result there are only
	// the counts, which are told to nobody. Steps that read a stage which is
	// not in the cache miss.
	DryRun bool
	// Account is told of hits and misses; optional.
	Account Account
	// Context is where COPY and ADD find files; nil is an empty context.
	Context *buildctx.Context
	// Index knows the hashes of files in the roots of stages; optional.
	Index *buildctx.Index
	// View opens a read-only view of the merged directories, top first.
	View func(lowers []string) (*os.File, error)

	// Contexts are the further places to take files and bases from, by name. A
	// name of a stage puts the context in the stage's place.
	Contexts map[string]NamedContext

	// Args are the values of --build-arg.
	Args map[string]string
	// Target is the name or index of the stage to build; default the last.
	Target string
	// Alone is the only step to execute; default all.
	Alone *Alone
	// NoCache runs every step. What they make is still recorded.
	NoCache bool
	// Recheck does some of the steps that hit again and compares; nil: none.
	Recheck *Recheck
	// Network is what RUN steps may reach: NetworkNone, the default, or
	// NetworkHost, which also is the leave for RUN --network=host.
	Network string
	// AllowHostNetwork is leave for RUN --network=host alone.
	AllowHostNetwork bool
	// Hosts are put into the /etc/hosts of RUN steps.
	Hosts []Host
	// Insecure is leave for RUN --security=insecure: the capabilities that its
	// command gets; nil gives no leave.
	Insecure []string
	// CacheMounts keeps the directories of cache mounts; optional.
	CacheMounts CacheMounts
	// Secrets are what RUN --mount=type=secret can ask for, by name. What steps
	// print passes through a filter that replaces them.
	Secrets map[string][]byte
	// Agents are what RUN --mount=type=ssh can ask for: names, and what the
	// Runner knows as Socket.To.
	Agents map[string]string
	// Fetcher brings what ADD names by address, with NetworkHost or where the
	// Dockerfile tells the content and it is kept; optional.
	Fetcher Fetcher
	// NoOverlay compares copied trees instead of using overlays.
	NoOverlay bool
	// Platform is what to build for; default the host's.
	Platform oci.Platform
	// CanRun says whether programs of another architecture run here, or why
	// not; nil is no for all. Its nil may be a guess.
	CanRun func(oci.Platform) error
	// Epoch is the time that files and image carry; default that of an ARG
	// SOURCE_DATE_EPOCH before the first FROM, else 1970.
	Epoch time.Time
	// Labels are added to the image.
	Labels map[string]string
	// Jobs limits how many steps execute at the same time; nil is no limit.
	Jobs Jobs
	// ID names the build, for the log that records and events refer to as
	// "ID:STEP"; empty: there is no log.
	ID string
	// Output gives what a RUN step prints to; nil discards it. It is called once
	// when the command starts, with its EventRun; the writer is used by one
	// goroutine and, if it is an io.Closer, closed when the command has ended.
	Output func(Event) io.Writer
	// Events is told what happens: one call at a time, on any goroutine. The
	// events of one stage come in their order, stages are interleaved. Neither
	// it nor Output is called while the other is.
	Events func(Event)
}

// Networks of a RUN step.
const (
	NetworkNone = "none"
	NetworkHost = "host"
)

// Result is a built image, complete in the store but without a name.
type Result struct {
	Descriptor oci.Descriptor
	Image      oci.Image
	// Hits and Misses count the steps that make layers; Saved is how many
	// seconds the hits took when they were misses.
	Hits, Misses int
	Saved        float64
	// Checked are the hits that were done again, Different those of them that
	// did not give what the cache has.
	Checked, Different int
}

// Build executes p and stores the image. Stages that do not need each other run
// at the same time. Faults of the plan or of a step are a *StepError, which
// knows the line; the first ends the others. Steps that end before an error or
// a cancellation stay in the cache.
func Build(ctx context.Context, p *plan.Plan, o Options) (_ *Result, err error) {
	b, err := newBuilder(ctx, p, o)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.dropCopies()) }()
	if o.Account != nil {
		o.Account.Expect(b.expected())
	}
	err = b.buildStages(ctx)
	b.account()
	if err != nil {
		return nil, err
	}
	if o.DryRun {
		return &b.result, nil
	}
	return b.finish(ctx)
}

// StepError is a fault at a line of the plan's file.
type StepError struct {
	File string
	Line int
	// Step, Total and Stage are those of the step's events; zero if the fault is
	// not one of a step.
	Step, Total int
	Stage       string
	// Status is the exit status of a RUN command that failed, else 0; Signal
	// and OOM say more about it, as in RunResult.
	Status, Signal int
	OOM            bool
	// Offline says that the command had no network and would have had with
	// Options.Network.
	Offline bool
	// PeakMemory is what the command had in memory, as in RunResult.
	PeakMemory int64
	// Bundle is where the failed command's container was kept, if it was.
	Bundle string
	// Log names its output, as Event.Log does, if a command ran.
	Log string
	// Shell is the program in that container that gives somebody a shell: that
	// of SHELL or another; empty if there is none.
	Shell string
	Err   error
	// Others are steps of other stages that failed before this failure could
	// end them, in the order of the file.
	Others []*StepError

	same *StepError // that of another stage, which has the step too
}

func (e *StepError) Error() string { return fmt.Sprintf("%s:%d: %v", e.File, e.Line, e.Err) }

func (e *StepError) Unwrap() error { return e.Err }

// builder is one build.
type builder struct {
	o        Options
	given    bool // o.Platform was asked for
	plan     *plan.Plan
	escape   byte
	globals  scope                    // arguments of FROM lines, platform arguments included
	contexts map[string]*NamedContext // by contextName
	target   int
	goal     int                  // the stage whose image is written: the target, or that of Options.Alone
	order    []int                // needed stages, each after those it needs
	total    int                  // instructions in them
	first    map[int]int          // number of a stage's FROM among all instructions
	triggers map[int][]*plan.Step // ONBUILD triggers of a stage's base
	running  map[int]*running
	failing  atomic.Bool // a stage has failed: no step is begun any more
	result   Result

	reading chan struct{} // holds a token: who lists and hashes files has it
	telling sync.Mutex    // serialises Events and Output

	finding sync.Mutex        // guards images
	images  map[string]*stage // images named in FROM and --from, by name and platform

	mu     sync.Mutex          // guards the rest
	used   map[string]bool     // build arguments that something declared
	common map[string]*common  // by commonID
	copies Temp                // of the roots of stages, without an overlay
	pinned map[int][]pinnedAdd // by stage: those not yet known to be allowed
}

func newBuilder(ctx context.Context, p *plan.Plan, o Options) (*builder, error) {
	if o.Store == nil {
		panic("build: Options.Store is nil")
	}
	given := o.Platform.OS != ""
	if !given {
		o.Platform = oci.HostPlatform()
	}
	if o.Network == "" {
		o.Network = NetworkNone
	}
	b := &builder{
		o: o, given: given, plan: p, escape: '\\',
		first: map[int]int{}, triggers: map[int][]*plan.Step{}, running: map[int]*running{},
		reading: make(chan struct{}, 1),
		images:  map[string]*stage{}, used: map[string]bool{}, common: map[string]*common{},
		pinned: map[int][]pinnedAdd{},
	}
	if p.Escape != "" {
		b.escape = p.Escape[0]
	}
	b.setContexts()
	if err := b.resolveTarget(); err != nil {
		return nil, err
	}
	if err := b.checkAlone(); err != nil {
		return nil, err
	}
	if err := b.setGlobals(); err != nil {
		return nil, err
	}
	if err := b.setEpoch(); err != nil {
		return nil, err
	}
	return b, b.setOrder(ctx)
}

// finish writes the image of the target stage.
func (b *builder) finish(ctx context.Context) (*Result, error) {
	s := b.running[b.goal].stage
	img := s.img
	img.Created = &b.o.Epoch
	img.Config.OnBuild = s.onbuild
	img.RootFS = oci.RootFS{Type: "layers", DiffIDs: oci.DiffIDs(s.layers)}
	if b.given {
		img.Platform = labelled(img.Platform, b.o.Platform)
	}
	for k, v := range b.o.Labels {
		setLabel(&img.Config, k, v)
	}
	if b.o.Alone == nil {
		b.warnUnusedArgs()
	}
	desc, err := b.o.Store.WriteImage(ctx, img, s.layers, nil)
	if err != nil {
		return nil, fmt.Errorf("write image: %w", err)
	}
	b.result.Descriptor, b.result.Image = desc, img
	return &b.result, nil
}

// labelled is the platform of the image: the one that was asked for, whatever
// its base was made for. A base for the same machine may know more about it.
func labelled(base, asked oci.Platform) oci.Platform {
	if base.OS == asked.OS && base.Architecture == asked.Architecture {
		asked.Variant = cmp.Or(asked.Variant, base.Variant)
		asked.OSVersion = cmp.Or(asked.OSVersion, base.OSVersion)
		asked.OSFeatures = base.OSFeatures
	}
	return asked
}

// fault places err at a line of the plan's file, unless it is placed already
// or is the end of the build from outside.
func (b *builder) fault(line int, err error) error {
	if err == nil || errors.Is(err, context.Canceled) {
		return err
	}
	if _, ok := errors.AsType[*StepError](err); ok {
		return err
	}
	return &StepError{File: b.fileName(), Line: line, Err: err}
}

func (b *builder) fileName() string {
	if b.plan.File == "" {
		return "Dockerfile"
	}
	return b.plan.File
}

// errorf is fault of a new error whose text begins with the instruction.
func (b *builder) errorf(st *plan.Step, format string, args ...any) error {
	return b.fault(st.Line, fmt.Errorf("%s: %w", st.Op, fmt.Errorf(format, args...)))
}
