package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"
)

// entry are the flags of ds-exec enter.
type entry struct {
	env                   []string
	user, cwd             string
	interactive, terminal bool
}

func enterCommand() *cli.Command {
	e := &entry{}
	return &cli.Command{
		Name: "enter", Args: "CONTAINER [[--] COMMAND [ARG]...]",
		Short: "Run one more command, sh by default, in a container that runs.",
		Long: `It is in all namespaces of the container and in its cgroup, and has its environment,
user, capabilities, system call filter and limits. Options end at CONTAINER. Exit status: as for run.

    ds-exec enter web ps
    ds-exec enter --user root --tty web`,
		StopAtOperand: true,
		FailStatus:    statusOurs,
		Flags: func(f *cli.Flags) {
			f.StringArrayVarP(&e.env, "env", "e", nil, "set `KEY=VALUE` in the environment, or KEY from ours")
			f.StringVarP(&e.user, "user", "u", "", "run as `USER[:GROUP]`, by name or number")
			f.StringVarP(&e.cwd, "workdir", "w", "", "start in `DIR`")
			f.BoolVarP(&e.interactive, "interactive", "i", false, "accepted: standard input is always passed on")
			f.BoolVarP(&e.terminal, "tty", "t", false, "give the command a terminal of the container's, connected to ours")
		},
		Run: e.run,
	}
}

func (e *entry) run(ctx context.Context, stdio *cli.IO, args []string) error {
	if len(args) == 0 {
		return cli.Usagef("CONTAINER is missing")
	}
	command, err := commandBehind("CONTAINER", args[1:])
	if err != nil {
		return err
	}
	if len(command) == 0 {
		command = []string{"sh"}
	}
	if e.terminal && !cli.Terminal(stdio.Stdin) {
		return cli.Usagef("--tty: standard input is not a terminal")
	}
	list, err := findAll(stdio, args[:1])
	if err != nil {
		return err
	}
	s, err := list[0].State()
	if err != nil {
		return err
	}
	res, err := e.enter(ctx, stdio, s, args[0], command)
	if err != nil {
		return statusOf(err)
	}
	oneIDHint(stdio, res)
	if res.Status != 0 {
		return cli.ExitStatus(res.Status)
	}
	return nil
}

func (e *entry) enter(ctx context.Context, stdio *cli.IO, s container.State, ref string, command []string) (res sandbox.Result, err error) {
	if s.Status != container.Running {
		return res, fmt.Errorf("enter %s: it is not running", ref)
	}
	pidfd, err := s.Process.Open()
	if err != nil {
		return res, fmt.Errorf("enter %s: it is not running: %w", ref, err)
	}
	defer pidfd.Close()
	in := sandbox.Joint{PID: s.PID, PIDFD: pidfd, Cgroups: s.Cgroups}
	o, err := inside(stdio)
	if err != nil {
		return res, err
	}
	if err := sandbox.JoinUserNamespace(in, o); err != nil {
		return res, err
	}
	b, err := sandbox.OpenBundle(s.Bundle)
	if err != nil {
		return res, err
	}
	defer b.Close()
	options, err := e.options(s, command)
	if err != nil {
		return res, err
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	stop := killOnThird(cancel)
	defer stop()
	res, err = sandbox.Enter(ctx, in, b.Spec, options)
	if errors.Is(err, sandbox.ErrEnded) {
		err = fmt.Errorf("enter %s: %w", ref, sandbox.ErrEnded)
	}
	return res, err
}

// options are those that the container runs with, and the command's own.
func (e *entry) options(s container.State, command []string) (o sandbox.Options, err error) {
	if len(s.Options) > 0 {
		if err := json.Unmarshal(s.Options, &o); err != nil {
			return o, fmt.Errorf("read options of the container: %w", err)
		}
	}
	more, err := parseEnv(e.env)
	if err != nil {
		return o, err
	}
	o.Args, o.Env, o.Terminal = command, append(o.Env, more...), e.terminal
	if e.user != "" {
		o.User = e.user
	}
	if e.cwd != "" {
		o.Cwd = e.cwd
	}
	return o, nil
}
