package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"

	"golang.org/x/sys/unix"
)

func monitorCommand() *cli.Command {
	var statusFD, secretsFD int
	return &cli.Command{
		Name: "monitor", Args: "ID",
		Short: "Run a container that has been recorded: what run --detach starts.",
		Long: `It is the container's for as long as that runs: it writes its output to the log, records
its end, and when it is killed, so is the container.`,
		FailStatus: statusOurs,
		Flags: func(f *cli.Flags) {
			f.IntVar(&statusFD, "status-fd", -1, "tell descriptor `N` of the start, or why there is none")
			f.IntVar(&secretsFD, "secrets-fd", -1, "read the secrets that the bundle names from descriptor `N`")
		},
		Run: func(ctx context.Context, stdio *cli.IO, args []string) error {
			if len(args) != 1 {
				return cli.Usagef("one container is needed")
			}
			report, err := openStatus(statusFD)
			if err != nil {
				return err
			}
			t, err := table(stdio)
			if err != nil {
				return err
			}
			c, err := t.Get(args[0])
			if err != nil {
				return err
			}
			m := &monitor{c: c, stdio: stdio, report: report, secretsFD: secretsFD}
			return m.run(ctx)
		},
	}
}

// monitor runs one container and records what happens.
type monitor struct {
	c         *container.Container
	stdio     *cli.IO
	report    *status
	state     container.State
	secretsFD int

	log   *container.Log
	pumps sync.WaitGroup
	ends  []*os.File // of the pipes, for the command
	near  []*os.File // for us
	failed
}

// failed collects the errors of the log, which come from several sides.
type failed struct {
	mu  sync.Mutex
	err error
}

func (f *failed) add(err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.err = errors.Join(f.err, err)
}

func (m *monitor) run(ctx context.Context) error {
	o, err := m.take()
	if err != nil {
		return m.fail(err)
	}
	b, err := sandbox.OpenBundle(m.state.Bundle)
	if err != nil {
		return m.fail(err)
	}
	defer b.Close()
	if err := m.connect(&o); err != nil {
		return m.fail(err)
	}
	volumes, err := takeAll(m.stdio, m.state.Volumes)
	if err == nil {
		err = volumes.fill()
	}
	if err != nil {
		return m.fail(err)
	}
	var cgroups []string
	started := false
	o.Name, o.Cgroup = m.state.ID, func(dirs []string) { cgroups = dirs }
	o.Warn = func(sentence string) { m.report.write(event{Type: "warning", Message: sentence}) }
	o.Started = func(pid int) {
		m.add(volumes.filled())
		_, err := m.c.Update(func(s *container.State) error { return running(s, pid, cgroups) })
		m.add(err)
		started = true
		m.report.started(pid)
		m.report.hangUp()
		m.closeEnds()
		settleDown()
	}
	res, err := sandbox.Run(context.WithoutCancel(ctx), b, o)
	m.drain()
	volumes.release()
	if err != nil && !started {
		return m.fail(err)
	}
	m.add(err)
	return m.end(res)
}

// take makes this process the container's monitor.
func (m *monitor) take() (o sandbox.Options, err error) {
	self, err := container.Self()
	if err != nil {
		return o, err
	}
	m.state, err = m.c.Update(func(s *container.State) error {
		if s.Status != container.Creating {
			return fmt.Errorf("the container is %s already", s.Status)
		}
		s.Monitor = self
		return nil
	})
	if err != nil {
		return o, err
	}
	if err := json.Unmarshal(m.state.Options, &o); err != nil {
		return o, fmt.Errorf("read options: %w", err)
	}
	o.Secrets, err = readSecrets(m.secretsFD)
	return o, err
}

// connect makes the log the command's output.
func (m *monitor) connect(o *sandbox.Options) (err error) {
	if m.log, err = container.OpenLog(m.c.Path(m.state.Log)); err != nil {
		return err
	}
	if o.Terminal {
		o.Console = func(near *os.File) error { return m.watch(near) }
		return nil
	}
	if o.Stdout, err = m.pipe(container.Stdout); err != nil {
		return err
	}
	o.Stderr, err = m.pipe(container.Stderr)
	return err
}

// pipe gives the command's end of a pipe into the log. It blocks, as a program
// expects of its output.
func (m *monitor) pipe(stream string) (*os.File, error) {
	near, end, err := os.Pipe()
	if err != nil {
		return nil, fmt.Errorf("make pipe: %w", err)
	}
	end.Fd() // makes it block
	m.ends = append(m.ends, end)
	m.pump(stream, near)
	return end, nil
}

// watch logs what is written to the container's terminal.
func (m *monitor) watch(near *os.File) error {
	fd, err := unix.FcntlInt(near.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err == nil {
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		return fmt.Errorf("watch terminal: %w", err)
	}
	m.pump(container.Stdout, os.NewFile(uintptr(fd), near.Name()))
	return nil
}

func (m *monitor) pump(stream string, r *os.File) {
	m.near = append(m.near, r)
	m.pumps.Go(func() {
		err := m.log.Copy(stream, r)
		// A terminal ends with EIO; the deadline is for who holds a pipe open
		// beyond the container's end.
		if !errors.Is(err, syscall.EIO) && !errors.Is(err, os.ErrDeadlineExceeded) {
			m.add(err)
		}
	})
}

func (m *monitor) closeEnds() {
	for _, f := range m.ends {
		f.Close()
	}
	m.ends = nil
}

// drain writes what the command left to the log. The container has ended, and
// what is in the pipes is all there will be of it.
func (m *monitor) drain() {
	m.closeEnds()
	for _, f := range m.near {
		_ = f.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	}
	m.pumps.Wait()
	for _, f := range m.near {
		f.Close()
	}
	m.add(m.log.Close())
}

// fail tells the starter why there is no container, who removes the record.
func (m *monitor) fail(err error) error {
	stated := statusOf(err)
	e := event{Type: "error", Message: err.Error(), Status: &stated.Status}
	if errors.Is(err, sandbox.ErrIsolation) {
		e.Hint = isolationHint
	}
	m.report.write(e)
	return stated
}

// end records the end, and removes what is to go.
func (m *monitor) end(res sandbox.Result) error {
	e := exit(res)
	if m.failed.err != nil {
		e.Error = m.failed.err.Error()
	}
	if m.state.Remove {
		if err := discardVolumes(m.stdio, m.state.Volumes, m.state.ID); err != nil {
			e.Error = errors.Join(m.failed.err, err).Error()
			return m.c.End(e, false)
		}
	}
	if m.state.Remove && m.state.OwnBundle {
		if err := os.RemoveAll(m.state.Bundle); err != nil {
			e.Error = errors.Join(m.failed.err, err).Error()
			return m.c.End(e, false)
		}
	}
	return m.c.End(e, m.state.Remove)
}
