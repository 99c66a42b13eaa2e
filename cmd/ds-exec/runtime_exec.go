package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// visit are the flags of exec.
type visit struct {
	process, pidFile, console, cwd, user string
	env, caps                            []string
	tty, detach, noNew                   bool
	preserveFDs                          int
}

func (r *runtime) execCommand() *cli.Command {
	v := &visit{}
	c := r.verb(&cli.Command{
		Name: "exec", Args: "CONTAINER [COMMAND [ARG]...]", StopAtOperand: true, FailStatus: statusOurs,
		Short: "Run one more process in a container.",
		Flags: v.declare,
	}, 1, func(io *cli.IO, args []string) error { return r.exec(v, args[0], args[1:]) })
	return c
}

func (v *visit) declare(f *cli.Flags) {
	f.StringVarP(&v.process, "process", "p", "", "read the process from `FILE`, as in config.json")
	f.StringVar(&v.pidFile, "pid-file", "", "write the process id to `FILE`")
	f.StringVar(&v.console, "console-socket", "", "send the terminal to the socket `PATH`")
	f.StringVar(&v.cwd, "cwd", "", "start in `DIR`")
	f.StringVarP(&v.user, "user", "u", "", "run as `UID[:GID]`")
	f.StringArrayVarP(&v.env, "env", "e", nil, "set `KEY=VALUE` in the environment")
	f.StringArrayVarP(&v.caps, "cap", "c", nil, "add the capability `NAME`")
	f.BoolVarP(&v.tty, "tty", "t", false, "give the process a terminal")
	f.BoolVarP(&v.detach, "detach", "d", false, "return when the process runs")
	f.BoolVar(&v.noNew, "no-new-privs", false, "keep the process from gaining privileges")
	f.IntVar(&v.preserveFDs, "preserve-fds", 0, "pass `N` descriptors from 3 on")
	for _, name := range []string{"process", "pid-file", "console-socket"} {
		f.Complete(name, "file")
	}
}

func (r *runtime) exec(v *visit, id string, command []string) error {
	c, s, err := r.find(id)
	if err != nil {
		return err
	}
	if s.Status != container.Running && s.Status != container.Created {
		return fmt.Errorf("exec in %s: container not running", id)
	}
	in, err := joint(s)
	if err != nil {
		return fmt.Errorf("exec in %s: container not running", id)
	}
	defer in.PIDFD.Close()
	if err := enterContainer(in); err != nil {
		return fmt.Errorf("exec in %s: %w", id, err)
	}
	spec, err := configOf(c)
	if err != nil {
		return err
	}
	p, err := v.read(spec, command)
	if err != nil {
		return err
	}
	var pidErr error
	o := sandbox.ExecOptions{Process: p, Detach: v.detach, PreserveFDs: v.preserveFDs, Started: func(pid int) { pidErr = writePID(v.pidFile, pid) }}
	if v.console != "" {
		o.Console = func(near *os.File) error { return sandbox.SendTerminal(v.console, near) }
	}
	res, err := sandbox.Exec(context.Background(), in, spec, o)
	switch {
	case err != nil:
		return statusOf(fmt.Errorf("exec in %s: %w", id, err))
	case pidErr != nil:
		return pidErr
	case res.Status != 0:
		return cli.ExitStatus(res.Status)
	}
	return nil
}

// enterContainer makes an ordinary user root in the container's user namespace.
func enterContainer(in sandbox.Joint) error {
	if os.Geteuid() == 0 {
		return nil
	}
	return sandbox.JoinUserNamespace(in, sandbox.UserNamespaceOptions{})
}

// read makes the process of a file, or of the container's own and the flags.
func (v *visit) read(spec *specs.Spec, command []string) (*specs.Process, error) {
	p := *spec.Process
	if v.process != "" {
		raw, err := os.ReadFile(v.process)
		if err != nil {
			return nil, fmt.Errorf("read process: %w", err)
		}
		p = specs.Process{}
		if err := json.Unmarshal(raw, &p); err != nil {
			return nil, fmt.Errorf("read process: %s: %w", v.process, err)
		}
	} else if p.Args = command; len(command) == 0 {
		return nil, cli.Usagef("COMMAND is missing")
	} else {
		p.Terminal = false
	}
	p.Terminal = p.Terminal || v.tty
	p.NoNewPrivileges = p.NoNewPrivileges || v.noNew
	if v.cwd != "" {
		p.Cwd = v.cwd
	}
	p.Env = append(p.Env[:len(p.Env):len(p.Env)], v.env...)
	if len(v.caps) > 0 {
		var caps specs.LinuxCapabilities
		if p.Capabilities != nil {
			caps = *p.Capabilities
		}
		for _, set := range []*[]string{&caps.Bounding, &caps.Effective, &caps.Permitted} {
			*set = append((*set)[:len(*set):len(*set)], v.caps...)
		}
		p.Capabilities = &caps
	}
	return &p, v.setUser(&p)
}

func (v *visit) setUser(p *specs.Process) error {
	if v.user == "" {
		return nil
	}
	words := strings.SplitN(v.user, ":", 2)
	for i, to := range []*uint32{&p.User.UID, &p.User.GID}[:len(words)] {
		n, err := strconv.ParseUint(words[i], 10, 32)
		if err != nil {
			return cli.Usagef("--user %q is not UID[:GID]", v.user)
		}
		*to = uint32(n)
	}
	return nil
}
