package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"
)

// life is what the flags say about the time before and after the command.
type life struct {
	detach, remove, ownBundle, noRecord bool

	name string
	kept bool // the bundle, by the container's record
}

func (l *life) declare(f *cli.Flags) {
	f.BoolVarP(&l.detach, "detach", "d", false, "run in the background, and print the container's id")
	f.StringVar(&l.name, "name", "", "call the container `NAME`, and keep its record when it has ended")
	f.BoolVar(&l.remove, "rm", false, "remove the container and the bundle afterwards")
	f.BoolVar(&l.ownBundle, "own-bundle", false, "remove the bundle with the container, whenever that is")
	f.BoolVar(&l.noRecord, "no-record", false, "keep no record: ps does not show the container")
}

func (l *life) check() error {
	switch {
	case l.name != "" && !container.ValidName(l.name):
		return cli.Usagef("--name %q: it takes two or more letters and digits, with _, . and - behind the first", l.name)
	case l.noRecord && (l.detach || l.name != ""):
		return cli.Usagef("--no-record: a container that is detached or has a name is recorded")
	}
	return nil
}

// drop removes the bundle, if it is the container's, and there is none that
// keeps it: whatever happened, who gave it away has no other use for it.
func (l *life) drop(dir string) error {
	if l.kept || !l.remove && !l.ownBundle {
		return nil
	}
	return os.RemoveAll(dir)
}

// table is where the containers of the user are recorded.
func table(io *cli.IO) (*container.Table, error) {
	root, err := io.Root()
	if err != nil {
		return nil, err
	}
	return container.Open(filepath.Join(root, "run")), nil
}

// Annotations of a bundle that say where it comes from and how it ends.
const (
	annotationImage      = "dev.docksmith.image"
	annotationStopSignal = "org.opencontainers.image.stopSignal"
)

// state is the container's record, before there is one. This process is its
// monitor, or will have one take over.
func (s *settings) state(b *sandbox.Bundle, dir string) (st container.State, err error) {
	st = container.State{
		OCIVersion: b.Spec.Version, ID: s.Name, Name: s.name, Status: container.Creating,
		Command: s.Args, Image: b.Spec.Annotations[annotationImage], StopSignal: b.Spec.Annotations[annotationStopSignal],
		Isolation: string(s.Level()), Without: s.Without(),
		OwnBundle: s.remove || s.ownBundle, Remove: s.remove, Terminal: s.Terminal, Volumes: s.placed.list,
	}
	if len(st.Command) == 0 && b.Spec.Process != nil {
		st.Command = b.Spec.Process.Args
	}
	if name, _, ok := strings.Cut(st.Image, "@"); ok {
		st.Image = name
	}
	if st.Monitor, err = container.Self(); err != nil {
		return st, err
	}
	if st.Bundle, err = filepath.Abs(dir); err != nil {
		return st, err
	}
	var options bytes.Buffer
	err = cli.WriteJSON(&options, &s.Options)
	st.Options = options.Bytes()
	return st, err
}

// record is that of a container which runs in the foreground, or nil.
type record struct {
	life    *life
	io      *cli.IO
	bundle  string
	ready   chan struct{} // closed when c or err is set, or late
	state   container.State
	c       *container.Container
	err     error
	late    bool // it is made with the start
	cgroups []string
}

// record records the container while it is made. Only a name must be had before;
// and a container that has nothing of its own to be removed may be recorded when
// its command runs, which is when it can be seen anyway.
func (s *settings) record(io *cli.IO, b *sandbox.Bundle, dir string) (*record, error) {
	if s.noRecord {
		return nil, nil
	}
	r := &record{life: &s.life, io: io, bundle: dir, ready: make(chan struct{}), late: s.name == "" && !s.remove && !s.ownBundle}
	s.Name, s.Cgroup = container.NewID(), func(dirs []string) { r.cgroups = dirs }
	options := *s // Run has its own
	prepare := func() {
		defer close(r.ready)
		if r.state, r.err = options.state(b, dir); r.err == nil && !r.late {
			r.err = r.create()
		}
	}
	if s.name == "" {
		go prepare()
		return r, nil
	}
	prepare()
	return r, r.err
}

func (r *record) create() error {
	t, err := table(r.io)
	if err == nil {
		r.c, err = t.Create(r.state)
	}
	return err
}

// started records the start. Where that cannot be, and nobody asked for a name,
// the command runs without: the file system may be read-only.
func (r *record) started(pid int) {
	if r == nil {
		return
	}
	switch <-r.ready; {
	case r.err != nil:
	case r.late:
		if r.err = running(&r.state, pid, r.cgroups); r.err == nil {
			r.err = r.create()
		}
	default:
		_, r.err = r.c.Update(func(s *container.State) error { return running(s, pid, r.cgroups) })
	}
	if r.err != nil {
		r.io.Warnf("ps does not show the container: %v", r.err)
	}
}

// running makes the state that of a container whose command has been executed.
func running(s *container.State, pid int, cgroups []string) (err error) {
	if s.Status != container.Creating {
		return fmt.Errorf("the container is %s already", s.Status)
	}
	s.Process, err = container.Identify(pid)
	s.Status, s.PID, s.Started, s.Cgroups = container.Running, pid, time.Now().UTC(), cgroups
	return err
}

// keeps tells whether the record stays when the container has ended so.
func (r *record) keeps(err error) bool {
	return r != nil && r.life.name != "" && !r.life.remove && err == nil
}

// ended records the end, and removes what is not to be kept.
func (r *record) ended(res sandbox.Result, err error) error {
	if r == nil {
		return nil
	}
	if <-r.ready; r.c == nil {
		return nil // it did not start, or started told
	}
	keep := r.keeps(err)
	if r.life.kept = keep; !keep {
		if derr := r.life.drop(r.bundle); derr != nil {
			return derr
		}
	}
	if eerr := r.c.End(exit(res), !keep); eerr != nil && !errors.Is(eerr, container.ErrNotFound) {
		return eerr
	}
	return nil
}

func exit(r sandbox.Result) container.Exit {
	return container.Exit{Status: r.Status, Signal: r.Signal, OOM: r.OOM, PeakMemory: r.PeakMemory, Limits: r.Verdicts}
}
