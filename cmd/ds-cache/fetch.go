package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/dockerfile"
	"docksmith/lib/fetch"
)

// fetchFlags are the flags of fetch.
type fetchFlags struct {
	checksum, into, ref string
	maxBytes            int64
	offline, probe      bool
	keepGit             bool
	asJSON              bool
}

func fetchCommand() *cli.Command {
	var o fetchFlags
	return &cli.Command{
		Name: "fetch", Args: "URL",
		Short: "Fetch a file, or a tree of a git repository, as ADD does, and keep it.",
		Long: `A file is kept by its content, and its path printed. Of a repository, an address as ADD
takes it, the commit is printed; with --into DIR its files are put there. A URL of "-"
is read from standard input: on a command line everybody can read its credentials.
This is the one program that opens connections.

    ds-cache fetch https://example.org/x.tar.gz
    ds-cache fetch --into src 'https://example.org/x.git?tag=v1'`,
		Flags: o.declare,
		Run:   o.run,
	}
}

func (o *fetchFlags) declare(f *cli.Flags) {
	f.StringVar(&o.checksum, "checksum", "", "want the content `SUM`: sha256:HEX of a file, how the id of a commit begins")
	f.Int64Var(&o.maxBytes, "max-bytes", 0, "refuse more than `N` bytes; default $DOCKSMITH_FETCH_MAX, else 8 GiB")
	f.BoolVar(&o.offline, "offline", false, "open no connection; fail if what is kept does not do")
	f.BoolVar(&o.probe, "probe", false, "only tell whether a file of this checksum, or a commit, is kept")
	f.StringVar(&o.into, "into", "", "put the files of a repository into `DIR`, which is new or empty")
	f.StringVar(&o.ref, "ref", "", "take the commit of `REF` instead of what the address says")
	f.BoolVar(&o.keepGit, "keep-git-dir", false, "leave a .git directory in DIR")
	f.BoolVar(&o.asJSON, "json", false, "print progress and result as lines of JSON")
	f.Complete("into", "dir")
}

// fetchEvent is one line of JSON: of type progress, file, commit, error or end.
type fetchEvent struct {
	Type string `json:"type"`
	// Bytes have come, of Total if that is known.
	Bytes int64 `json:"bytes,omitempty"`
	Total int64 `json:"total,omitempty"`

	Path   string `json:"path,omitempty"`
	Digest string `json:"digest,omitempty"`
	Size   int64  `json:"size,omitempty"`
	Commit string `json:"commit,omitempty"`
	Ref    string `json:"ref,omitempty"`
	// Kept says that nothing was downloaded.
	Kept bool `json:"kept,omitempty"`

	Message string `json:"message,omitempty"`
	// Kind is "not-kept" for what --offline does not allow to fetch.
	Kind string `json:"kind,omitempty"`
}

func (o *fetchFlags) run(ctx context.Context, s *cli.IO, args []string) error {
	if len(args) != 1 {
		return cli.Usagef("want one URL, got %d operands", len(args))
	}
	options, err := o.options(s)
	if err != nil {
		return err
	}
	address := args[0]
	if address == "-" {
		if address, err = readAddress(s); err != nil {
			return err
		}
	}
	root, err := s.Root()
	if err != nil {
		return err
	}
	kept, err := fetch.Open(filepath.Join(root, "cache", "fetched"))
	if err != nil {
		return err
	}
	result, err := o.fetch(ctx, kept, address, options)
	if o.asJSON {
		return o.report(s, result, err)
	}
	switch {
	case errors.Is(err, fetch.ErrNotKept):
		return cli.WithHint(err, "without --offline it is fetched")
	case err != nil:
		return err
	case result.Type == "file":
		_, err = fmt.Fprintln(s.Stdout, result.Path)
	default:
		_, err = fmt.Fprintln(s.Stdout, result.Commit)
	}
	return err
}

