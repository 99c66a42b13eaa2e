package hostile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Verdict is what became of an attack.
type Verdict string

// The verdicts.
const (
	Held     Verdict = "held"
	Escaped  Verdict = "ESCAPED"  // something outside was changed, or came in
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
	for _, f := range list {
		r, err := o.attack(ctx, f)
		if err != nil {
			return score, fmt.Errorf("attack %s: %w", f.Name, err)
		}
		score.All++
		if r.Verdict == Held {
			score.Held++
		}
		if o.Told != nil {
			o.Told(r)
		}
	}
	return score, nil
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
	hung := false
	for _, in := range f.inputs(o, p) {
		r.Status, hung, err = o.run(ctx, p, f.image != nil, in)
		if err != nil || hung {
			break
		}
	}
	if err != nil {
		return r, err
	}
	r.Verdict, r.Why = Held, ""
	switch why := p.escaped(before, f); {
	case why != "":
		r.Verdict, r.Why = Escaped, why
	case hung:
		r.Verdict = Hung
	case f.refuse && r.Status == 0:
		r.Verdict = Accepted
	}
	return r, nil
}

// inputs are what the program gets on standard input, one run after the other.
func (f Fixture) inputs(o Options, p places) [][]byte {
	if f.image != nil {
		return [][]byte{f.image()}
	}
	layers := f.layers(p)
	if o.Whole {
		return [][]byte{archiveOf(layers, nil)}
	}
	return layers
}

// run gives one input to the program.
func (o Options) run(ctx context.Context, p places, load bool, in []byte) (status int, hung bool, err error) {
	timeout := o.Timeout
	if timeout == 0 {
		timeout = time.Minute
	}
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	script := o.Target
	if load {
		script = o.Load
	}
	cmd := exec.CommandContext(limited, "sh", "-c", strings.ReplaceAll(script, "{}", "'"+strings.ReplaceAll(p.root, "'", `'\''`)+"'"))
	cmd.Dir = p.cwd
	cmd.Stdin = bytes.NewReader(in)
	cmd.WaitDelay = time.Second
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case ctx.Err() != nil:
		return 0, false, ctx.Err()
	case limited.Err() != nil:
		return 0, true, nil
	case errors.As(err, &exit):
		return exit.ExitCode(), false, nil
	case cmd.ProcessState != nil:
		return cmd.ProcessState.ExitCode(), false, nil // it did not read all of its input
	}
	return 0, false, err
}

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
