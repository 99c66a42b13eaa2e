package build

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"time"

	"docksmith/lib/buildctx"
	"docksmith/lib/dockerfile"
)

// Fetcher brings what ADD names by address. Its errors hold no credentials.
type Fetcher interface {
	Fetch(ctx context.Context, r FetchRequest) (Fetched, error)
}

// FetchRequest asks for a file, the commit that an address means, or its files.
type FetchRequest struct {
	// Address is a URL or names a repository, as dockerfile.ParseRemote reads
	// it, with its credentials.
	Address string
	// Checksum is "sha256:HEX" of a file, or how the commit's id begins.
	Checksum string
	// Ref, if it is set, is taken instead of what the address says.
	Ref string
	// Into is where the files of a repository go: a directory to be made.
	// Without it only the commit is found.
	Into       string
	KeepGitDir bool
	// Agent is the one of Options.Agents that ssh may ask; without it there is none.
	Agent string
	// Offline allows only what is kept; else the error is ErrNotKept. With Probe
	// nothing is brought: whether a file or commit is kept is all that is asked.
	Offline, Probe bool
	// Progress is told how many bytes have come, and of how many if that is known.
	Progress func(bytes, total int64)
}

// Fetched is what a Fetcher brought.
type Fetched struct {
	// Path is a file that stays as it is.
	Path string
	// Commit is the id of a commit, Ref the full name of the ref that means it.
	Commit, Ref string
}

// ErrNotKept says that something would have to be fetched.
var ErrNotKept = errors.New("not kept from an earlier build")

// remote is a source of ADD that is fetched.
type remote struct {
	*dockerfile.Remote
	word       string // the address, with credentials
	checksum   string
	keepGitDir bool
	commit     Fetched // of a repository, once it is known
}

// newRemote reads a source; it is nil for a path.
func (c *copyJob) newRemote(word string) (*remote, error) {
	r, err := dockerfile.ParseRemote(word)
	if r == nil || err != nil {
		return nil, err
	}
	if c.st.Op != dockerfile.Add {
		return nil, fmt.Errorf("COPY copies files of the context; what is at %s is for ADD", r.Redacted())
	}
	found := &remote{Remote: r, word: word, checksum: c.checksum, keepGitDir: r.KeepGitDir == "true"}
	if v, ok := c.st.Flag("keep-git-dir"); ok {
		if r.KeepGitDir != "" && r.KeepGitDir != v {
			return nil, fmt.Errorf("--keep-git-dir=%s, but the address says %s", v, r.KeepGitDir)
		}
		found.keepGitDir = v == "true"
	}
	return found, nil
}

// checkChecksum refuses one that is of nothing or of several things.
func (c *copyJob) checkChecksum() error {
	switch {
	case c.checksum == "":
		return nil
	case len(c.words)+len(c.docs) != 1:
		return errors.New("--checksum is for a single source")
	case c.remotes[0] == nil:
		return errors.New("--checksum is for a URL or a git repository")
	}
	return nil
}

// pinned tells whether the Dockerfile says what the content is.
func (r *remote) pinned() bool {
	if !r.Git {
		return r.checksum != ""
	}
	return r.Commit() != "" || len(r.checksum) == 40
}

// known is what a source is known to be before it is fetched; empty: not known.
func (r *remote) known() string {
	if r.Git {
		return r.commit.Commit
	}
	return r.checksum
}

// keyWord stands for the source in a key: only what the files depend on beside
// their content, so that a token in a URL or another mirror make no difference.
func (r *remote) keyWord() string {
	if !r.Git {
		return "url:" + r.Name
	}
	word := "git:" + r.Subdir
	if r.Submodules == "false" {
		word += "?submodules=false"
	}
	if r.keepGitDir && r.Subdir == "" { // the ref and the address are in it
		word += "?keep-git-dir " + r.Redacted() + " " + cmp.Or(r.commit.Ref, r.Ref)
	}
	return word
}

// resolveRemotes finds the commits that addresses mean.
func (c *copyJob) resolveRemotes(ctx context.Context) error {
	for _, r := range c.remotes {
		if r == nil || !r.Git {
			continue
		}
		found, err := c.fetch(ctx, r, FetchRequest{Checksum: r.checksum})
		if err != nil {
			return err
		}
		r.commit = found
	}
	return nil
}

// fetch asks the fetcher, with the leave that the build has.
func (c *copyJob) fetch(ctx context.Context, r *remote, q FetchRequest) (Fetched, error) {
	q.Offline = c.b.o.Network != NetworkHost
	if q.Offline && !r.pinned() {
		return Fetched{}, noNetwork(r.Redacted())
	}
	q.Progress = c.tellFetch(r)
	q.Agent = c.b.o.Agents[agentID]
	began := time.Now()
	found, err := c.b.fetch(ctx, r, q)
	c.fetching += time.Since(began)
	if err != nil && q.Agent == "" && !q.Offline && r.overSSH() && ctx.Err() == nil {
		err = &NoAgentError{err}
	}
	return found, err
}

