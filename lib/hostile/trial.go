package hostile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"time"
)

// trial is one run of an attack.
type trial struct {
	ctx    context.Context
	o      Options
	f      Fixture
	p      places
	status int      // of the last command
	hung   bool     // it did not end
	memory int64    // the most that a process had
	wrong  string   // what play has found
	url    string   // to be fetched
	out    []byte   // the data of the last command, or the first of it
	said   []byte   // what the last command wrote, or the first of it
	env    []string // more of it
}

// attack runs one fixture in a directory of its own.
func (o Options) attack(ctx context.Context, f Fixture) (r Result, err error) {
	r.Fixture = f
	top, err := os.MkdirTemp("", "ds-hostile-")
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, removeAll(top)) }()
	p, err := prepare(top)
	if err != nil {
		return r, err
	}
	before, err := survey(p)
	if err != nil {
		return r, err
	}
	t := &trial{ctx: ctx, o: o, f: f, p: p}
	if err := t.play(); err != nil {
		return r, err
	}
	r.Status = t.status
	r.Verdict, r.Why = t.verdict(before)
	return r, nil
}

// verdict looks at what the program did.
func (t *trial) verdict(before map[string]string) (Verdict, string) {
	if why := t.p.escaped(before, t.f); why != "" {
		return Escaped, why
	}
	if t.hung {
		return Hung, ""
	}
	if why := t.f.quota.exceeded(t.p, t.memory); why != "" {
		return Exceeded, why
	}
	if t.f.judge != nil {
		if why := t.f.judge(t.p, t); why != "" {
			return Accepted, why
		}
	}
	if t.f.refuse && t.status == 0 {
		return Accepted, ""
	}
	return Held, ""
}

// play gives the program its inputs, one run after the other.
func (t *trial) play() error {
	if t.f.play != nil {
		return t.f.play(t)
	}
	script := t.o.command(t.f.kind)
	for _, in := range t.inputs() {
		if err := t.give(script, in); err != nil || t.hung {
			return err
		}
	}
	return nil
}

func (t *trial) inputs() [][]byte {
	if t.f.images != nil {
		return t.f.images(t.p)
	}
	layers := t.f.layers(t.p)
	if t.o.Whole {
		return [][]byte{archiveOf(layers, nil)}
	}
	return layers
}

// give runs the program with one input.
func (t *trial) give(script string, in []byte) error {
	if !t.f.race {
		return t.run(script, bytes.NewReader(in))
	}
	r := newRacer(t.p)
	ctx, stop := context.WithCancel(t.ctx)
	var done sync.WaitGroup
	defer func() { stop(); done.Wait() }()
	harass := func() { done.Go(func() { r.harass(ctx) }) }
	if !t.o.Whole {
		return t.run(script, newPaced(r, in, harass))
	}
	harass() // its input does not say how far the program is
	return t.run(script, bytes.NewReader(in))
}

// run runs a command line, in which {} is the root. No file that it writes may
// become so large that a disk fills.
func (t *trial) run(script string, in io.Reader) error {
	timeout := t.o.Timeout
	if timeout == 0 || t.f.Row == 0 {
		timeout = max(timeout, time.Minute)
	}
	limited, cancel := context.WithTimeout(t.ctx, timeout)
	defer cancel()
	script = fmt.Sprintf("ulimit -f %d; ", fileLimit/512) + strings.NewReplacer("{}", quoted(t.p.root), "{state}", quoted(t.p.state), "{url}", quoted(t.url)).Replace(script)
	cmd := exec.CommandContext(limited, "sh", "-c", script)
	cmd.Dir = t.p.cwd
	cmd.Stdin = in
	cmd.Env = append(append(os.Environ(), "no_proxy=*", "NO_PROXY=*"), t.env...)
	said, out := &start{}, &start{}
	cmd.Stdout, cmd.Stderr = io.MultiWriter(said, out), said
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = time.Second
	err := cmd.Run()
	if cmd.ProcessState == nil {
		return cmp.Or(t.ctx.Err(), err)
	}
	if use, ok := cmd.ProcessState.SysUsage().(*syscall.Rusage); ok {
		t.memory = max(t.memory, int64(use.Maxrss)<<10)
	}
	t.said, t.out = said.b, out.b
	t.status = cmd.ProcessState.ExitCode() // it need not have read all of its input
	t.hung = limited.Err() != nil
	return t.ctx.Err()
}

// start keeps the beginning of what is written to it.
type start struct{ b []byte }

func (s *start) Write(p []byte) (int, error) {
	s.b = append(s.b, p[:min(len(p), megabyte-len(s.b))]...)
	return len(p), nil
}

// quoted is a word for sh.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
