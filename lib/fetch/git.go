package fetch

import (
	"bytes"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"docksmith/lib/dockerfile"
	"docksmith/lib/fetched"
)

// repository is a bare mirror of a remote repository, and how git is run on it.
//
// The rules of its use: git sees no configuration but that of the mirror, which
// we wrote, and ours on its command line; no hook, filter, helper or pager is
// run; it speaks http, https, ssh and git only; everything foreign that is an
// argument was checked by dockerfile.ParseRemote or is the id of an object.
type repository struct {
	remote *dockerfile.Remote
	dir    string
	url    string   // for git: without credentials, redirects followed
	secret []string // environment that holds the credentials
	o      Options
}

// gitSettings come before every command.
var gitSettings = []string{
	"core.hooksPath=/dev/null", "core.fsmonitor=false", "core.symlinks=true", "core.autocrlf=false",
	"core.protectHFS=true", "core.protectNTFS=true", "core.logAllRefUpdates=false", "core.attributesFile=/dev/null",
	"credential.helper=", "core.askPass=", "http.followRedirects=false", "http.lowSpeedLimit=1", "http.lowSpeedTime=60",
	"gc.auto=0", "maintenance.auto=false", "submodule.recurse=false", "fetch.recurseSubmodules=false",
	"init.defaultBranch=main", "pack.threads=1", "pack.writeReverseIndex=false", "uploadpack.packObjectsHook=",
}

const gitProtocols = "http:https:ssh:git"

// passed are the variables of our environment that git gets.
var passed = []string{
	"PATH", "TMPDIR", "SSH_AUTH_SOCK", "GIT_SSL_CAINFO", "GIT_SSL_CAPATH",
	"http_proxy", "https_proxy", "no_proxy", "all_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY",
}

func (r *repository) environment() []string {
	env := []string{
		"GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_ATTR_NOSYSTEM=1",
		"GIT_TERMINAL_PROMPT=0", "GIT_ALLOW_PROTOCOL=" + gitProtocols, "GIT_PROTOCOL_FROM_USER=0", "GIT_NO_REPLACE_OBJECTS=1",
		"GIT_SSH_COMMAND=" + sshCommand(), "GIT_SSH_VARIANT=ssh", "GIT_DIR=" + r.dir, "HOME=/nonexistent", "LC_ALL=C", "TZ=UTC",
	}
	for _, name := range passed {
		if v, ok := os.LookupEnv(name); ok {
			env = append(env, name+"="+v)
		}
	}
	if ca := os.Getenv("SSL_CERT_FILE"); ca != "" && os.Getenv("GIT_SSL_CAINFO") == "" {
		env = append(env, "GIT_SSL_CAINFO="+ca)
	}
	return append(env, r.secret...)
}

// sshCommand runs ssh without the user's configuration, which may run commands,
// and without the user's keys but for those of the agent, but with the hosts that
// the user knows.
func sshCommand() string {
	command := "ssh -F none -a -x -o ClearAllForwardings=yes -o IdentityFile=none -o BatchMode=yes -o StrictHostKeyChecking=yes -o ConnectTimeout=30"
	if home := os.Getenv("HOME"); filepath.IsAbs(home) && !strings.ContainsAny(home, "'\"\\\n %") {
		command += " -o UserKnownHostsFile='" + filepath.Join(home, ".ssh", "known_hosts") + "'"
	}
	return command
}

// git runs one command and gives its standard output.
func (r *repository) git(ctx context.Context, args ...string) ([]byte, error) {
	return r.run(ctx, nil, nil, args...)
}

// maxOutput bounds what git may say: names of refs and files.
const maxOutput = 256 << 20

// run is git with an input and further environment.
func (r *repository) run(ctx context.Context, in io.Reader, env []string, args ...string) ([]byte, error) {
	var all []string
	for _, s := range gitSettings {
		all = append(all, "-c", s)
	}
	cmd := exec.CommandContext(ctx, "git", append(all, args...)...)
	cmd.Env = append(r.environment(), env...)
	cmd.Dir = "/"
	cmd.Stdin = in
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &limitedBuffer{&out, maxOutput}, &limitedBuffer{&said, 64 << 10}
	cmd.WaitDelay = 5 * time.Second
	ownGroup(cmd)
	err := cmd.Run()
	switch {
	case err == nil:
		return out.Bytes(), nil
	case ctx.Err() != nil:
		return nil, context.Cause(ctx)
	case errors.Is(err, exec.ErrNotFound):
		return nil, errors.New("git is not installed")
	}
	if text := lastWords(said.String()); text != "" {
		return nil, &gitError{commandOf(args), text}
	}
	return nil, fmt.Errorf("git %s: %w", commandOf(args), err)
}

