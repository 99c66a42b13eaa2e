package container

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"
)

// Schema is that of a record.
const Schema = "docksmith.container/1"

const (
	stateFile = "state.json"
	maxState  = 4 << 20
)

// Status is where in its life a container is, in the words of the OCI.
type Status string

// The statuses. Those that end in -ing and Created need a process that lives.
const (
	Creating Status = "creating"
	Created  Status = "created"
	Running  Status = "running"
	Stopped  Status = "stopped"
)

// State is what is known of a container. Its JSON is a superset of the OCI's.
type State struct {
	Schema      string            `json:"schema"`
	OCIVersion  string            `json:"ociVersion,omitempty"`
	ID          string            `json:"id"`
	Status      Status            `json:"status"`
	PID         int               `json:"pid,omitempty"` // of the command, while there is one
	Bundle      string            `json:"bundle"`
	Annotations map[string]string `json:"annotations,omitempty"`

	Name    string   `json:"name,omitempty"`
	Image   string   `json:"image,omitempty"`
	Command []string `json:"command,omitempty"`

	// Process is the command. Monitor is who will record its end; without one
	// the end of the process is all that is ever known.
	Process Process `json:"process,omitzero"`
	Monitor Process `json:"monitor,omitzero"`

	Created  time.Time `json:"created"`
	Started  time.Time `json:"started,omitzero"`
	Finished time.Time `json:"finished,omitzero"`
	Exit     *Exit     `json:"exit,omitempty"` // once stopped

	// Cgroups are the directories of the container's cgroup.
	Cgroups []string `json:"cgroups,omitempty"`
	// OwnBundle says that the bundle goes with the container, Remove that the
	// container goes when it has ended.
	OwnBundle bool `json:"ownBundle,omitempty"`
	Remove    bool `json:"remove,omitempty"`
	// Log is the file in the container's directory with the command's output.
	Log string `json:"log,omitempty"`
	// StopSignal asks the command to end; "" is SIGTERM.
	StopSignal string `json:"stopSignal,omitempty"`
	Terminal   bool   `json:"terminal,omitempty"`
	// Isolation is the level, and Without what was turned off of it.
	Isolation string   `json:"isolation,omitempty"`
	Without   []string `json:"without,omitempty"`
	// Volumes are those that the container has mounted.
	Volumes []Volume `json:"volumes,omitempty"`
	// Options is of whoever runs the container.
	Options json.RawMessage `json:"options,omitempty"`
}

// Volume is one of a container's volumes, by name.
type Volume struct {
	Name        string `json:"name"`
	Destination string `json:"destination"`
	// Anonymous says that it was made for this container.
	Anonymous bool `json:"anonymous,omitempty"`
}

// Exit tells how a container ended.
type Exit struct {
	Status     int   `json:"status"`
	Signal     int   `json:"signal,omitempty"`
	OOM        bool  `json:"oom,omitempty"`
	PeakMemory int64 `json:"peakMemory,omitempty"`
	// Limits has a sentence for each limit that was met.
	Limits []string `json:"limits,omitempty"`
	// Unknown says that nobody lived to record the end.
	Unknown bool `json:"unknown,omitempty"`
	// Error says what else went wrong.
	Error string `json:"error,omitempty"`
}

// encode gives the record as it is written.
func (s *State) encode() ([]byte, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(s); err != nil {
		return nil, err
	}
	if b.Len() > maxState {
		return nil, fmt.Errorf("the record is larger than %d bytes", maxState)
	}
	return b.Bytes(), nil
}

// decode reads a record. It must be whole: one document and nothing behind it.
func decode(raw []byte) (State, error) {
	var s State
	if len(raw) > maxState {
		return s, fmt.Errorf("larger than %d bytes", maxState)
	}
	d := json.NewDecoder(bytes.NewReader(raw))
	if err := d.Decode(&s); err != nil {
		return State{}, err
	}
	if _, err := d.Token(); err != io.EOF {
		return State{}, errors.New("data after the document")
	}
	if err := s.check(); err != nil {
		return State{}, err
	}
	return s, nil
}

// check refuses what no caller could mean: a record leads to processes that are
// signalled and to directories that are removed.
func (s *State) check() error {
	switch {
	case s.Schema != Schema:
		return fmt.Errorf("schema %q is not %s", s.Schema, Schema)
	case !validID(s.ID):
		return fmt.Errorf("id %q: %s", s.ID, "letters, digits, _, +, - and . make one")
	case s.Name != "" && !ValidName(s.Name):
		return fmt.Errorf("name %q: it takes two or more letters and digits, with _, . and - behind the first", s.Name)
	case s.Status != Creating && s.Status != Created && s.Status != Running && s.Status != Stopped:
		return fmt.Errorf("unknown status %q", s.Status)
	case s.Status == Stopped && (s.Exit == nil || s.PID != 0 || s.Process != Process{} || s.Monitor != Process{}):
		return errors.New("a stopped container has an exit and no process")
	case s.Status != Stopped && s.Exit != nil:
		return fmt.Errorf("a %s container has no exit", s.Status)
	case (s.Status == Created || s.Status == Running) && (s.Process.PID <= 0 || s.PID != s.Process.PID):
		return fmt.Errorf("a %s container has a process", s.Status)
	case s.Process.PID < 0 || s.Monitor.PID < 0 || s.PID < 0:
		return errors.New("a process id is negative")
	case s.Bundle != "" && !filepath.IsAbs(s.Bundle):
		return fmt.Errorf("bundle %q is not absolute", s.Bundle)
	case s.Log != "" && (s.Log != filepath.Base(s.Log) || s.Log == "." || s.Log == ".."):
		return fmt.Errorf("log %q is not a file name", s.Log)
	}
	for _, dir := range s.Cgroups {
		if filepath.Clean(dir) != dir || !strings.HasPrefix(dir, "/sys/fs/cgroup/") {
			return fmt.Errorf("cgroup %q is not below /sys/fs/cgroup", dir)
		}
	}
	return nil
}

// end makes the state that of a container which has ended.
func (s *State) end(e Exit, at time.Time) {
	s.Status, s.PID, s.Process, s.Monitor, s.Exit, s.Finished = Stopped, 0, Process{}, Process{}, &e, at
}

// End records the end of a container in its state, at this moment.
func (s *State) End(e Exit) { s.end(e, time.Now().UTC()) }

// lost tells whether the container has ended with nobody left to say so.
func (s *State) lost() bool {
	return s.Status != Stopped && !s.Monitor.Alive() && !s.Process.Alive()
}

const maxIDLength = 200

func validID(id string) bool {
	return len(id) <= maxIDLength && word(id, "_+-", "_+-.")
}

// ValidName tells whether a container may have this name.
func ValidName(name string) bool {
	return len(name) <= maxIDLength && len(name) > 1 && word(name, "", "_.-")
}

// word tells whether s is letters, digits, and some others, first in the
// beginning and more behind.
func word(s, first, more string) bool {
	for i := range len(s) {
		c, others := s[i], more
		if i == 0 {
			others = first
		}
		if (c|0x20 < 'a' || c|0x20 > 'z') && (c < '0' || c > '9') && strings.IndexByte(others, c) < 0 {
			return false
		}
	}
	return s != ""
}
