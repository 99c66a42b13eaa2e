package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"

	"docksmith/lib/oci"
)

// runner runs commands through ds-exec: the one isolation there is.
type runner struct{ program string }

// statusOurs is what ds-exec exits with when it could not run the command.
const statusOurs = 125

// grace is how long a cancelled command has to end before it is killed.
const grace = 10 * time.Second

// newRunner finds ds-exec where docksmith finds its programs: in
// $DOCKSMITH_EXEC_PATH, beside this program, on the PATH.
func newRunner() (*runner, error) {
	var dirs []string
	if dir := os.Getenv("DOCKSMITH_EXEC_PATH"); dir != "" {
		dirs = append(dirs, dir)
	}
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	for _, dir := range dirs {
		program := filepath.Join(dir, "ds-exec")
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return &runner{program}, nil
		}
	}
	return &runner{"ds-exec"}, nil // exec looks on the PATH, when a step needs it
}

// Run implements build.Runner.
func (r *runner) Run(ctx context.Context, dir string, spec *specs.Spec, output io.Writer) (int, error) {
	raw, err := oci.Marshal(spec)
	if err != nil {
		return 0, err
	}
	if err := os.WriteFile(filepath.Join(dir, "config.json"), raw, 0o600); err != nil {
		return 0, err
	}
	tell, says, err := os.Pipe()
	if err != nil {
		return 0, err
	}
	defer tell.Close()
	cmd := exec.CommandContext(ctx, r.program, "run", "--status-fd", "3", dir)
	cmd.Stdout, cmd.Stderr = output, output
	cmd.ExtraFiles = []*os.File{says}
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = grace
	cmd.SysProcAttr = dieWithUs()
	runtime.LockOSThread() // what dies with us dies with this thread
	defer runtime.UnlockOSThread()
	if err := cmd.Start(); err != nil {
		says.Close()
		return 0, fmt.Errorf("start ds-exec: %w", err)
	}
	says.Close()
	told := make(chan string, 1)
	go func() { told <- readStatus(tell) }()
	err = cmd.Wait()
	message := <-told
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case !errors.As(err, &exit):
		return 0, fmt.Errorf("run ds-exec: %w", err)
	case exit.ExitCode() == statusOurs && message != "":
		return 0, fmt.Errorf("ds-exec: %s", message)
	case exit.ExitCode() < 0:
		return 0, fmt.Errorf("run ds-exec: %w", err)
	}
	return exit.ExitCode(), nil
}

// readStatus reads what ds-exec says about the process and returns its message
// if it could not run it. Records that are not known are passed over.
func readStatus(r io.Reader) string {
	message := ""
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		var record struct {
			Type    string `json:"type"`
			Message string `json:"message"`
		}
		if err := json.Unmarshal(lines.Bytes(), &record); err == nil && record.Type == "error" {
			message = record.Message
		}
	}
	return message
}
