package build

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"
	"time"

	"docksmith/lib/buildctx"
	"docksmith/lib/cache"
	"docksmith/lib/dockerfile"
	"docksmith/lib/plan"
)

// copyJob is a COPY or ADD whose words have their values.
type copyJob struct {
	b        *builder
	s        *stage
	st       *plan.Step
	from     source
	words    []string
	docs     []document
	destWord string // the destination as the history shows it
	dest     string // absolute, clean
	inside   bool   // dest is a directory, whatever is there
	chown    string
	chmod    string

	mode    modeChange
	exclude *buildctx.Ignore
	parents bool
	link    bool
	unpacks bool // archives become what is in them

	checksum string
	remotes  []*remote // for each of words; nil: a path
	fetching time.Duration

	tree    *tree   // where paths are
	fetched []*tree // of remotes
	found   bool
	picks   int
	items   []item
	seen    *buildctx.Fingerprint // of paths
}

// document is a here-document: a file that the Dockerfile itself holds.
type document struct{ name, text string }

// copyFiles executes COPY and ADD.
func (b *builder) copyFiles(ctx context.Context, s *stage, st *plan.Step) (Event, error) {
	c, err := b.newCopy(ctx, s, st)
	if err != nil {
		return Event{}, err
	}
	defer c.close()
	if err := c.resolveRemotes(ctx); err != nil {
		return Event{}, err
	}
	w := &work{
		step: st, text: c.text(), pre: c.preimage(), quick: c.quick(), files: c.files, make: c.make,
		before: func() time.Duration { return c.fetching },
	}
	if w.quick == nil && c.addresses() == "" {
		w.glance, w.listed = c.glance, c.listed
	}
	if c.from.stage == nil {
		w.place = "context " + c.from.name + c.addresses()
	}
	if b.o.DryRun && c.from.stage == nil && c.addresses() == "" {
		if err := c.find(ctx); err != nil { // of a new step nobody looks for the files
			return Event{}, err
		}
	}
	e, err := b.layerStep(ctx, s, w)
	e.Read = bytesRead(append(c.fetched, c.tree)...)
	return e, err
}

// newCopy evaluates the words of the step.
func (b *builder) newCopy(ctx context.Context, s *stage, st *plan.Step) (*copyJob, error) {
	if len(st.Args) < 2 {
		return nil, errors.New("want a source and a destination")
	}
	c := &copyJob{b: b, s: s, st: st, parents: st.IsSet("parents"), link: st.IsSet("link")}
	if v, ok := st.Flag("unpack"); ok {
		c.unpacks = v == "true"
	} else {
		c.unpacks = st.Op == dockerfile.Add
	}
	if err := c.setFlags(); err != nil {
		return nil, err
	}
	if err := c.setSources(); err != nil {
		return nil, err
	}
	if err := c.checkChecksum(); err != nil {
		return nil, err
	}
	word, err := b.word(s.scope(), st.Args[len(st.Args)-1])
	if err != nil {
		return nil, err
	}
	c.destWord = word
	base := path.Base(word) // "." of an empty one: the working directory
	c.inside = strings.HasSuffix(word, "/") || base == "." || base == ".." || len(c.words)+len(c.docs) > 1
	c.dest = s.absolute(word)
	o, ok, err := b.copyOrigin(st, s.index)
	if err == nil && ok {
		c.from, err = b.source(ctx, s, o)
	}
	return c, err
}

func (c *copyJob) setFlags() error {
	sc := c.s.scope()
	var err error
	if v, ok := c.st.Flag("chown"); ok {
		if c.chown, err = c.b.word(sc, v); err != nil {
			return err
		}
	}
	if v, ok := c.st.Flag("chmod"); ok {
		if c.chmod, err = c.b.word(sc, v); err != nil {
			return err
		}
		if c.mode, err = parseChmod(c.chmod); err != nil {
			return err
		}
	}
	if v, ok := c.st.Flag("checksum"); ok {
		if c.checksum, err = c.b.word(sc, v); err != nil {
			return err
		}
	}
	patterns, err := c.b.words(sc, c.st.FlagAll("exclude"))
	if err != nil {
		return err
	}
	if len(patterns) > 0 {
		c.exclude, err = buildctx.NewIgnore(patterns...)
	}
	return err
}

func (c *copyJob) setSources() error {
	docs := c.st.Heredocs()
	for _, w := range c.st.Args[:len(c.st.Args)-1] {
		if name, ok := dockerfile.HeredocWord(w); ok && len(docs) > 0 {
			doc := document{name: name, text: docs[0].Text}
			if docs[0].Expand {
				x, err := dockerfile.Expander{}.Text(doc.text, c.s.scope().lookup)
				if err != nil {
					return err
				}
				doc.text = x.Value
			}
			docs = docs[1:]
			c.docs = append(c.docs, doc)
			continue
		}
		word, err := c.b.word(c.s.scope(), w)
		if err != nil {
			return err
		}
		r, err := c.newRemote(word)
		if err != nil {
			return err
		}
		if r != nil {
			word = dockerfile.RedactURLs(word)
		}
		c.words, c.remotes = append(c.words, word), append(c.remotes, r)
	}
	return nil
}

