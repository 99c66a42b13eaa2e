package build

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"docksmith/lib/cache"
	"docksmith/lib/oci"
	"docksmith/lib/plan"
)

// work is a step that may make a layer.
type work struct {
	step *plan.Step
	text string // of the history
	// pre is what the result depends on, all but files.
	pre *cache.Preimage
	// quick leads to the record without reading files; nil: nothing does.
	quick *alias
	// glance is what leads there by a look at what files would read, listed the same
	// by how files found it. Either may give nil, and is nil where there is quick.
	glance func(ctx context.Context) *alias
	listed func() *alias
	// files lists and hashes what the key holds of them; nil: nothing. After
	// make it costs nothing.
	files func(ctx context.Context) ([]cache.File, error)
	// place names, within this build, where files takes them from, so that equal
	// steps of several stages are done once; "" does not tell.
	place string
	// claim takes what the step must have for itself before it executes, such
	// as a lock, and returns how to give it back; nil: nothing. It comes before
	// the job slot: who waits for a lock must not keep others from working, the
	// one with the lock least of all.
	claim func(ctx context.Context) (release func(), err error)
	// before is how long was spent on what make would have to do, if something
	// of it was done for the key; nil: nothing.
	before func() time.Duration
	// make writes the layer.
	make func(ctx context.Context, m *maker) error
	// quiet steps are not announced as hit or miss.
	quiet bool
}

// alias is another way to a step's record than its key.
type alias struct {
	pre *cache.Preimage
	// seen stands for the files that the record is for, if pre does not.
	seen string
}

// newPreimage begins the key of a step that works on files. The names of its
// components are read by people, in the reason of a miss.
func (b *builder) newPreimage(s *stage, st *plan.Step, words ...string) *cache.Preimage {
	p := &cache.Preimage{}
	p.Add("previous layer", s.chain.String())
	p.Add("SOURCE_DATE_EPOCH", fmt.Sprint(b.o.Epoch.Unix()))
	p.Add("instruction", jsonWords(append([]string{st.Op.String()}, words...)))
	return p
}

// layerStep takes the step's layer from the cache or makes it.
func (b *builder) layerStep(ctx context.Context, s *stage, w *work) (Event, error) {
	out, mine, err := b.once(ctx, s, w)
	if err != nil {
		return Event{}, err
	}
	e := Event{Cache: "hit", Log: out.rec.Log}
	// Whoever did the step: below a miss, the reason is that of this stage.
	reason := cmp.Or(s.missed, out.reason)
	if out.missed && s.missed == "" {
		s.missed = fmt.Sprintf("%s: line %d, %s", ReasonEarlier, w.step.Line, reason)
	}
	if out.missed && mine {
		e.Cache, e.Reason, e.Seconds, e.PeakMemory = "miss", reason, out.rec.Seconds, out.rec.PeakMemory
	}
	if !mine {
		b.verdict(s, w, e)
	}
	b.note(s, w, out, reason)
	if out.layer != nil {
		s.addLayer(*out.layer)
		e.DiffID, e.Size = out.layer.DiffID.String(), out.layer.Size
		if out.missed && mine {
			e.Written = e.Size
		}
	}
	b.record(s, w.text, out.layer == nil)
	if w.quiet {
		e.Cache, e.Reason = "", ""
	}
	return e, nil
}

// verdict tells what the cache said, before the step goes on.
func (b *builder) verdict(s *stage, w *work, e Event) {
	if w.quiet {
		return
	}
	e.Type, e.Step, e.Total, e.Stage, e.Line = EventCache, s.step, b.total, s.name, w.step.Line
	b.emit(e)
}

// recall finds a usable record of the step, or says why there is none. Below a
// miss everything misses: the layers may be others, and even if they were not,
// what a cached build gives must be what was seen to work together.
func (b *builder) recall(ctx context.Context, s *stage, w *work) (*cache.Record, miss, error) {
	switch {
	case b.o.Cache == nil, b.o.NoCache:
		return nil, miss{reason: ReasonNoCache}, nil
	case s.missed != "":
		return nil, miss{reason: s.missed}, nil
	}
	if rec := b.lookupQuick(w, w.quick); rec != nil {
		return rec, miss{}, nil
	}
	if w.files != nil {
		// Without any record of this instruction there is nothing to find,
		// and the files are read once, for the layer.
		if !b.o.Cache.Seen(w.pre) {
			return nil, b.unrecorded(s, w), nil
		}
		rec, err := b.readFiles(ctx, w)
		if rec != nil || err != nil {
			return rec, miss{}, err
		}
	}
	rec, reason := b.usable(b.o.Cache.Lookup(w.pre.Key()))
	if reason == ReasonNew {
		return nil, b.unrecorded(s, w), nil
	}
	if rec != nil {
		b.rememberQuick(w, rec.Key)
	}
	return rec, miss{reason: reason}, nil
}

