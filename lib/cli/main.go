package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"
	"sync/atomic"
	"syscall"
	"time"
)

// version is set at link time by the Makefile.
var version string

// Version is the program's version: the one given at link time, else the
// module's from the build information, else "devel".
func Version() string {
	if version != "" {
		return version
	}
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" && info.Main.Version != "(devel)" {
		return info.Main.Version
	}
	return "devel"
}

// Main runs c as the program and exits. It is the only place that exits.
func Main(c *Command) {
	status, raise := run(c, os.Args[1:])
	if raise != 0 {
		signal.Reset(raise)
		if syscall.Kill(os.Getpid(), raise) == nil {
			time.Sleep(time.Second) // another thread may be the one that dies of it
		}
	}
	os.Exit(status)
}

func run(c *Command, args []string) (status int, raise syscall.Signal) {
	inv, err := find(c.Name, c, args)
	stdout := newOutput(os.Stdout)
	switch {
	case err != nil:
		return report(os.Stderr, inv, err), 0
	case inv.asks("dump-cli"):
		err = WriteJSON(stdout, describe(inv.path, inv.command))
	case inv.asks("version"):
		_, err = fmt.Fprintf(stdout, "%s %s\n", c.Name, Version())
	case inv.asks("help") || inv.command.Run == nil:
		err = inv.help(stdout)
	default:
		s := &IO{Name: inv.path, Stdin: os.Stdin, Stdout: stdout, Stderr: os.Stderr, Flags: inv.flags, invocation: inv}
		ctx, caught, stop := cancelOnSignal()
		s.ctx = ctx
		err = inv.command.Run(ctx, s, inv.flags.Args())
		stop()
		if errors.Is(err, context.Canceled) && caught() != 0 {
			_ = stdout.Flush() // the signal is the verdict
			return 1, caught()
		}
	}
	if cerr := stdout.close(); err == nil {
		err = cerr
	}
	return report(os.Stderr, inv, err), raise
}

// cancelOnSignal gives a context that the first SIGINT, SIGTERM or SIGHUP
// cancels; after it the signals act as they do by default. A signal that the
// program was started to ignore stays ignored.
func cancelOnSignal() (ctx context.Context, caught func() syscall.Signal, stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	var got atomic.Int32
	signals := make(chan os.Signal, 1)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP} {
		if !signal.Ignored(sig) {
			signal.Notify(signals, sig)
		}
	}
	go func() {
		sig, ok := <-signals
		if !ok {
			return
		}
		got.Store(int32(sig.(syscall.Signal)))
		signal.Stop(signals)
		cancel()
	}()
	stop = func() {
		signal.Stop(signals)
		cancel()
	}
	return ctx, func() syscall.Signal { return syscall.Signal(got.Load()) }, stop
}
