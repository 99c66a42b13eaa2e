package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"

	"docksmith/lib/cli"
	"docksmith/lib/limits"
	"docksmith/lib/sandbox"
)

// Exit statuses beside the command's own.
const (
	statusOurs         = 125
	statusNotInvocable = 126
	statusNotFound     = 127
)

// settings are the flags of ds-exec run.
type settings struct {
	sandbox.Options
	env                   []string
	volumes, mounts       []string
	tmpfs                 []string
	wished                []wish
	placed                *held
	smith, readonlyTmpfs  bool
	noVolumes             bool
	storage               string
	network               string
	limits                limits.Flags
	seccomp, noSeccomp    bool
	namespaces            bool
	rootless, noRootless  bool
	level                 string
	interactive, terminal bool
	life
	statusFD, secretsFD int
	pidFile             string
}

func runCommand() *cli.Command {
	s := &settings{}
	return &cli.Command{
		Name:          "run",
		Args:          "BUNDLE [[--] COMMAND [ARG]...]",
		Short:         "Run the bundle's process, or COMMAND in its place.",
		Long:          runLong,
		StopAtOperand: true,
		FailStatus:    statusOurs,
		Flags:         s.declare,
		Run:           s.run,
	}
}

const runLong = `BUNDLE is a directory with config.json. Options end at it. Everything is isolated
unless told otherwise, and what the machine cannot give is an error.
Exit status: that of the command, 128+N when signal N ended it; 125 our failure,
126 the command cannot be invoked, 127 it is not found.

    ds-store bundle app:v1 run/
    ds-exec run --env GREETING=Hi --volume /srv/data:/data:ro run/
    ds-exec run run/ -- sh -c 'id; ps'`

func (s *settings) declare(f *cli.Flags) {
	f.StringArrayVarP(&s.env, "env", "e", nil, "set `KEY=VALUE` in the environment, or KEY from ours")
	f.StringArrayVarP(&s.volumes, "volume", "v", nil, "mount a directory, file or volume: `[SOURCE:]DESTINATION[:OPTION,...]`")
	f.StringArrayVar(&s.mounts, "mount", nil, "mount `type=bind|volume|tmpfs,source=...,target=...[,MEMBER]...`")
	f.StringArrayVar(&s.tmpfs, "tmpfs", nil, "mount an empty file system in memory on `DESTINATION[:OPTION,...]`")
	f.BoolVar(&s.noVolumes, "no-volumes", false, "make no volumes for the paths that the image declares")
	f.BoolVar(&s.Readonly, "readonly", false, "make the root read-only")
	f.BoolVar(&s.Readonly, "read-only", false, "the same")
	f.BoolVar(&s.readonlyTmpfs, "read-only-tmpfs", false, "with it, make /run, /tmp and /var/tmp file systems in memory")
	f.BoolVar(&s.smith, "smith", false, "make the root and /read read-only, and /write and /run writable")
	f.StringVar(&s.Hostname, "hostname", "", "host name inside: `NAME`")
	f.StringVarP(&s.User, "user", "u", "", "run as `USER[:GROUP]`, by name or number")
	f.StringVarP(&s.Cwd, "workdir", "w", "", "start in `DIR`")
	f.StringVar(&s.network, "network", "", "`none` for loopback only, host for the machine's network")
	s.limits.Declare(f)
	f.StringVar(&s.storage, "storage-size", "", "let the container write `SIZE` into its root at most, kept in memory")
	f.StringVar(&s.level, "isolation", "", "isolate as far as `LEVEL` says: full, user, chroot, none, or auto")
	f.BoolVar(&s.namespaces, "namespaces", false, "isolate by namespaces (the default)")
	f.BoolVar(&s.NoNamespaces, "no-namespaces", false, "share everything but the file system with the machine")
	f.StringArrayVar(&s.AddCaps, "cap-add", nil, "add the capability `NAME`, or all")
	f.StringArrayVar(&s.DropCaps, "cap-drop", nil, "drop the capability `NAME`, or all, before any is added")
	f.BoolVar(&s.seccomp, "seccomp", false, "filter system calls (the default)")
	f.BoolVar(&s.noSeccomp, "no-seccomp", false, "allow every system call")
	f.BoolVar(&s.rootless, "rootless", false, "use a user namespace (the default for an ordinary user)")
	f.BoolVar(&s.noRootless, "no-rootless", false, "fail rather than use a user namespace")
	f.BoolVar(&s.NoInit, "no-init", false, "make the command process 1")
	s.life.declare(f)
	f.IntVar(&s.statusFD, "status-fd", -1, "report what happens as JSON lines on descriptor `N`")
	f.IntVar(&s.secretsFD, "secrets-fd", -1, "read the secrets that the bundle names from descriptor `N`")
	f.StringVar(&s.pidFile, "pid-file", "", "write the command's process id to `FILE`")
	f.BoolVarP(&s.interactive, "interactive", "i", false, "accepted: standard input is always passed on")
	f.BoolVarP(&s.terminal, "tty", "t", false, "insist that standard input is a terminal, and give the command one of its own")
	f.Complete("volume", "dir")
	f.Complete("workdir", "dir")
	f.Complete("pid-file", "file")
	f.Complete("network", "none,host")
	f.Complete("isolation", strings.Join(sandbox.Isolations, ","))
}