// text is the history entry, with values in place of variables.
func (c *copyJob) text() string {
	words := []string{c.st.Op.String()}
	if c.parents {
		words = append(words, "--parents")
	}
	if c.chown != "" {
		words = append(words, "--chown="+c.chown)
	}
	if c.chmod != "" {
		words = append(words, "--chmod="+c.chmod)
	}
	words = append(words, c.words...)
	for _, d := range c.docs {
		words = append(words, "<<"+d.name)
	}
	return strings.Join(append(words, c.destWord), " ") + historyMark
}

func (c *copyJob) destText() string {
	if c.inside && c.dest != "/" {
		return c.dest + "/"
	}
	return c.dest
}

// preimage is the part of the key that is known before any file was looked at.
func (c *copyJob) preimage() *cache.Preimage {
	var flags []string
	for _, f := range c.st.Flags() {
		if f.Name == "exclude" || f.Name == "link" || f.Name == "parents" || f.Name == "unpack" {
			flags = append(flags, "--"+f.Name+"="+f.Value)
		}
	}
	words := slices.Clone(c.words)
	for i, r := range c.remotes {
		if r != nil {
			words[i] = r.keyWord()
		}
	}
	p := c.b.newPreimage(c.s, c.st, append(append(flags, words...), c.destText())...)
	p.Add("--chown", c.chown)
	p.Add("--chmod", c.chmod)
	for _, d := range c.docs {
		p.Add("here-document "+d.name, d.text)
	}
	return p
}

// quick names the source stage by its layers instead of its files: when nothing of
// it changed, nothing of it needs to be unpacked.
func (c *copyJob) quick() *alias {
	if c.from.stage == nil {
		return c.quickFetched()
	}
	p := c.preimage()
	p.Add("from", c.from.stage.chain.String())
	return &alias{pre: p}
}

// find selects and lists the sources.
func (c *copyJob) find(ctx context.Context) error {
	if c.found {
		return nil
	}
	for i := 0; i < len(c.words); {
		if r := c.remotes[i]; r != nil {
			p, err := c.bring(ctx, r)
			if err == nil {
				err = c.list(ctx, []pick{p}, nil)
			}
			if err != nil {
				return err
			}
			i++
			continue
		}
		n := i + 1 // together, so that hard links among them are seen
		for n < len(c.words) && c.remotes[n] == nil {
			n++
		}
		if err := c.findPaths(ctx, c.words[i:n]); err != nil {
			return err
		}
		i = n
	}
	if c.picks == 0 && len(c.words) > 0 {
		c.b.warn(c.st.Line, "nothing matches "+strings.Join(c.words, " ")+": nothing is copied")
	}
	c.found = true
	return nil
}

// findPaths selects and lists paths of the context, stage or image.
func (c *copyJob) findPaths(ctx context.Context, words []string) error {
	picks, err := c.pick(ctx, words)
	if err != nil {
		return err
	}
	c.seen = c.tree.fingerprint()
	return c.list(ctx, picks, c.seen)
}

// pick selects paths of the context, stage or image.
func (c *copyJob) pick(ctx context.Context, words []string) ([]pick, error) {
	if c.tree == nil {
		t, err := c.b.openTree(ctx, c.from)
		if err != nil {
			return nil, err
		}
		c.tree = t
	}
	return selectPicks(c.tree, words, c.parents)
}

// list adds what picks hold to the items.
func (c *copyJob) list(ctx context.Context, picks []pick, seen *buildctx.Fingerprint) error {
	items, err := list(ctx, c.items, picks, c.exclude, seen, func(p string) {
		c.b.warn(c.st.Line, "the socket "+p+" is not copied: a layer cannot hold it")
	})
	c.picks += len(picks)
	c.items = items
	return err
}

// files hashes the sources for the key.
func (c *copyJob) files(ctx context.Context) ([]cache.File, error) {
	if err := c.find(ctx); err != nil {
		return nil, err
	}
	if err := hashItems(ctx, c.items); err != nil {
		return nil, err
	}
	return keyFiles(c.items), nil
}

func (c *copyJob) close() {
	for _, t := range append(c.fetched, c.tree) {
		if t != nil && t.close != nil {
			t.close()
		}
	}
}

// make writes the layer.
func (c *copyJob) make(ctx context.Context, m *maker) error {
	if err := c.find(ctx); err != nil {
		return err
	}
	root, err := m.root(ctx)
	if err != nil {
		return err
	}
	base := root
	if c.link {
		base = nil // which also means that names of users cannot be looked up
	}
	var o owner
	if c.chown != "" {
		if o, err = lookupOwner(c.chown, base); err != nil {
			return fmt.Errorf("--chown: %w", err)
		}
	}
	d := newDraft(base)
	if err := c.place(ctx, d, o, m); err != nil {
		return err
	}
	return m.pack(ctx, d)
}