// lookupQuick finds a usable record by an alias, if there is one.
func (b *builder) lookupQuick(w *work, a *alias) *cache.Record {
	if a == nil {
		return nil
	}
	rec, _ := b.usable(b.o.Cache.LookupAlias(a.pre, a.seen))
	if rec != nil {
		w.pre = nil // without its files it is not the record's
	}
	return rec
}

// readFiles completes the key for a look into the cache, unless a glance at the files
// finds a record. One step at a time: it uses all processors by itself, and a list of
// files takes memory.
func (b *builder) readFiles(ctx context.Context, w *work) (*cache.Record, error) {
	select {
	case b.reading <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-b.reading }()
	if w.glance != nil {
		if rec := b.lookupQuick(w, w.glance(ctx)); rec != nil {
			return rec, nil
		}
	}
	return nil, w.addFiles(ctx)
}

// addFiles completes the key. It is done once.
func (w *work) addFiles(ctx context.Context) error {
	if w.files == nil {
		return nil
	}
	files, err := w.files(ctx)
	if err != nil {
		return err
	}
	w.pre.AddFiles("files", files)
	w.files = nil
	return nil
}

// usable is what a look into the cache gave if its layer is in the store, else says
// why it is of no use.
func (b *builder) usable(rec *cache.Record, ok bool, err error) (*cache.Record, string) {
	switch {
	case err != nil:
		return nil, ReasonRecorded
	case !ok:
		return nil, ReasonNew
	case rec.Layer == nil:
		return rec, ""
	}
	if size, ok := b.o.Store.Has(rec.Layer.Digest); !ok || size != rec.Layer.Size {
		return nil, ReasonNoBlob
	}
	return rec, ""
}

// fromRecord is the layer of a record, with the compression of this build.
func (b *builder) fromRecord(ctx context.Context, rec *cache.Record) (*oci.Layer, error) {
	if rec.Layer == nil {
		return nil, nil
	}
	l, err := b.o.Store.Recompress(ctx, *rec.Layer)
	return &l, err
}

// remember keeps what the step gave. A cache that cannot is a slower one, not a
// failed build.
func (b *builder) remember(w *work, rec cache.Record) {
	if b.o.Cache == nil {
		return
	}
	rec.Text = stepText(w.step)
	if err := b.o.Cache.Put(w.pre, rec); err != nil {
		b.warn(w.step.Line, "the cache does not take this step: "+err.Error())
		return
	}
	b.rememberQuick(w, w.pre.Key())
}

// rememberQuick gives the record of a key its alias.
func (b *builder) rememberQuick(w *work, key string) {
	a := w.quick
	if w.listed != nil {
		a = w.listed()
	}
	if a == nil || b.o.DryRun {
		return
	}
	if err := b.o.Cache.Alias(a.pre, a.seen, key); err != nil {
		b.warn(w.step.Line, "the cache does not take this step: "+err.Error())
	}
}

// execute makes the layer of a step, its snapshot and its record.
func (b *builder) execute(ctx context.Context, s *stage, w *work) (*cache.Record, error) {
	end, err := b.enter(ctx, w)
	if err != nil {
		return nil, err
	}
	defer end()
	rec, err := b.makeLayer(ctx, s, w)
	if err != nil {
		b.failing.Store(true) // before another step takes the slot
	}
	return rec, err
}

// enter waits for what a step must have to execute, and for leave to. end gives
// both back.
func (b *builder) enter(ctx context.Context, w *work) (end func(), err error) {
	unclaim := func() {}
	if w.claim != nil {
		if unclaim, err = w.claim(ctx); err != nil {
			return nil, err
		}
	}
	release, err := b.acquire(ctx)
	if err != nil {
		unclaim()
		return nil, err
	}
	return func() { release(); unclaim() }, nil
}

func (b *builder) makeLayer(ctx context.Context, s *stage, w *work) (_ *cache.Record, err error) {
	began := time.Now()
	if w.before != nil {
		began = began.Add(-w.before())
	}
	m := &maker{b: b, s: s}
	if m.temp, err = b.o.Store.TempDir("build"); err != nil {
		return nil, err
	}
	defer func() {
		m.closeView()
		if cerr := m.temp.Close(); err == nil && cerr != nil {
			err = fmt.Errorf("remove temporary files: %w", cerr)
		}
	}()
	if m.tar, err = b.o.Store.NewLayer(ctx); err != nil {
		return nil, err
	}
	defer m.tar.Abort()
	if err := w.make(ctx, m); err != nil {
		return nil, err
	}
	rec := cache.Record{Created: time.Now(), Log: m.log, PeakMemory: m.peakMemory}
	if !m.empty {
		if rec.Layer, err = m.commit(); err != nil {
			return nil, err
		}
	}
	rec.Seconds = time.Since(began).Seconds()
	if err := w.addFiles(ctx); err != nil {
		return nil, err
	}
	b.remember(w, rec)
	return &rec, nil
}
