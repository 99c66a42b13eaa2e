package main

import (
	"errors"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"syscall"

	"docksmith/lib/cli"
)

// onFail runs the command of --on-fail. Its status is its own affair: the
// build's stays that of the failure.
func (j *journal) onFail(f *failure) {
	cmd := exec.Command("/bin/sh", "-c", j.o.onFail)
	cmd.Env = append(os.Environ(), f.environment(j.id)...)
	// Standard output is for the image's descriptor.
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, j.s.Stderr, j.s.Stderr
	if !cli.Terminal(os.Stdin) { // it may be the plan, of which nothing is left
		cmd.Stdin = nil
		if tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0); err == nil {
			defer tty.Close()
			cmd.Stdin = tty
		}
	}
	// As in system(3): what is typed is for the command.
	typed := make(chan os.Signal, 1)
	signal.Notify(typed, syscall.SIGINT, syscall.SIGQUIT)
	defer signal.Stop(typed)
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		j.s.Warnf("--on-fail: %v", err)
	}
}

// environment tells the command of --on-fail about the failure, see ds-build(1).
func (f *failure) environment(id string) []string {
	var env []string
	for _, v := range [][2]string{
		{"DOCKSMITH_BUILD", id},
		{"DOCKSMITH_STEP", number(f.Step)},
		{"DOCKSMITH_STAGE", f.Stage},
		{"DOCKSMITH_FILE", f.File},
		{"DOCKSMITH_LINE", number(f.Line)},
		{"DOCKSMITH_STATUS", number(f.Status)},
		{"DOCKSMITH_ERROR", f.Text},
		{"DOCKSMITH_BUNDLE", f.Bundle},
		{"DOCKSMITH_SHELL", f.step.Shell},
		{"DOCKSMITH_LOG", f.LogFile},
	} {
		env = append(env, v[0]+"="+v[1])
	}
	return env
}

func number(n int) string {
	if n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}
