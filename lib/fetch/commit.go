package fetch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"docksmith/lib/dockerfile"
)

// Commit is what a repository's address means.
type Commit struct {
	ID string
	// Ref is the full name of the ref that means it; empty if the address
	// gives the commit itself.
	Ref string
	// Kept says that nothing was downloaded.
	Kept bool
}

// isCommitID tells whether s is the whole id of a commit.
func isCommitID(s string) bool { return len(s) == 40 && strings.Trim(s, "0123456789abcdef") == "" }

// Commit finds the commit that an address means. Where the address or the
// checksum is a whole id, nobody is asked.
func (k *Kept) Commit(ctx context.Context, remote *dockerfile.Remote, o Options) (*Commit, error) {
	c, err := k.commit(ctx, remote, o)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", shown(remote), err)
	}
	return c, nil
}

// shown is a repository for a message.
func shown(r *dockerfile.Remote) string {
	if r.Ref == "" {
		return r.Redacted()
	}
	return r.Redacted() + "#" + r.Ref
}

func (k *Kept) commit(ctx context.Context, remote *dockerfile.Remote, o Options) (*Commit, error) {
	want, err := wantedCommit(remote, o)
	if err != nil {
		return nil, err
	}
	if len(want) == 40 {
		return &Commit{ID: want, Ref: fullRef(remote.Ref), Kept: true}, nil
	}
	if o.Offline {
		return nil, ErrNotKept
	}
	r, unlock, err := k.mirror(remote, o)
	if err != nil {
		return nil, err
	}
	defer unlock.Close()
	if err := r.prepare(ctx); err != nil {
		return nil, err
	}
	return r.resolve(ctx, want)
}

// HasCommit finds a commit that is kept; else the error is ErrNotKept. Of its
// submodules nothing is said.
func (k *Kept) HasCommit(ctx context.Context, remote *dockerfile.Remote, o Options) (*Commit, error) {
	want, err := wantedCommit(remote, o)
	if err == nil && len(want) < 40 {
		err = ErrNotKept
	}
	var kept bool
	if err == nil {
		kept, err = k.hasCommit(ctx, remote, want)
	}
	if err == nil && !kept {
		err = ErrNotKept
	}
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", shown(remote), err)
	}
	return &Commit{ID: want, Ref: fullRef(remote.Ref), Kept: true}, nil
}

func (k *Kept) hasCommit(ctx context.Context, remote *dockerfile.Remote, commit string) (bool, error) {
	r, unlock, err := k.mirror(remote, Options{})
	if err != nil {
		return false, err
	}
	defer unlock.Close()
	return r.has(ctx, commit), nil
}

// wantedCommit is the beginning of the id that the commit must have.
func wantedCommit(remote *dockerfile.Remote, o Options) (string, error) {
	want := remote.Checksum
	switch {
	case o.Checksum == "":
	case strings.Trim(o.Checksum, "0123456789abcdef") != "" || len(o.Checksum) > 40:
		return "", fmt.Errorf("checksum %q: want the id of a commit, or how it begins", o.Checksum)
	case want != "" && want != o.Checksum:
		return "", fmt.Errorf("two checksums: %s and %s", want, o.Checksum)
	default:
		want = o.Checksum
	}
	if ref := remote.Ref; isCommitID(ref) {
		if !strings.HasPrefix(ref, want) {
			return "", &ChecksumError{Want: want, Got: ref}
		}
		return ref, nil
	}
	return want, nil
}

// fullRef is a name that means one ref alone; empty for the others.
func fullRef(ref string) string {
	if strings.HasPrefix(ref, "refs/") {
		return ref
	}
	return ""
}

// resolve asks the remote side.
func (r *repository) resolve(ctx context.Context, want string) (*Commit, error) {
	c, tag, err := r.listRemote(ctx)
	if err != nil {
		return nil, err
	}
	if !strings.HasPrefix(c.ID, want) && !strings.HasPrefix(tag, want) {
		return nil, &ChecksumError{Want: want, Got: c.ID}
	}
	return c, nil
}

// listRemote finds the ref among those of the remote side: by its full name,
// then as a branch, then as a tag, as git checkout would choose. tag is the id of
// an annotated tag.
func (r *repository) listRemote(ctx context.Context) (c *Commit, tag string, err error) {
	ref := r.remote.Ref
	if ref == "" || ref == "HEAD" {
		return r.remoteHead(ctx)
	}
	out, err := r.git(ctx, "ls-remote", "--", r.url, ref, ref+"^{}")
	if err != nil {
		return nil, "", err
	}
	ids := map[string]string{}
	for line := range strings.Lines(string(out)) {
		if id, name, ok := strings.Cut(strings.TrimSuffix(line, "\n"), "\t"); ok && isCommitID(id) {
			ids[name] = id
		}
	}
	for _, prefix := range []string{"refs/", "refs/heads/", "refs/tags/"} {
		name := prefix + strings.TrimPrefix(ref, prefix)
		id := ids[name]
		if id == "" {
			continue
		}
		if peeled := ids[name+"^{}"]; peeled != "" {
			return &Commit{ID: peeled, Ref: name}, id, nil
		}
		return &Commit{ID: id, Ref: name}, id, nil
	}
	return nil, "", fmt.Errorf("the repository has no ref %s", ref)
}

