package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"docksmith/lib/build"
	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// failure is why a build ended without an image, as a record and for people.
// Members that do not apply are empty: a plan that cannot be read has no step.
type failure struct {
	Type  string `json:"type"`
	Step  int    `json:"step,omitempty"`
	Total int    `json:"total,omitempty"`
	Stage string `json:"stage,omitempty"`
	File  string `json:"file,omitempty"`
	Line  int    `json:"line,omitempty"`
	// Text is the message.
	Text string `json:"text"`
	// Status is the exit status of the build; that of the command, if one
	// failed.
	Status int  `json:"status"`
	Signal int  `json:"signal,omitempty"`
	OOM    bool `json:"oom,omitempty"`
	// PeakMemory is what the command had in memory at most, in bytes.
	PeakMemory int64 `json:"peakMemory,omitempty"`
	// Bundle is what the command left, Enter the command that opens a shell in it.
	Bundle string `json:"bundle,omitempty"`
	Enter  string `json:"enter,omitempty"`
	// Log names the output of the command, LogFile is where it is.
	Log     string `json:"log,omitempty"`
	LogFile string `json:"logFile,omitempty"`
	// Others are steps of other stages that failed at the same time.
	Others []*failure `json:"others,omitempty"`
	At     float64    `json:"at"`

	step *build.StepError // nil: the fault is not one of a step
	tail *tail            // of the output; nil: no command ran
	err  error            // for the program to tell
}

// failure describes err.
func (j *journal) failure(err error) *failure {
	f := &failure{Type: "failure", Text: err.Error(), At: j.at()}
	f.err = explain(err)
	if step, ok := errors.AsType[*build.StepError](err); ok {
		f.step = step
		f.Step, f.Total, f.Stage, f.File, f.Line = step.Step, step.Total, step.Stage, step.File, step.Line
		f.Text, f.Signal, f.OOM, f.Bundle = step.Err.Error(), step.Signal, step.OOM, step.Bundle
		f.PeakMemory = step.PeakMemory
		j.addOthers(f) // the last hint comes first
		j.addShell(f)
		j.addOutput(f)
	}
	f.Status = j.s.Status(f.err)
	return f
}

// addOthers tells of the steps that failed at the same time.
func (j *journal) addOthers(f *failure) {
	for _, step := range slices.Backward(f.step.Others) {
		other := j.failure(step)
		f.Others = slices.Insert(f.Others, 0, other)
		f.err = cli.WithHint(f.err, "%s:%d failed too: %s", other.File, other.Line, other.Text)
	}
}

// addOutput says where the output of the command is.
func (j *journal) addOutput(f *failure) {
	j.mu.Lock()
	out := j.outputs[f.step.Log]
	j.mu.Unlock()
	if out == nil || len(out.tail.buf) == 0 {
		return
	}
	f.tail, f.Log, f.LogFile = &out.tail, f.step.Log, out.file
	f.err = cli.WithHint(f.err, "its whole output: %s", cli.ShellWord(f.LogFile))
	if f.step.Offline && missesNetwork(out.tail.buf) {
		f.err = cli.WithHint(f.err, "RUN has no network unless ds-build is given --network=host")
	}
	if sandbox.OneID() && missesIDs(out.tail.buf) {
		f.err = cli.WithHint(f.err, "only one user id is mapped, so there are no other owners and users: "+
			"give the user a range in /etc/subuid and /etc/subgid and install newuidmap")
	}
}

// addShell says how to look into what the command left.
func (j *journal) addShell(f *failure) {
	switch {
	case f.Bundle == "":
	case f.step.Shell == "":
		f.err = cli.WithHint(f.err, "what it left is in %s; there is no shell in it", f.Bundle)
	default:
		f.Enter = strings.Join([]string{cli.ShellWord(execCommand()), "run", cli.ShellWord(f.Bundle), "--", cli.ShellWord(f.step.Shell)}, " ")
		f.err = cli.WithHint(f.err, "a shell in what it left: %s", f.Enter)
	}
}

// execCommand is what a user types to start the ds-exec that this program
// uses: its name, if that is what the user's PATH finds. DOCKSMITH_EXEC_PATH
// says that it does not.
func execCommand() string {
	program := cli.Program("ds-exec")
	found, err := exec.LookPath("ds-exec")
	if err == nil && os.Getenv("DOCKSMITH_EXEC_PATH") == "" && sameFile(found, program) {
		return "ds-exec"
	}
	if abs, err := filepath.Abs(program); err == nil && strings.Contains(program, "/") {
		return abs
	}
	return program
}

func sameFile(a, b string) bool {
	x, xerr := os.Stat(a)
	y, yerr := os.Stat(b)
	return xerr == nil && yerr == nil && os.SameFile(x, y) || a == b
}

// fail tells people of the failure, runs what they wanted run then, and gives
// the error with the status of the failure.
func (j *journal) fail(ctx context.Context, f *failure) error {
	err := cli.Told(f.err)
	if _, ok := j.show.(*records); !ok {
		err = j.s.Report(f.err)
	}
	if j.o.onFail != "" && f.step != nil && ctx.Err() == nil {
		j.onFail(f)
	}
	return err
}
