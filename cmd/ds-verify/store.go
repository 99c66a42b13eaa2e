package main

import (
	"context"
	"fmt"
	"os"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
	"docksmith/lib/store"
	"docksmith/lib/verify"
)

func storeCommand() *cli.Command {
	var out output
	var progress string
	return &cli.Command{
		Name:       "store",
		Short:      "Prove the whole store: blobs, images, names, cache, unpacked layers, and nothing that is nobody's.",
		FailStatus: unknown,
		Flags: func(f *cli.Flags) {
			f.StringVar(&progress, "progress", "auto", "show on stderr how far it is: `WHEN` is auto (on a terminal), plain or none")
			f.Complete("progress", "auto,plain,none")
			out.flags(f)
		},
		Run: func(ctx context.Context, io *cli.IO, args []string) error {
			if len(args) > 0 {
				return cli.Usagef("no operands are taken")
			}
			p, err := newProgress(io, progress)
			if err != nil {
				return err
			}
			return withStore(io, func(s *store.Store) error {
				if err := enterToRead(s); err != nil {
					return err
				}
				return out.verdicts(io, "store", []job{func() (verify.Summary, error) {
					end := p.begin()
					defer end()
					return verify.Store(ctx, s, verify.StoreOptions{Found: out.finder(io), Progress: p.note})
				}})
			})
		},
	}
}

// enterToRead makes an ordinary user root in a user namespace when there are
// unpacked layers, whose files belong to mapped users.
func enterToRead(s *store.Store) error {
	if !s.HasAnySnapshot() {
		return nil
	}
	return enterNamespace(s, nil)
}

// enterNamespace makes an ordinary user root in a user namespace. Who makes no
// files there needs no warn.
func enterNamespace(s *store.Store, warn func(string)) error {
	return sandbox.EnterUserNamespace(sandbox.UserNamespaceOptions{Root: s.Root(), Release: s.Close, Warn: warn})
}

// progress shows on stderr how much was read. It stands on one line of a terminal,
// which findings need not share: they go to stdout.
type progress struct {
	file  *os.File
	redo  bool // on a terminal, where the line is written again
	every time.Duration
	told  chan [2]int64
}

func newProgress(io *cli.IO, when string) (*progress, error) {
	p := &progress{file: io.Stderr, every: 10 * time.Second}
	switch when {
	case "auto":
		if !cli.Interactive(io.Stderr) {
			return &progress{}, nil
		}
		p.redo, p.every = true, time.Second/8
	case "plain":
	case "none":
		return &progress{}, nil
	default:
		return nil, cli.Usagef("--progress=%s: want auto, plain or none", when)
	}
	p.told = make(chan [2]int64, 1)
	return p, nil
}

// note keeps the newest count for who shows it, and waits for nobody.
func (p *progress) note(read, all int64) {
	select {
	case p.told <- [2]int64{read, all}:
	default:
	}
}

// begin shows what is noted until the returned function is called.
func (p *progress) begin() (end func()) {
	if p.file == nil {
		return func() {}
	}
	began := time.Now()
	quit, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		tick := time.NewTicker(p.every)
		defer tick.Stop()
		for {
			select {
			case <-tick.C:
			case <-quit:
				p.last()
				return
			}
			select {
			case n := <-p.told:
				p.show(n, time.Since(began))
			default:
			}
		}
	}()
	return func() { close(quit); <-done }
}

func (p *progress) show(n [2]int64, took time.Duration) {
	line := fmt.Sprintf("read %s of %s, %.0f%%, %s/s", cli.Size(n[0]), cli.Size(n[1]), 100*float64(n[0])/float64(max(n[1], 1)), cli.Size(int64(float64(n[0])/took.Seconds())))
	if p.redo {
		fmt.Fprintf(p.file, "\r%s\x1b[K", line)
		return
	}
	fmt.Fprintln(p.file, line)
}

// last takes the line away, or says a last time how much it was.
func (p *progress) last() {
	if p.redo {
		fmt.Fprint(p.file, "\r\x1b[K")
	}
}