// remoteHead finds the default branch.
func (r *repository) remoteHead(ctx context.Context) (c *Commit, tag string, err error) {
	out, err := r.git(ctx, "ls-remote", "--symref", "--", r.url, "HEAD")
	if err != nil {
		return nil, "", err
	}
	c = &Commit{Ref: "HEAD"}
	for line := range strings.Lines(string(out)) {
		left, name, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		if name != "HEAD" {
			continue
		}
		if branch, ok := strings.CutPrefix(left, "ref: "); ok && strings.HasPrefix(branch, "refs/heads/") {
			c.Ref = branch
		} else if isCommitID(left) {
			c.ID = left
		}
	}
	if c.ID == "" {
		return nil, "", errors.New("the repository has no default branch")
	}
	return c, c.ID, nil
}

const incoming = "refs/docksmith/incoming"

// fetch brings a commit into the mirror: from the ref that means it, else by its
// id, which not every server gives, else with all that the server has.
func (r *repository) fetch(ctx context.Context, c *Commit) error {
	_ = os.Remove(filepath.Join(r.dir, "shallow.lock")) // of a fetch that was killed; we hold the lock
	if c.Ref != "" && c.Ref != "HEAD" {
		if err := r.fetchRef(ctx, "--depth=1", "+"+c.Ref+":"+incoming); err == nil && r.arrived(ctx, c.ID, incoming) {
			return r.keep(ctx, c.ID)
		} else if final(ctx, err) {
			return err
		}
	}
	err := r.fetchRef(ctx, "--depth=1", "+"+c.ID+":"+incoming)
	if err == nil {
		return r.keep(ctx, c.ID)
	}
	if final(ctx, err) {
		return err
	}
	depth := "--no-auto-gc" // an option that changes nothing
	if _, err := os.Stat(filepath.Join(r.dir, "shallow")); err == nil {
		depth = "--unshallow"
	}
	if err := r.fetchRef(ctx, depth, "+refs/heads/*:refs/docksmith/heads/*", "+refs/tags/*:refs/docksmith/tags/*"); err != nil {
		return err
	}
	if !r.arrived(ctx, c.ID, c.ID) {
		return fmt.Errorf("the repository has no commit %s", c.ID)
	}
	return r.keep(ctx, c.ID)
}

// final tells the errors that another way of fetching does not help against.
func final(ctx context.Context, err error) bool {
	return ctx.Err() != nil || errors.Is(err, ErrTooLarge)
}

func (r *repository) arrived(ctx context.Context, commit, as string) bool {
	out, err := r.git(ctx, "rev-parse", "--quiet", "--verify", as+"^{commit}")
	return err == nil && strings.TrimSpace(string(out)) == commit
}

// keep pins a commit that was fetched.
func (r *repository) keep(ctx context.Context, commit string) error {
	if !r.arrived(ctx, commit, commit) {
		return fmt.Errorf("%s is not a commit", commit)
	}
	_, err := r.git(ctx, "update-ref", keptRef(commit), commit)
	return err
}

// fetchRef runs git fetch and watches how much comes.
func (r *repository) fetchRef(ctx context.Context, depth string, refspecs ...string) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var wait sync.WaitGroup
	defer wait.Wait()
	stop := make(chan struct{})
	defer close(stop)
	wait.Go(func() { r.watch(stop, cancel) })
	args := append([]string{"fetch", "--quiet", "--no-tags", "--no-write-fetch-head", "--force", depth, "--", r.url}, refspecs...)
	_, err := r.git(ctx, args...)
	return err
}

// watch cancels a fetch that brings too much, and tells of its progress.
func (r *repository) watch(stop <-chan struct{}, cancel context.CancelCauseFunc) {
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	before := sizeOf(filepath.Join(r.dir, "objects"))
	for {
		select {
		case <-stop:
			return
		case <-tick.C:
		}
		n := sizeOf(filepath.Join(r.dir, "objects")) - before
		if n > r.o.limit() {
			cancel(fmt.Errorf("more than %d bytes: %w", r.o.limit(), ErrTooLarge))
			return
		}
		if n > 0 {
			r.o.progress(n, 0)
		}
	}
}

// sizeOf adds up the packs of a mirror. Files that vanish meanwhile are nothing.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err == nil && e.Type().IsRegular() {
			if info, err := e.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