// fetch fetches what the address means.
func (o *fetchFlags) fetch(ctx context.Context, kept *fetch.Kept, address string, options fetch.Options) (fetchEvent, error) {
	remote, err := dockerfile.ParseRemote(address)
	switch {
	case err != nil:
		return fetchEvent{}, err
	case remote == nil:
		return fetchEvent{}, fmt.Errorf("fetch %s: not an address", dockerfile.RedactURLs(address))
	case o.probe:
		return o.look(ctx, kept, remote, options)
	case !remote.Git:
		if o.into != "" || o.ref != "" || o.keepGit {
			return fetchEvent{}, cli.Usagef("--into, --ref and --keep-git-dir are for git repositories")
		}
		f, err := kept.File(ctx, remote.URL, options)
		if err != nil {
			return fetchEvent{}, err
		}
		return fetchEvent{Type: "file", Path: f.Path, Digest: f.Digest, Size: f.Size, Kept: f.Kept}, nil
	}
	if o.ref != "" {
		remote.Ref = o.ref
	}
	var c *fetch.Commit
	if o.into == "" {
		c, err = kept.Commit(ctx, remote, options)
	} else {
		c, err = o.tree(ctx, kept, remote, options)
	}
	if err != nil {
		return fetchEvent{}, err
	}
	return fetchEvent{Type: "commit", Commit: c.ID, Ref: c.Ref, Path: o.into, Kept: c.Kept}, nil
}

// look finds what is kept without asking or reading anything.
func (o *fetchFlags) look(ctx context.Context, kept *fetch.Kept, remote *dockerfile.Remote, options fetch.Options) (fetchEvent, error) {
	if !remote.Git {
		path, ok := kept.HasFile(options.Checksum)
		if !ok {
			return fetchEvent{}, fmt.Errorf("fetch %s: %w", remote.Redacted(), fetch.ErrNotKept)
		}
		return fetchEvent{Type: "file", Path: path, Digest: options.Checksum, Kept: true}, nil
	}
	c, err := kept.HasCommit(ctx, remote, options)
	if err != nil {
		return fetchEvent{}, err
	}
	return fetchEvent{Type: "commit", Commit: c.ID, Ref: c.Ref, Kept: true}, nil
}

func (o *fetchFlags) tree(ctx context.Context, kept *fetch.Kept, remote *dockerfile.Remote, options fetch.Options) (*fetch.Commit, error) {
	dir, err := filepath.Abs(o.into)
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, err
	}
	if list, err := os.ReadDir(dir); err != nil || len(list) > 0 {
		return nil, errors.Join(err, fmt.Errorf("--into %s: the directory is not empty", o.into))
	}
	return kept.Tree(ctx, remote, dir, options)
}

// readAddress reads one line.
func readAddress(s *cli.IO) (string, error) {
	_, in, err := s.Input(nil)
	if err != nil {
		return "", err
	}
	defer in.Close()
	line, err := bufio.NewReader(io.LimitReader(in, 64<<10)).ReadString('\n')
	if err != nil && err != io.EOF {
		return "", err
	}
	if line = strings.TrimSuffix(line, "\n"); line == "" {
		return "", errors.New("read the URL from standard input: it is empty")
	}
	return line, nil
}

// maxVariable sets the default of --max-bytes.
const maxVariable = "DOCKSMITH_FETCH_MAX"

func (o *fetchFlags) options(s *cli.IO) (fetch.Options, error) {
	if o.maxBytes < 0 {
		return fetch.Options{}, cli.Usagef("--max-bytes %d: want a number of bytes", o.maxBytes)
	}
	if v := os.Getenv(maxVariable); o.maxBytes == 0 && v != "" {
		n, err := strconv.ParseInt(v, 10, 64)
		if err != nil || n <= 0 {
			return fetch.Options{}, cli.Usagef("%s=%s: want a number of bytes", maxVariable, v)
		}
		o.maxBytes = n
	}
	if o.ref != "" && !dockerfile.ValidRef(o.ref) {
		return fetch.Options{}, cli.Usagef("--ref %s: not the name of a ref", o.ref)
	}
	options := fetch.Options{Checksum: o.checksum, MaxBytes: o.maxBytes, Offline: o.offline, KeepGitDir: o.keepGit}
	if o.asJSON {
		options.Progress = progressLines(s)
	}
	return options, nil
}

// progressLines tells how far a download is, a few times a second.
func progressLines(s *cli.IO) func(bytes, total int64) {
	const pause = 200 * time.Millisecond
	last := time.Now()
	return func(bytes, total int64) {
		if now := time.Now(); now.Sub(last) >= pause {
			last = now
			// Who no longer reads it will not read the result either.
			_ = s.JSON(fetchEvent{Type: "progress", Bytes: bytes, Total: total})
			_ = s.Stdout.Flush()
		}
	}
}

// report closes the lines with the result or the error, and an end.
func (o *fetchFlags) report(s *cli.IO, result fetchEvent, err error) error {
	if err != nil {
		result = fetchEvent{Type: "error", Message: err.Error()}
		if errors.Is(err, fetch.ErrNotKept) {
			result.Kind = "not-kept"
		}
	}
	if werr := errors.Join(s.JSON(result), s.End()); werr != nil {
		return werr
	}
	return err
}
