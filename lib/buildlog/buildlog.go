// Package buildlog keeps what builds did and what their commands printed: for
// each build a directory with its record, one line of JSON for each thing that
// happened, and a file with the whole output of each step that printed
// something.
//
// It knows no more of the records than it needs to list them: what they hold is
// the builder's affair. The invariant: a record whose last line is of the type
// "end" is complete. One without belongs to a build that runs, as long as it is
// locked, and else to one that was killed.
//
//	log := buildlog.New(root).Begin()
//	log.Record(start)
//	out := log.Output(3)
//	fmt.Fprintln(out, "hello")
//	log.Record(end)
//	err := errors.Join(out.Close(), log.Close())
package buildlog

import (
	"bytes"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"docksmith/lib/flock"
)

// Dir is the directory of all builds. Any number of processes may use it at the
// same time.
type Dir struct{ path string }

// New is the directory of builds of the state directory root. Nothing is read or made.
func New(root string) *Dir { return &Dir{filepath.Join(root, "builds")} }

const (
	recordFile = "record.ndjson"
	logExt     = ".log"
)

// idBytes makes ids of twelve digits: short enough to be typed.
const idBytes = 6

// Log is the log of one build, being written. Its methods may be called
// concurrently. A log that cannot be written is no reason to stop a build:
// writes do not fail, and what went wrong first is told by Close.
type Log struct {
	dir *Dir
	id  string

	mu     sync.Mutex
	buf    []byte   // records that are not written yet
	record *os.File // nil: nothing was written yet; locked
	unmade bool     // it cannot be made
	err    error    // the first
}

// bufferSize is how much of the record may wait to be written.
const bufferSize = 64 << 10

// Begin gives the log of a new build, with a random id. The first flush puts it
// on the disk, so a build that does nothing new costs few system calls.
func (d *Dir) Begin() *Log {
	var id [idBytes]byte
	_, _ = rand.Read(id[:]) // never fails
	return &Log{dir: d, id: hex.EncodeToString(id[:])}
}

// ID names the build.
func (l *Log) ID() string { return l.id }

// Ref names the output of a step, in a record: "ID:STEP".
func (l *Log) Ref(step int) string { return l.id + ":" + strconv.Itoa(step) }

// Path is where the output of a step is written.
func (l *Log) Path(step int) string { return l.dir.logPath(l.id, step) }

func (d *Dir) logPath(id string, step int) string {
	return filepath.Join(d.path, id, strconv.Itoa(step)+logExt)
}

// Record adds one line of JSON. It reaches the disk with the next Flush.
func (l *Log) Record(v any) {
	line, err := encode(v)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.fail(err)
	l.buf = append(l.buf, line...)
	if len(l.buf) >= bufferSize {
		l.flush()
	}
}

// encode writes v as one compact line without HTML escaping.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(v)
	return b.Bytes(), err
}

// Flush writes what waits: before something that may take long, so that a build
// that is killed has told so far. Nothing is synced.
func (l *Log) Flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
}

func (l *Log) flush() {
	if len(l.buf) == 0 || !l.open() {
		return
	}
	n, err := l.record.Write(l.buf)
	l.fail(err)
	l.buf = l.buf[:0]
	if n > 0 && err != nil {
		l.buf = append(l.buf, '\n') // the next record does not follow half a line
	}
}

// open makes the build's directory and its record, locked.
func (l *Log) open() bool {
	if l.record != nil || l.unmade {
		return !l.unmade
	}
	dir := filepath.Join(l.dir.path, l.id)
	err := os.Mkdir(dir, 0o700)
	if errors.Is(err, fs.ErrNotExist) { // the first build of all
		err = os.MkdirAll(dir, 0o700)
	}
	if err == nil {
		l.record, err = os.OpenFile(filepath.Join(dir, recordFile), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	}
	if err == nil {
		// Others hold it for no longer than they need to find out whether they can.
		err = flock.Lock(l.record, flock.Exclusive)
	}
	l.fail(err)
	l.unmade = err != nil
	return !l.unmade
}

// fail keeps the first error.
func (l *Log) fail(err error) {
	if l.err == nil {
		l.err = err
	}
}

// Close writes what waits and ends the log. It returns the first error of all
// that was to be written.
func (l *Log) Close() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if l.record != nil {
		l.fail(l.record.Close())
		l.record = nil
	}
	if l.err != nil {
		return fmt.Errorf("write build log: %w", l.err)
	}
	return nil
}

// Output takes the output of a step. What is written is in the file at once;
// the file is made with the first byte. The writer is for one goroutine, its
// writes do not fail, and several writers of one step follow each other.
func (l *Log) Output(step int) io.WriteCloser { return &output{log: l, step: step} }

type output struct {
	log  *Log
	step int
	file *os.File
	bad  bool
}

func (o *output) Write(p []byte) (int, error) {
	if o.bad || len(p) == 0 {
		return len(p), nil
	}
	if o.file == nil {
		o.file = o.log.create(o.step)
	}
	if o.file == nil {
		o.bad = true
		return len(p), nil
	}
	if _, err := o.file.Write(p); err != nil {
		o.failed(err)
	}
	return len(p), nil
}

func (o *output) failed(err error) {
	o.bad = true
	o.log.mu.Lock()
	defer o.log.mu.Unlock()
	o.log.fail(err)
}

func (o *output) Close() error {
	if o.file == nil {
		return nil
	}
	if err := o.file.Close(); err != nil {
		o.failed(err)
	}
	o.file = nil
	return nil
}

// create makes the file of a step's output.
func (l *Log) create(step int) *os.File {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.flush()
	if !l.open() {
		return nil
	}
	f, err := os.OpenFile(l.Path(step), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	l.fail(err)
	if err != nil {
		return nil
	}
	return f
}