// fetch asks the fetcher for r. Without leave for the network, what is not kept
// is an error that tells of the leave.
func (b *builder) fetch(ctx context.Context, r *remote, q FetchRequest) (Fetched, error) {
	if b.o.Fetcher == nil {
		return Fetched{}, fmt.Errorf("%s: nothing here can fetch it", r.Redacted())
	}
	q.Address = r.word
	found, err := b.o.Fetcher.Fetch(ctx, q)
	if errors.Is(err, ErrNotKept) {
		err = noNetwork(r.Redacted())
	}
	return found, err
}

// overSSH tells whether a repository is reached by ssh, which wants a key.
func (r *remote) overSSH() bool {
	return r.Git && (strings.HasPrefix(strings.ToLower(r.URL), "ssh://") || !strings.Contains(r.URL, "://"))
}

// NoAgentError is why a repository could not be fetched by ssh, in a build that
// was given no agent for it.
type NoAgentError struct{ Err error }

func (e *NoAgentError) Error() string { return e.Err.Error() }

func (e *NoAgentError) Unwrap() error { return e.Err }

func noNetwork(address string) error {
	return &LeaveError{Err: fmt.Errorf("%s: the build was not given the network to fetch it", address)}
}

// tellFetch tells of a long download now and then.
func (c *copyJob) tellFetch(r *remote) func(bytes, total int64) {
	const pause = 2 * time.Second
	last := time.Now()
	return func(bytes, total int64) {
		if time.Since(last) < pause {
			return
		}
		last = time.Now()
		c.b.emit(Event{Type: EventFetch, Step: c.s.step, Total: c.b.total, Stage: c.s.name, Line: c.st.Line, Text: r.Redacted(), Fetched: bytes, Size: total})
	}
}

// quickFetched is an alias that can be had without fetching anything.
func (c *copyJob) quickFetched() *alias {
	var known []string
	for _, r := range c.remotes {
		if r == nil || r.known() == "" {
			return nil
		}
		known = append(known, r.known())
	}
	if len(known) == 0 {
		return nil
	}
	p := c.preimage()
	p.Add("fetched", jsonWords(known))
	return &alias{pre: p}
}

// addresses are those of all remote sources; "" without any.
func (c *copyJob) addresses() string {
	var b strings.Builder
	for _, r := range c.remotes {
		if r != nil {
			b.WriteString(" " + r.word)
		}
	}
	return b.String()
}

// bring fetches a source and gives what is to be copied of it.
func (c *copyJob) bring(ctx context.Context, r *remote) (pick, error) {
	if r.Git {
		return c.bringTree(ctx, r)
	}
	found, err := c.fetch(ctx, r, FetchRequest{Checksum: r.checksum})
	if err != nil {
		return pick{}, err
	}
	t, err := c.openFetched(filepath.Dir(found.Path), nil)
	if err != nil {
		return pick{}, err
	}
	info, err := t.files.Stat(filepath.Base(found.Path))
	// An archive from afar stays one unless it is asked for.
	return pick{tree: t, shown: r.Name, name: r.Name, info: info, mode: 0o600, whole: !c.st.IsSet("unpack")}, err
}

func (c *copyJob) bringTree(ctx context.Context, r *remote) (pick, error) {
	temp, err := c.b.o.Store.TempDir("git")
	if err != nil {
		return pick{}, err
	}
	dir := filepath.Join(temp.Path(), "tree")
	_, err = c.fetch(ctx, r, FetchRequest{
		Checksum: r.commit.Commit, Ref: r.commit.Ref, Into: dir, KeepGitDir: r.keepGitDir && r.Subdir == "",
	})
	if err != nil {
		return pick{}, errors.Join(err, temp.Close())
	}
	t, err := c.openFetched(dir, temp)
	if err != nil {
		return pick{}, err
	}
	// The path is resolved in the tree, whatever links there are on it.
	info, err := t.files.Stat(cmp.Or(r.Subdir, "."))
	if err != nil || info.Type != buildctx.Dir {
		return pick{}, fmt.Errorf("%s: commit %s has no directory %s", r.Redacted(), r.commit.Commit, r.Subdir)
	}
	return pick{tree: t, shown: ".", name: ".", info: info}, nil
}

// openFetched opens a directory of fetched files until the end of the step.
func (c *copyJob) openFetched(dir string, temp Temp) (*tree, error) {
	files, err := buildctx.Open(dir, buildctx.Options{Index: c.b.o.Index})
	if err != nil {
		if temp != nil {
			err = errors.Join(err, temp.Close())
		}
		return nil, err
	}
	t := &tree{files: files, close: func() {
		files.Close()
		if temp != nil {
			temp.Close()
		}
	}}
	c.fetched = append(c.fetched, t.countReads())
	return t, nil
}
