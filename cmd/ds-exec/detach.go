package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"
)

// A detached container has a monitor: this program once more, in a session of
// its own. It gets nothing but the record, which says what to run, and a
// descriptor to tell what happens until the command has been executed.

// logFile is the output of a detached container, in its directory.
const logFile = "log"

// runDetached starts the container and returns when its command runs.
func (s *settings) runDetached(ctx context.Context, stdio *cli.IO, dir string, report *status) error {
	b, err := sandbox.OpenBundle(dir)
	if err != nil {
		return err
	}
	s.Warn = func(sentence string) { stdio.Warnf("%s", sentence) }
	if s.placed, err = s.place(stdio, b); err != nil {
		return errors.Join(err, b.Close())
	}
	defer s.placed.release()
	st, err := s.state(b, dir)
	if err = errors.Join(err, b.Close()); err != nil {
		return errors.Join(err, s.placed.discard(stdio, ""))
	}
	st.Log = logFile
	t, err := table(stdio)
	if err != nil {
		return err
	}
	c, err := t.Create(st)
	if err != nil {
		return errors.Join(err, s.placed.discard(stdio, ""))
	}
	pid, err := s.startMonitor(ctx, stdio, c)
	if err != nil {
		if report.fail(err) {
			err = cli.Told(err)
		}
		return errors.Join(err, s.placed.discard(stdio, c.ID()), forget(c))
	}
	s.kept = true
	report.started(pid)
	if err := s.writePID(pid); err != nil {
		return err
	}
	_, err = fmt.Fprintln(stdio.Stdout, c.ID())
	return err
}

// forget removes the record of a container that did not start.
func forget(c *container.Container) error {
	err := c.End(container.Exit{Unknown: true}, true)
	if errors.Is(err, container.ErrNotFound) {
		return nil
	}
	return err
}

// startMonitor starts the monitor and gives the id of the container's process.
func (s *settings) startMonitor(ctx context.Context, stdio *cli.IO, c *container.Container) (pid int, err error) {
	root, err := stdio.Root()
	if err != nil {
		return 0, err
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer null.Close()
	hear, tell, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer hear.Close()
	files, args := []*os.File{null, null, null, tell}, []string{"ds-exec", "monitor", "--status-fd", "3"}
	if s.secretsFD >= 0 {
		files = append(files, os.NewFile(uintptr(s.secretsFD), "secrets descriptor"))
		args = append(args, "--secrets-fd", "4")
	}
	// The monitor waits, and wants no more of the machine than that takes.
	env := []string{"DOCKSMITH_ROOT=" + root, "GOMAXPROCS=1", "GOGC=50"}
	p, err := os.StartProcess("/proc/self/exe", append(args, c.ID()), &os.ProcAttr{
		Dir: "/", Env: env, Files: files, Sys: &syscall.SysProcAttr{Setsid: true},
	})
	tell.Close()
	if err != nil {
		return 0, fmt.Errorf("start monitor: %w", err)
	}
	stop := context.AfterFunc(ctx, func() { _ = p.Kill() })
	defer stop()
	pid, err = listen(hear, stdio)
	if err == nil {
		return pid, p.Release()
	}
	_ = p.Kill() // it has no more to do
	_, werr := p.Wait()
	if ctx.Err() != nil {
		return 0, ctx.Err()
	}
	return 0, errors.Join(err, werr)
}

// listen reads what the monitor tells.
func listen(r io.Reader, stdio *cli.IO) (pid int, err error) {
	for d := json.NewDecoder(r); ; {
		var e event
		if err := d.Decode(&e); err != nil {
			return 0, errors.New("the monitor ended before the command was started")
		}
		switch e.Type {
		case "warning":
			stdio.Warnf("%s", e.Message)
		case "started":
			return e.PID, nil
		case "error":
			status := statusOurs
			if e.Status != nil {
				status = *e.Status
			}
			err := errors.New(e.Message)
			if e.Hint != "" {
				err = cli.WithHint(err, "%s", e.Hint)
			}
			return 0, &cli.StatusError{Status: status, Err: err}
		}
	}
}
