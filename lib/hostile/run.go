package hostile

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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

// Options say what is attacked. In all command lines {state} is a directory for
// what a program keeps, empty, private, and removed afterwards.
type Options struct {
	// Target unpacks what it gets on standard input to the directory {}, which
	// is there and empty: a tar, once per layer, or with Whole an OCI archive.
	// It is a command line for sh.
	Target string
	Whole  bool
	// Load loads an OCI archive from standard input, and may keep it below the
	// directory {}. Default: attacks by images are left out.
	Load string
	// Bundle makes an OCI runtime bundle in the directory {}, whose rootfs is the
	// image in the OCI archive on standard input. Default: attacks that aim at
	// who a container runs as, or at its settings, are left out.
	Bundle string
	// Fetch gets the file at {url} and may keep it in {}. Default: attacks by
	// servers are left out.
	Fetch string
	// Build builds the Dockerfile in {}, whose context that is, with a cache in
	// {state}, and writes an OCI archive to standard output. Default: attacks on
	// caches are left out.
	Build string
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
	list := slices.DeleteFunc(All(), func(f Fixture) bool { return o.command(f.kind) == "" })
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
// its own; of those that are there to take memory, one.
const workers = 4

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
	var next atomic.Int64
	var bomb sync.Mutex
	for range workers {
		go func() {
			for i := next.Add(1) - 1; i < int64(len(list)); i = next.Add(1) - 1 {
				if list[i].quota.memory > 0 {
					bomb.Lock()
				}
				r, err := o.attack(ctx, list[i])
				if list[i].quota.memory > 0 {
					bomb.Unlock()
				}
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
	for _, f := range []Fixture{
		{kind: ofLayer, layers: func(places) [][]byte { return [][]byte{plain(), tarOf(file("etc/more", "x"))} }},
		{kind: ofImage, images: func(places) [][]byte { return [][]byte{archiveOf([][]byte{plain()}, nil)} }},
		{kind: ofBundle, images: func(places) [][]byte { return [][]byte{imageOf(map[string]any{"Cmd": []string{"/x"}}, plain())} }, judge: noBundle},
		{kind: ofFetch, play: func(t *trial) error {
			return during([4]byte{127, 0, 0, 2}, func(*network, string) string { return response("200 OK", "hello\n") }, func(n *network) error {
				t.url = "http://" + n.first.host + "/file"
				err := t.give(t.o.Fetch, nil)
				if len(n.first.requests()) == 0 {
					t.wrong = "the server was not asked"
				}
				return err
			})
		}, judge: wrong},
		{kind: ofBuild, play: func(t *trial) error {
			err := t.build("COPY f /f\nLABEL x=label-it", "content")
			if err == nil && t.status == 0 {
				var made []byte
				if made, err = readBuilt(t.out); !bytes.Contains(made, []byte("content")) || !bytes.Contains(made, []byte("label-it")) {
					t.wrong = "the image is another one"
				}
			}
			return err
		}, judge: wrong},
	} {
		if o.command(f.kind) == "" {
			continue
		}
		f.Name = "control"
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
