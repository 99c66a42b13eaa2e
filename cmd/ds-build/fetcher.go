package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"docksmith/lib/build"
	"docksmith/lib/cli"
)

// fetcher runs ds-cache fetch: net/http would cost every build time.
type fetcher struct{}

// fetchedLine is what ds-cache fetch says; see ds-cache(1).
type fetchedLine struct {
	Type    string `json:"type"`
	Bytes   int64  `json:"bytes"`
	Total   int64  `json:"total"`
	Path    string `json:"path"`
	Commit  string `json:"commit"`
	Ref     string `json:"ref"`
	Message string `json:"message"`
	Kind    string `json:"kind"`
}

// Fetch implements build.Fetcher.
func (fetcher) Fetch(ctx context.Context, r build.FetchRequest) (build.Fetched, error) {
	args := []string{"fetch", "--json"}
	for flag, value := range map[string]string{"--checksum": r.Checksum, "--ref": r.Ref, "--into": r.Into} {
		if value != "" {
			args = append(args, flag+"="+value)
		}
	}
	for flag, set := range map[string]bool{"--offline": r.Offline, "--probe": r.Probe, "--keep-git-dir": r.KeepGitDir} {
		if set {
			args = append(args, flag)
		}
	}
	cmd := exec.CommandContext(ctx, cli.Program("ds-cache"), append(args, "-")...)
	cmd.Env = agentEnv(r.Agent)
	cmd.Stdin = strings.NewReader(r.Address + "\n") // it may hold credentials
	var said bytes.Buffer
	cmd.Stderr = &said
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	cmd.SysProcAttr = dieWithUs()
	out, err := cmd.StdoutPipe()
	if err != nil {
		return build.Fetched{}, err
	}
	runtime.LockOSThread() // what dies with us dies with this thread
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		return build.Fetched{}, fmt.Errorf("start ds-cache: %w", err)
	}
	last, readErr := readFetch(out, r.Progress)
	err = cmd.Wait()
	switch {
	case ctx.Err() != nil:
		return build.Fetched{}, ctx.Err()
	case last.Type == "error" && last.Kind == "not-kept":
		return build.Fetched{}, build.ErrNotKept
	case last.Type == "error":
		return build.Fetched{}, errors.New(last.Message)
	case err != nil || readErr != nil:
		return build.Fetched{}, fmt.Errorf("run ds-cache fetch: %w: %s", errors.Join(err, readErr), bytes.TrimSpace(said.Bytes()))
	}
	return build.Fetched{Path: last.Path, Commit: last.Commit, Ref: last.Ref}, nil
}

// agentEnv is our environment with that agent and no other: a Dockerfile may name
// any host, and the user's keys are for those that --ssh says.
func agentEnv(socket string) []string {
	const variable = "SSH_AUTH_SOCK"
	env := slices.DeleteFunc(os.Environ(), func(kv string) bool { return strings.HasPrefix(kv, variable+"=") })
	if socket != "" {
		env = append(env, variable+"="+socket)
	}
	return env
}

// readFetch reads to the end and gives the result or the error before it.
func readFetch(r io.Reader, progress func(bytes, total int64)) (last fetchedLine, err error) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line fetchedLine
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			return last, err
		}
		switch line.Type {
		case "progress":
			if progress != nil {
				progress(line.Bytes, line.Total)
			}
		case "file", "commit", "error":
			last = line
		case "end":
			return last, nil
		}
	}
	return last, errors.Join(lines.Err(), io.ErrUnexpectedEOF)
}
