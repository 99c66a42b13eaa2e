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
	"sync/atomic"
	"syscall"
	"time"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/oci"
	"docksmith/lib/sandbox"
)

// runner runs commands through ds-exec, which isolates them.
type runner struct {
	isolation string
	limits    sandbox.Limits
}

// statusOurs is what ds-exec exits with when it could not run the command.
const statusOurs = 125

// grace is how long a cancelled command has to end before it is killed.
const grace = 10 * time.Second

// Run implements build.Runner.
func (r runner) Run(ctx context.Context, c build.Container) (res build.RunResult, err error) {
	for _, s := range c.Sockets {
		p, err := serveAgent(c.Dir, s)
		if err != nil {
			return res, fmt.Errorf("pass on the ssh agent: %w", err)
		}
		defer p.close()
	}
	if err := r.limits.Apply(c.Spec); err != nil {
		return res, err
	}
	raw, err := oci.Marshal(c.Spec)
	if err != nil {
		return res, err
	}
	if err := os.WriteFile(filepath.Join(c.Dir, "config.json"), raw, 0o600); err != nil {
		return res, err
	}
	tell, says, err := os.Pipe()
	if err != nil {
		return res, err
	}
	defer tell.Close()
	w, err := newWhisper(c.Secrets)
	if err != nil {
		says.Close()
		return res, err
	}
	defer w.close()
	cmd := exec.CommandContext(ctx, cli.Program("ds-exec"), append(r.arguments(w), c.Dir)...)
	cmd.Stdout, cmd.Stderr = c.Output, c.Output
	cmd.ExtraFiles = append([]*os.File{says}, w.files()...)
	var cut atomic.Bool
	cmd.Cancel = func() error {
		err := cmd.Process.Signal(syscall.SIGTERM)
		cut.Store(err == nil) // else it has ended by itself
		return err
	}
	cmd.WaitDelay = grace
	cmd.SysProcAttr = dieWithUs()
	runtime.LockOSThread() // what dies with us dies with this thread
	defer runtime.UnlockOSThread()
	err = cmd.Start()
	says.Close()
	w.start()
	if err != nil {
		return res, fmt.Errorf("start ds-exec: %w", err)
	}
	told := make(chan status, 1)
	go func() { told <- readStatus(tell) }()
	err = cmd.Wait()
	res, err = (<-told).result(err)
	if cut.Load() {
		err = ctx.Err()
	}
	return res, err
}

// arguments are those of ds-exec before the bundle.
func (r runner) arguments(w *whisper) []string {
	args := append([]string{"run", "--no-record", "--status-fd", "3"}, w.args()...)
	if r.isolation != "" {
		args = append(args, "--isolation", r.isolation)
	}
	if r.limits.BestEffort {
		args = append(args, "--best-effort")
	}
	return args
}

// status is what ds-exec says on its status descriptor, all records in one:
// none has members of another's.
type status struct {
	Type       string `json:"type"`
	Signal     int    `json:"signal"`
	OOM        bool   `json:"oom"`
	PeakMemory int64  `json:"peakMemory"`
	Message    string `json:"message"`

	Limits []string `json:"limits"`
}

// readStatus reads what ds-exec says. Records that are not known are passed
// over.
func readStatus(r io.Reader) (s status) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		_ = json.Unmarshal(lines.Bytes(), &s)
	}
	return s
}

// result is how the command ended, from what ds-exec said and how that ended.
func (s status) result(err error) (build.RunResult, error) {
	res := build.RunResult{Signal: s.Signal, OOM: s.OOM, PeakMemory: s.PeakMemory, Fault: s.Message, Limits: s.Limits}
	var exit *exec.ExitError
	switch {
	case err == nil:
	case !errors.As(err, &exit), exit.ExitCode() < 0:
		return res, fmt.Errorf("run ds-exec: %w", err)
	case exit.ExitCode() == statusOurs && s.Message != "":
		return res, fmt.Errorf("ds-exec: %s", s.Message)
	default:
		res.Status = exit.ExitCode()
	}
	return res, nil
}

// whisper is a pipe that brings secrets to ds-exec: unlike arguments and the
// environment nobody else can see it, and unlike a file it is on no disk.
type whisper struct {
	secrets map[string][]byte
	hears   *os.File // nil without any
	says    *os.File
	done    chan struct{}
}

func newWhisper(secrets map[string][]byte) (*whisper, error) {
	w := &whisper{secrets: secrets}
	if len(secrets) == 0 {
		return w, nil
	}
	var err error
	w.hears, w.says, err = os.Pipe()
	return w, err
}

func (w *whisper) args() []string {
	if w.hears == nil {
		return nil
	}
	return []string{"--secrets-fd", "4"}
}

func (w *whisper) files() []*os.File {
	if w.hears == nil {
		return nil
	}
	return []*os.File{w.hears}
}

// start writes, once the reader has its end of the pipe or will never have it.
func (w *whisper) start() {
	if w.hears == nil {
		return
	}
	w.hears.Close()
	w.done = make(chan struct{})
	go func() {
		defer close(w.done)
		// Who does not read to the end has failed, and says so itself.
		_ = sandbox.WriteSecrets(w.says, w.secrets)
		w.says.Close()
	}()
}

// close waits for the end of what start began. The reader must have ended.
func (w *whisper) close() {
	if w.done != nil {
		<-w.done
	}
}