func (s *settings) run(ctx context.Context, io *cli.IO, args []string) (err error) {
	if len(args) == 0 {
		return cli.Usagef("BUNDLE is missing")
	}
	defer func() { err = errors.Join(err, s.life.drop(args[0])) }()
	if err := s.parse(io, args[1:]); err != nil {
		return err
	}
	if err := s.enter(io); err != nil {
		return err
	}
	report, err := openStatus(s.statusFD)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, report.close()) }()
	if s.detach {
		return s.runDetached(ctx, io, args[0], report)
	}
	if s.Secrets, err = readSecrets(s.secretsFD); err != nil {
		if report.fail(err) {
			err = cli.Told(err)
		}
		return err
	}
	defer hold(args[0])()
	res, err := s.exec(ctx, io, args[0], report)
	if err != nil {
		if report.fail(err) {
			return cli.Told(statusOf(err))
		}
		return statusOf(err)
	}
	if !report.exited(res) {
		for _, v := range res.Verdicts {
			fmt.Fprintf(io.Stderr, "%s: %s\n", io.Name, v)
		}
	}
	if res.Signal != 0 && ctx.Err() != nil && interrupts(syscall.Signal(res.Signal)) {
		return ctx.Err() // the signal was for us, too: die of it
	}
	if s.statusFD < 0 { // else who reads that knows what the command printed
		oneIDHint(io, res)
	}
	if res.Status != 0 {
		return cli.ExitStatus(res.Status)
	}
	return nil
}

func interrupts(sig syscall.Signal) bool {
	return sig == syscall.SIGINT || sig == syscall.SIGTERM || sig == syscall.SIGHUP
}

// exec runs the container. A first SIGINT, SIGTERM or SIGHUP is the command's
// to deal with; a third one ends it.
func (s *settings) exec(ctx context.Context, io *cli.IO, dir string, report *status) (sandbox.Result, error) {
	b, err := sandbox.OpenBundle(dir)
	if err != nil {
		return sandbox.Result{}, err
	}
	defer b.Close()
	s.Warn = func(sentence string) { io.Warnf("%s", sentence) }
	if s.placed, err = s.place(io, b); err != nil {
		return sandbox.Result{}, err
	}
	rec, err := s.record(io, b, dir)
	if err == nil {
		err = s.placed.fill()
	}
	if err != nil {
		return sandbox.Result{}, errors.Join(err, s.placed.discard(io, s.Name), rec.ended(sandbox.Result{}, err))
	}
	var pidErr error
	asked := ctx
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	var fillErr error
	s.Started = func(pid int) {
		fillErr = s.placed.filled()
		rec.started(pid)
		report.started(pid)
		if pidErr = s.writePID(pid); pidErr != nil {
			cancel()
		}
	}
	stop := killOnThird(cancel)
	defer stop()
	if err := asked.Err(); err != nil {
		return sandbox.Result{}, errors.Join(err, rec.ended(sandbox.Result{}, err)) // a signal came before there was anybody to pass it on to
	}
	res, err := sandbox.Run(ctx, b, s.Options)
	if s.placed.release(); !rec.keeps(err) {
		fillErr = errors.Join(fillErr, s.placed.discard(io, s.Name))
	}
	return res, errors.Join(err, pidErr, fillErr, rec.ended(res, err))
}

// writePID writes the command's process id to the file that wants it.
func (s *settings) writePID(pid int) error {
	if s.pidFile == "" {
		return nil
	}
	return os.WriteFile(s.pidFile, []byte(strconv.Itoa(pid)+"\n"), 0o644)
}

// killOnThird calls kill at the third request to end.
func killOnThird(kill func()) (stop func()) {
	ch := make(chan os.Signal, 4)
	for _, sig := range []os.Signal{syscall.SIGINT, syscall.SIGTERM} {
		if !signal.Ignored(sig) {
			signal.Notify(ch, sig)
		}
	}
	go func() {
		n := 0
		for range ch {
			if n++; n == 3 {
				kill()
			}
		}
	}()
	return func() { signal.Stop(ch); close(ch) }
}

// statusOf gives an error the exit status that tells whose fault it is.
func statusOf(err error) *cli.StatusError {
	status := statusOurs
	switch {
	case errors.Is(err, sandbox.ErrCommandNotFound):
		status = statusNotFound
	case errors.Is(err, sandbox.ErrCommandNotInvocable):
		status = statusNotInvocable
	}
	return &cli.StatusError{Status: status, Err: refusal(err)}
}
