package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"docksmith/lib/cli"
	"docksmith/lib/container"
	"docksmith/lib/sandbox"

	"github.com/opencontainers/runtime-spec/specs-go"
)

// runtimeName is what ds-exec is called when it is to be an OCI runtime.
const runtimeName = "ds-runtime"

// runtime is the command line that container engines speak to OCI runtimes, as
// runc set it. Each verb is a process that ends; a container is its record in
// the root directory.
type runtime struct {
	root, log, logFormat, rootless string
	systemdCgroup, debug           bool
}

func runtimeProgram() *cli.Command {
	r := &runtime{}
	return &cli.Command{
		Name:  runtimeName,
		Short: "Create, start, watch and delete containers from OCI bundles, for container engines.",
		Long:  "    podman --runtime=/usr/local/bin/ds-runtime run alpine true",
		Flags: r.declare,
		Commands: []*cli.Command{
			r.createCommand(), r.startCommand(), r.stateCommand(), r.killCommand(), r.deleteCommand(),
			r.execCommand(), r.listCommand(), r.featuresCommand(),
		},
	}
}

func (r *runtime) declare(f *cli.Flags) {
	f.StringVar(&r.root, "root", "", "keep the state of containers in `DIR`")
	f.StringVar(&r.log, "log", "", "append errors to `FILE`, too")
	f.StringVar(&r.logFormat, "log-format", "text", "write the log as `text` or json")
	f.BoolVar(&r.debug, "debug", false, "accepted: there is nothing more to say")
	f.BoolVar(&r.systemdCgroup, "systemd-cgroup", false, "refused: cgroups are made by us, not asked for from systemd")
	f.StringVar(&r.rootless, "rootless", "auto", "`auto`, true or false: whether the caller is an ordinary user")
	f.Complete("root", "dir")
	f.Complete("log", "file")
	f.Complete("log-format", "text,json")
	f.Complete("rootless", "auto,true,false")
}

// verb is a command whose errors go to the log, too.
func (r *runtime) verb(c *cli.Command, operands int, run func(*cli.IO, []string) error) *cli.Command {
	c.Run = func(_ context.Context, io *cli.IO, args []string) error {
		err := r.check(operands, args)
		if err == nil {
			err = run(io, args)
		}
		return errors.Join(err, r.record(err))
	}
	return c
}

func (r *runtime) check(operands int, args []string) error {
	switch {
	case len(args) < operands:
		return cli.Usagef("CONTAINER is missing")
	case r.systemdCgroup:
		return cli.WithHint(cli.Usagef("--systemd-cgroup is not possible"), "podman: --cgroup-manager=cgroupfs")
	case r.logFormat != "text" && r.logFormat != "json":
		return cli.Usagef("--log-format %s: text and json are possible", r.logFormat)
	case r.rootless != "auto" && r.rootless != "true" && r.rootless != "false":
		return cli.Usagef("--rootless %s: auto, true and false are possible", r.rootless)
	case r.rootless == "false" && (os.Geteuid() != 0 || sandbox.InUserNamespace()):
		return cli.Usagef("--rootless false: the caller is not root")
	}
	return nil
}

// record appends an error to the log.
func (r *runtime) record(err error) error {
	if err == nil || r.log == "" {
		return nil
	}
	f, oerr := os.OpenFile(r.log, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if oerr != nil {
		return fmt.Errorf("write log: %w", oerr)
	}
	now := time.Now().UTC().Format(time.RFC3339Nano)
	line := fmt.Appendf(nil, "time=%q level=error msg=%q\n", now, err)
	if r.logFormat == "json" {
		line, oerr = json.Marshal(map[string]string{"level": "error", "msg": err.Error(), "time": now})
		line = append(line, '\n')
	}
	_, werr := f.Write(line)
	return errors.Join(oerr, werr, f.Close())
}

// table is where the containers are recorded.
func (r *runtime) table() (*container.Table, error) {
	dir := r.root
	if dir == "" {
		dir = "/run/" + runtimeName
		if os.Geteuid() != 0 || sandbox.InUserNamespace() {
			base := os.Getenv("XDG_RUNTIME_DIR")
			if !filepath.IsAbs(base) {
				return nil, cli.WithHint(errors.New("no place for the state of containers"), "set XDG_RUNTIME_DIR or give --root")
			}
			dir = filepath.Join(base, runtimeName)
		}
	}
	dir, err := filepath.Abs(dir)
	return container.Open(dir), err
}

// find gives a container with its state.
func (r *runtime) find(id string) (*container.Container, container.State, error) {
	t, err := r.table()
	if err != nil {
		return nil, container.State{}, err
	}
	c, err := t.Get(id)
	if err != nil {
		return nil, container.State{}, err
	}
	s, err := c.State()
	return c, s, err
}

// made is what create leaves in the record for the verbs that come later.
func made(s container.State) (m sandbox.Created, err error) {
	if err := json.Unmarshal(s.Options, &m); err != nil {
		return m, fmt.Errorf("container %s: it was not created by %s: %w", s.ID, runtimeName, err)
	}
	return m, nil
}

// configOf is the container's config.json as it was when it was created.
func configOf(c *container.Container) (*specs.Spec, error) {
	b, err := sandbox.OpenBundle(c.Dir())
	if err != nil {
		return nil, err
	}
	return b.Spec, b.Close()
}

// hookState is what hooks get of a container.
func hookState(s container.State, status specs.ContainerState, pid int) specs.State {
	return specs.State{Version: s.OCIVersion, ID: s.ID, Status: status, Pid: pid, Bundle: s.Bundle, Annotations: s.Annotations}
}

// joint takes hold of the container's process. The caller closes its PIDFD.
func joint(s container.State) (sandbox.Joint, error) {
	pidfd, err := s.Process.Open()
	return sandbox.Joint{PID: s.PID, PIDFD: pidfd, Cgroups: s.Cgroups}, err
}

// writePID writes a process id for the engine, which must not see half of it.
func writePID(file string, pid int) error {
	if file == "" {
		return nil
	}
	temp := filepath.Join(filepath.Dir(file), "."+filepath.Base(file))
	if err := os.WriteFile(temp, fmt.Append(nil, pid), 0o644); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	if err := os.Rename(temp, file); err != nil {
		return fmt.Errorf("write pid file: %w", err)
	}
	return nil
}
