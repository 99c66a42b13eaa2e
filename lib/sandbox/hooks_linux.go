package sandbox

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// Hooks are programs of the machine that a bundle has called at points of a
// container's life. Each gets the container's state on its standard input, the
// environment that the bundle gives it and no other, and has until its timeout.
// What they write is kept for the error, when there is one.

// checkHooks refuses what could not be called.
func checkHooks(h *specs.Hooks) error {
	if h == nil {
		return nil
	}
	for point, list := range map[string][]specs.Hook{
		"prestart": prestart(h), "createRuntime": h.CreateRuntime, "createContainer": h.CreateContainer,
		"startContainer": h.StartContainer, "poststart": h.Poststart, "poststop": h.Poststop,
	} {
		for _, hook := range list {
			switch {
			case !path.IsAbs(hook.Path):
				return fmt.Errorf("hooks.%s: path %q is not absolute", point, hook.Path)
			case hook.Timeout != nil && *hook.Timeout <= 0:
				return fmt.Errorf("hooks.%s: timeout %d is not greater than zero", point, *hook.Timeout)
			}
		}
	}
	return nil
}

// prestart are the oldest hooks, which bundles still have.
func prestart(h *specs.Hooks) []specs.Hook {
	//lint:ignore SA1019 deprecated in the specification, and a runtime's duty all the same
	return h.Prestart
}

// hookState is the state that hooks get of the container.
func (c *container) hookState(status specs.ContainerState, pid int) specs.State {
	dir, err := filepath.Abs(c.bundle.path)
	if err != nil {
		dir = c.bundle.path
	}
	return specs.State{Version: c.spec.Version, ID: c.opts.ID, Status: status, Pid: pid, Bundle: dir, Annotations: c.spec.Annotations}
}

// RunHooks calls hooks of the machine in their order, each when the one before
// has ended well.
func RunHooks(point string, list []specs.Hook, state specs.State) error {
	for _, h := range list {
		if err := runHook(h, state); err != nil {
			return fmt.Errorf("hook %s: %s: %w", point, h.Path, err)
		}
	}
	return nil
}

// runHook calls a hook from the calling thread: where that is locked and in
// other namespaces, the hook is there too.
func runHook(h specs.Hook, state specs.State) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	if h.Timeout != nil {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(*h.Timeout)*time.Second)
	}
	defer cancel()
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, h.Path)
	cmd.Args = h.Args
	if len(cmd.Args) == 0 {
		cmd.Args = []string{h.Path}
	}
	cmd.Env = append([]string{}, h.Env...)
	cmd.Dir = state.Bundle
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(raw), &said, &said
	cmd.WaitDelay = time.Second // for what a killed hook has left behind
	err = cmd.Run()
	if ctx.Err() != nil {
		return fmt.Errorf("it took longer than its timeout of %d seconds", *h.Timeout)
	}
	if err != nil {
		return errors.New(strings.TrimSpace(err.Error() + ": " + said.String()))
	}
	return nil
}

// hooksBefore calls the hooks that come when the container's namespaces are made
// and before its root is.
func (c *container) hooksBefore(pid int) error {
	h := c.spec.Hooks
	if h == nil {
		return nil
	}
	state := c.hookState(specs.StateCreating, pid)
	outside := make(chan error, 1)
	go func() { // on a thread of the machine's
		err := RunHooks("prestart", prestart(h), state)
		if err == nil {
			err = RunHooks("createRuntime", h.CreateRuntime, state)
		}
		outside <- err
	}()
	if err := <-outside; err != nil {
		return err
	}
	return RunHooks("createContainer", h.CreateContainer, state)
}

// hooksStart, hooksStarted and hooksAfter are for Run, in that order.
func (c *container) hooksStart(pid int) error {
	if c.bundle == nil || c.spec.Hooks == nil || len(c.spec.Hooks.StartContainer) == 0 {
		return nil
	}
	in, err := openJoint(pid, nil)
	if err != nil {
		return err
	}
	defer in.PIDFD.Close()
	return StartHooks(in, c.spec, c.hookState(specs.StateCreated, pid))
}

func (c *container) hooksStarted(pid int) error {
	if c.bundle == nil || c.spec.Hooks == nil {
		return nil
	}
	return RunHooks("poststart", c.spec.Hooks.Poststart, c.hookState(specs.StateRunning, pid))
}

func (c *container) hooksAfter() {
	if c.spec.Hooks != nil {
		StopHooks(c.spec.Hooks.Poststop, c.hookState(specs.StateStopped, 0), c.opts.Warn)
	}
}

// StopHooks calls the hooks that come when the container is gone. All of them
// are called; warn is told of each that fails.
func StopHooks(list []specs.Hook, state specs.State, warn func(string)) {
	for _, h := range list {
		if err := RunHooks("poststop", []specs.Hook{h}, state); err != nil && warn != nil {
			warn(err.Error())
		}
	}
}

// StartHooks calls the hooks that come inside the container just before its
// command, which the process of the joint waits to execute.
func StartHooks(in Joint, spec *specs.Spec, state specs.State) error {
	if spec.Hooks == nil {
		return nil
	}
	for _, h := range spec.Hooks.StartContainer {
		if err := hookInside(in, spec, h, state); err != nil {
			return fmt.Errorf("hook startContainer: %s: %w", h.Path, err)
		}
	}
	return nil
}

// hookInside calls a hook of the container's root, in its namespaces, with all
// capabilities and no filter.
func hookInside(in Joint, spec *specs.Spec, h specs.Hook, state specs.State) error {
	raw, err := json.Marshal(state)
	if err != nil {
		return err
	}
	stdin, err := memory("state", raw)
	if err != nil {
		return err
	}
	defer stdin.Close()
	out, err := memory("output", nil)
	if err != nil {
		return err
	}
	defer out.Close()
	ctx, cancel := context.WithCancel(context.Background())
	if h.Timeout != nil {
		ctx, cancel = context.WithTimeout(context.Background(), time.Duration(*h.Timeout)*time.Second)
	}
	defer cancel()
	all, err := Capabilities()
	if err != nil {
		return err
	}
	p := &specs.Process{Args: h.Args, Env: h.Env, Cwd: "/", Capabilities: &specs.LinuxCapabilities{Bounding: all, Effective: all, Permitted: all}}
	if len(p.Args) == 0 {
		p.Args = []string{h.Path}
	}
	res, err := Exec(ctx, in, spec, ExecOptions{Process: p, Stdin: stdin, Stdout: out, Stderr: out, NoSeccomp: true, path: h.Path})
	switch {
	case err != nil:
		return err
	case ctx.Err() != nil:
		return fmt.Errorf("it took longer than its timeout of %d seconds", *h.Timeout)
	case res.Status != 0:
		said := make([]byte, 1000)
		n, _ := out.ReadAt(said, 0)
		return errors.New(strings.TrimSpace(fmt.Sprintf("exit status %d: %s", res.Status, said[:n])))
	}
	return nil
}

// memory is a file in memory that holds text, to be read from its beginning.
func memory(name string, text []byte) (*os.File, error) {
	fd, err := unix.MemfdCreate(name, unix.MFD_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w", err)
	}
	f := os.NewFile(uintptr(fd), name)
	if _, err := f.WriteAt(text, 0); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return f, nil
}
