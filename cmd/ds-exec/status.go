package main

import (
	"encoding/json"
	"fmt"
	"os"

	"docksmith/lib/cli"
	"docksmith/lib/sandbox"
)

// status tells a program what happens, apart from the command's own output and
// exit status. Readers ignore types and members that they do not know.
type status struct {
	file *os.File // nil: nobody listens
	err  error
}

func openStatus(fd int) (*status, error) {
	if fd < 0 {
		return &status{}, nil
	}
	f := os.NewFile(uintptr(fd), "status descriptor")
	if f == nil {
		return nil, cli.Usagef("--status-fd %d: not a descriptor", fd)
	}
	if _, err := f.Stat(); err != nil {
		return nil, cli.Usagef("--status-fd %d: not an open descriptor", fd)
	}
	return &status{file: f}, nil
}

type event struct {
	Type       string `json:"type"`
	PID        int    `json:"pid,omitempty"`
	Status     *int   `json:"status,omitempty"`
	Signal     int    `json:"signal,omitempty"`
	OOM        bool   `json:"oom,omitempty"`
	PeakMemory int64  `json:"peakMemory,omitempty"`
	Message    string `json:"message,omitempty"`
	Hint       string `json:"hint,omitempty"`

	Limits []string `json:"limits,omitempty"` // that were met
}

func (s *status) started(pid int) { s.write(event{Type: "started", PID: pid}) }

// exited tells how the command ended. It reports whether anybody was told.
func (s *status) exited(r sandbox.Result) bool {
	s.write(event{Type: "exited", Status: &r.Status, Signal: r.Signal, OOM: r.OOM, PeakMemory: r.PeakMemory, Limits: r.Verdicts})
	return s.file != nil && s.err == nil
}

// fail tells why the command did not run. It reports whether anybody was told.
func (s *status) fail(err error) bool {
	s.write(event{Type: "error", Message: err.Error()})
	return s.file != nil && s.err == nil
}

func (s *status) write(e event) {
	if s.file == nil || s.err != nil {
		return
	}
	line, err := json.Marshal(e)
	if err == nil {
		_, err = s.file.Write(append(line, '\n'))
	}
	s.err = err
}

// close ends the stream. A reader that does not see the end was cut off.
func (s *status) close() error {
	if s.file == nil {
		return nil
	}
	s.write(event{Type: "end"})
	if s.err != nil {
		return fmt.Errorf("report status: %w", s.err)
	}
	return nil
}

// hangUp lets the reader go, which has heard what it wanted.
func (s *status) hangUp() {
	if s.file != nil {
		_ = s.file.Close()
		s.file = nil
	}
}