// commandOf is the command among arguments that may begin with settings.
func commandOf(args []string) string {
	for len(args) > 2 && args[0] == "-c" {
		args = args[2:]
	}
	return args[0]
}

// gitError is what git said when it failed.
type gitError struct{ command, text string }

func (e *gitError) Error() string { return "git " + e.command + ": " + e.text }

// limitedBuffer fails the command that writes too much.
type limitedBuffer struct {
	b    *bytes.Buffer
	most int
}

func (l *limitedBuffer) Write(p []byte) (int, error) {
	if l.b.Len()+len(p) > l.most {
		return 0, ErrTooLarge
	}
	return l.b.Write(p)
}

// saidAlways follows whatever ssh says was wrong.
var saidAlways = []string{"Please make sure you have the correct access rights", "and the repository exists."}

// lastWords makes one line of what git printed, without what a terminal would obey.
func lastWords(said string) string {
	var lines []string
	for line := range strings.SplitSeq(strings.ReplaceAll(said, "\r", "\n"), "\n") {
		line = strings.Map(func(c rune) rune {
			if !unicode.IsPrint(c) {
				return -1
			}
			return c
		}, strings.TrimSpace(line))
		if line != "" && !strings.HasPrefix(line, "hint:") && !strings.HasPrefix(line, "warning:") && !slices.Contains(saidAlways, line) {
			lines = append(lines, strings.TrimPrefix(strings.TrimPrefix(line, "fatal: "), "error: "))
		}
	}
	if len(lines) > 3 {
		lines = lines[len(lines)-3:]
	}
	return dockerfile.RedactURLs(strings.Join(lines, "; "))
}

// mirror opens the mirror of a repository. Its name does not depend on
// credentials: who may read it is asked for every time, or holds the commit's id.
func (k *Kept) mirror(remote *dockerfile.Remote, o Options) (*repository, *os.File, error) {
	r := &repository{remote: remote, o: o, url: remote.URL}
	if u, err := url.Parse(remote.URL); err == nil && u.User != nil && (u.Scheme == "http" || u.Scheme == "https") {
		// On a command line everybody could read it.
		r.secret = authorization(u)
		anonymous := *u
		anonymous.User = nil
		r.url = anonymous.String()
	}
	dir := filepath.Join(k.dir, "git", nameOf(r.url))
	unlock, err := fetched.Lock(dir, "lock")
	if err != nil {
		return nil, nil, err
	}
	fetched.Touch(filepath.Join(dir, "lock")) // for Prune
	r.dir = filepath.Join(dir, "repo")
	return r, unlock, nil
}

// authorization tells git the credentials of a URL through its environment, for
// that host alone.
func authorization(u *url.URL) []string {
	password, _ := u.User.Password()
	basic := base64.StdEncoding.EncodeToString([]byte(u.User.Username() + ":" + password))
	return []string{
		"GIT_CONFIG_COUNT=1", "GIT_CONFIG_KEY_0=http." + u.Scheme + "://" + u.Host + "/.extraHeader",
		"GIT_CONFIG_VALUE_0=Authorization: Basic " + basic,
	}
}

// prepare makes the mirror if it is not there, and finds where the repository is now.
func (r *repository) prepare(ctx context.Context) error {
	if _, err := os.Stat(filepath.Join(r.dir, "HEAD")); err != nil {
		if err := os.RemoveAll(r.dir); err != nil {
			return err
		}
		if _, err := r.git(ctx, "init", "--quiet", "--bare", "--template=", r.dir); err != nil {
			return err
		}
	}
	if strings.HasPrefix(r.url, "http://") || strings.HasPrefix(r.url, "https://") {
		at, err := finalRepository(ctx, r.remote.URL)
		if err != nil {
			return err
		}
		u, err := url.Parse(at)
		if err != nil {
			return bare(err)
		}
		r.secret = nil
		if u.User != nil {
			r.secret = authorization(u)
			u.User = nil
		}
		r.url = u.String()
	}
	if u, err := url.Parse(r.url); err == nil && u.Host != "" {
		return checkHost(u.Hostname())
	}
	return nil
}

// has tells whether a commit is in the mirror, whole. Fetches are atomic: a
// commit is there with all it needs or not at all.
func (r *repository) has(ctx context.Context, commit string) bool {
	if _, err := os.Stat(filepath.Join(r.dir, "HEAD")); err != nil {
		return false
	}
	_, err := r.git(ctx, "rev-parse", "--quiet", "--verify", keptRef(commit)+"^{commit}")
	return err == nil
}

// keptRef pins a fetched commit in the mirror.
func keptRef(commit string) string { return "refs/docksmith/" + commit }
