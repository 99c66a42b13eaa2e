package container

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"syscall"

	"docksmith/lib/flock"
)

const (
	endedFile  = ".ended"
	olderFile  = ".ended.1"
	maxEnded   = 64 << 10 // of one of the two files, but for its last line
	maxEndLine = 4 << 10
)

// noteEnd adds a container that leaves no record to those that [Table.Ended]
// gives. Who runs it cannot do anything about an error, which loses the line.
func (t *Table) noteEnd(s State) {
	if s.Started.IsZero() {
		return // it never ran
	}
	line := endLine(State{
		Schema: Schema, ID: s.ID, Status: Stopped, Name: s.Name, Image: s.Image, Command: s.Command,
		Created: s.Created, Started: s.Started, Finished: s.Finished, Exit: s.Exit, Isolation: s.Isolation,
	})
	f, err := os.OpenFile(t.path(endedFile), os.O_WRONLY|os.O_CREATE|os.O_APPEND|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return
	}
	defer f.Close()
	if _, err := f.Write(line); err != nil {
		return
	}
	if st, err := f.Stat(); err == nil && st.Size() >= maxEnded {
		t.turnEnded(f, st)
	}
}

// endLine is the line of a record. Of a long command it has the beginning.
func endLine(s State) []byte {
	for {
		raw, err := json.Marshal(s)
		if err == nil && len(raw) < maxEndLine || len(s.Command) == 0 {
			return append(raw, '\n')
		}
		s.Command = s.Command[:len(s.Command)/2]
	}
}

// turnEnded begins a new file, unless somebody else did.
func (t *Table) turnEnded(f *os.File, st fs.FileInfo) {
	if ok, err := flock.Try(f, flock.Exclusive); !ok || err != nil {
		return
	}
	if now, err := os.Lstat(t.path(endedFile)); err == nil && os.SameFile(st, now) {
		_ = os.Rename(t.path(endedFile), t.path(olderFile))
	}
}

// Ended gives the last containers that left no record when they ended: some
// hundred, the one that ended last at the end. What cannot be read is left out.
func (t *Table) Ended() ([]State, error) {
	var states []State
	for _, name := range []string{olderFile, endedFile} {
		raw, err := readState(t.path(name))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, fmt.Errorf("list ended containers: %w", err)
		}
		for line := range bytes.Lines(raw) {
			if s, err := decode(line); err == nil && s.Status == Stopped && s.Exit != nil {
				states = append(states, s)
			}
		}
	}
	return states, nil
}
