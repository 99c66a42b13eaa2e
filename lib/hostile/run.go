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
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// Verdict is what became of an attack.
type Verdict string

// The verdicts.
const (
	Held     Verdict = "held"
	Escaped  Verdict = "ESCAPED"  // something outside was changed, or came in
	Exceeded Verdict = "EXCEEDED" // it took more than the quota of the attack
	Accepted Verdict = "ACCEPTED" // what must be refused was not
	Hung     Verdict = "HUNG"     // it did not end
)

// Result is an attack and what became of it.
type Result struct {
	Fixture
	Verdict Verdict `json:"verdict"`
	Why     string  `json:"why,omitempty"`
	Status  int     `json:"status"` // of the program; of the last layer's
}

// Options say what is attacked.
type Options struct {
	// Target unpacks what it gets on standard input to the directory {}, which
	// is there and empty: a tar, once per layer, or with Whole an OCI archive.
	// It is a command line for sh.
	Target string
	Whole  bool
	// Load loads an OCI archive from standard input, and may keep it below the
	// directory {}. Default: attacks by images are left out.
	Load string
	// Timeout is what one attack may take. Default: a minute.
	Timeout time.Duration
	// Told is told of each result, in the order of rows and names.
	Told func(Result)
}

// Score counts results.
type Score struct {
	Held int `json:"held"`
	All  int `json:"all"`
}

// Run attacks. An error says that it could not be told: a program that does not
// unpack what is harmless holds against nothing.
func Run(ctx context.Context, o Options) (Score, error) {
	var score Score
	var list []Fixture
	if o.Target != "" {
		list = append(list, Layers()...)
	}
	if o.Load != "" {
		list = append(list, Images()...)
	}
	slices.SortFunc(list, func(a, b Fixture) int { return cmp.Or(a.Row-b.Row, strings.Compare(a.Name, b.Name)) })
	if err := o.control(ctx); err != nil {
		return score, err
	}
	err := o.each(ctx, list, func(r Result) {
		score.All++
		if r.Verdict == Held {
			score.Held++
		}
		if o.Told != nil {
			o.Told(r)
		}
	})
	return score, err
}

// workers is how many attacks are made at the same time, each in a directory of
// its own. The bombs among them are not to be many.
const workers = 2

// each makes attacks and tells of them in their order.
func (o Options) each(ctx context.Context, list []Fixture, told func(Result)) (err error) {
	type outcome struct {
		r   Result
		err error
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	done := make([]chan outcome, len(list))
	for i := range done {
		done[i] = make(chan outcome, 1)
	}
	for w := range workers {
		go func() {
			for i := w; i < len(list); i += workers {
				r, err := o.attack(ctx, list[i])
				done[i] <- outcome{r, err}
			}
		}()
	}
	for i, f := range list { // all of them, so that nothing is left behind
		switch out := <-done[i]; {
		case err != nil:
		case out.err != nil:
			err = fmt.Errorf("attack %s: %w", f.Name, out.err)
			stop()
		default:
			told(out.r)
		}
	}
	return err
}

// control does what is harmless.
func (o Options) control(ctx context.Context) error {
	layers := [][]byte{plain(), tarOf(file("etc/more", "x"))}
	for _, f := range []Fixture{
		{Name: "control", layers: func(places) [][]byte { return layers }},
		{Name: "control", image: func() []byte { return archiveOf(layers[:1], nil) }},
	} {
		if f.image != nil && o.Load == "" || f.image == nil && o.Target == "" {
			continue
		}
		r, err := o.attack(ctx, f)
		if err == nil && (r.Status != 0 || r.Verdict != Held) {
			err = fmt.Errorf("the program does not take what is harmless: status %d, %s", r.Status, cmp.Or(r.Why, "nothing outside was changed"))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// trial is one run of an attack.
type trial struct {
	ctx    context.Context
	o      Options
	f      Fixture
	p      places
	status int   // of the last command
	hung   bool  // it did not end
	memory int64 // the most that a process had
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
	script := t.o.Target
	if t.f.image != nil {
		script = t.o.Load
	}
	for _, in := range t.inputs() {
		if err := t.give(script, in); err != nil || t.hung {
			return err
		}
	}
	return nil
}

func (t *trial) inputs() [][]byte {
	if t.f.image != nil {
		return [][]byte{t.f.image()}
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
	if !t.o.Whole {
		return t.run(script, newPaced(r, in))
	}
	ctx, stop := context.WithCancel(t.ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		r.harass(ctx)
	}()
	err := t.run(script, bytes.NewReader(in))
	stop()
	<-done
	return err
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
	script = fmt.Sprintf("ulimit -f %d; ", fileLimit/512) + strings.ReplaceAll(script, "{}", quoted(t.p.root))
	cmd := exec.CommandContext(limited, "sh", "-c", script)
	cmd.Dir = t.p.cwd
	cmd.Stdin = in
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
	t.status = cmd.ProcessState.ExitCode() // it need not have read all of its input
	t.hung = limited.Err() != nil
	return t.ctx.Err()
}

// quoted is a word for sh.
func quoted(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// removeAll also removes what has modes that forbid it.
func removeAll(dir string) error {
	if err := os.RemoveAll(dir); err == nil {
		return nil
	}
	_ = filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if d != nil && d.IsDir() {
			return os.Chmod(path, 0o700)
		}
		return nil
	})
	return os.RemoveAll(dir)
}
