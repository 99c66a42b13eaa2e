// Package container keeps the state of containers in files, for programs that
// come and go: nothing runs in between, and whoever reads a record finds out
// whether it is still true.
//
// A [Table] is a directory, private to one user:
//
//	.lock            shared while a container is made, exclusive for a sweep
//	.names/NAME      a link that holds the id; making it is what takes the name
//	ID/state.json    one line of JSON, replaced by rename, guarded by a lock on ID
//	.new-ID          on its way in
//	.ended           a line for each container that left no record
//
// The invariant: a record that says running while its process has gone is never
// reported. A process is known by its pid and the time it started, so that
// another one with its pid is not taken for it, and by the boot and the pid
// namespace these belong to. The first who notices that a process has gone
// without a record of its end writes that down, under the lock.
//
// The package starts, signals and removes nothing by itself, but for the files
// of the record.
//
//	t := container.Open(dir)
//	c, err := t.Create(container.State{Status: container.Creating, Monitor: self, Bundle: b})
//	...
//	st, err := c.Update(func(s *container.State) error { s.Status = container.Running; ... })
package container

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Errors that callers ask for.
var (
	ErrNotFound  = errors.New("no such container")
	ErrExists    = errors.New("a container with this id exists")
	ErrNameTaken = errors.New("the name is taken")
	ErrAmbiguous = errors.New("more than one container's id begins so")
	ErrRunning   = errors.New("the container is running")
	// ErrBroken means that a record cannot be read. Its container can be removed.
	ErrBroken = errors.New("broken record")
)

const (
	lockFile  = ".lock"
	namesDir  = ".names"
	newPrefix = ".new-"
)

// Table is a directory of containers. It is safe for concurrent use, by any
// number of processes.
type Table struct{ dir string }

// Container is one container of a table, which may be gone by the time its
// methods are called: then they return ErrNotFound.
type Container struct {
	table *Table
	id    string
}

// Open gives the table in dir, which is made with the first container.
func Open(dir string) *Table { return &Table{dir} }

// NewID is a random id: 64 hexadecimal digits, of which any beginning that no
// other id has will do to name it.
func NewID() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails
	return hex.EncodeToString(b[:])
}

// ID is the container's id.
func (c *Container) ID() string { return c.id }

// Dir is the container's directory. What else is kept of a container may lie in
// it, and goes with it.
func (c *Container) Dir() string { return filepath.Join(c.table.dir, c.id) }

// Path is a file in the container's directory.
func (c *Container) Path(name string) string { return filepath.Join(c.Dir(), name) }

// Create records a container, wholly or not at all. It fills in Schema, Created
// and, where it is missing, ID. The error is ErrExists or ErrNameTaken when the
// id or the name is in use.
func (t *Table) Create(s State) (*Container, error) {
	if s.ID == "" {
		s.ID = NewID()
	}
	s.Schema, s.Created = Schema, time.Now().UTC()
	raw, err := s.encode()
	if err != nil {
		return nil, fmt.Errorf("record container: %w", err)
	}
	c := &Container{t, s.ID}
	if err := t.create(c, s.Name, raw); err != nil {
		return nil, fmt.Errorf("record container: %w", err)
	}
	return c, nil
}

func (t *Table) create(c *Container, name string, raw []byte) error {
	lock, err := t.lock(false)
	if err != nil {
		return err
	}
	defer func() { lock.Close() }()
	if name != "" {
		if lock, err = t.claim(lock, name, c.id); err != nil {
			return err
		}
	}
	temp := filepath.Join(t.dir, newPrefix+c.id)
	err = os.Mkdir(temp, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(temp, stateFile), raw, 0o600)
	}
	if err == nil {
		err = os.Rename(temp, c.Dir())
	}
	if err == nil {
		return nil
	}
	if errors.Is(err, fs.ErrExist) {
		err = fmt.Errorf("%s: %w", c.id, ErrExists)
	} else {
		err = errors.Join(err, os.RemoveAll(temp))
	}
	t.release(name, c.id)
	return err
}

// Get finds a container by its whole id.
func (t *Table) Get(id string) (*Container, error) {
	if !validID(id) {
		return nil, fmt.Errorf("%q: %w", id, ErrNotFound)
	}
	if _, err := os.Lstat(filepath.Join(t.dir, id)); err != nil {
		return nil, fmt.Errorf("%s: %w", id, notFound(err))
	}
	return &Container{t, id}, nil
}

func notFound(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotFound
	}
	return err
}

// Find finds a container by its id, its name, or the beginning of its id.
func (t *Table) Find(ref string) (*Container, error) {
	c, err := t.Get(ref)
	if err == nil || !errors.Is(err, ErrNotFound) {
		return c, err
	}
	if id := t.holder(ref); id != "" {
		if c, err := t.Get(id); err == nil {
			return c, nil
		}
	}
	ids, err := t.ids()
	if err != nil {
		return nil, err
	}
	var found []string
	for _, id := range ids {
		if ref != "" && strings.HasPrefix(id, ref) {
			found = append(found, id)
		}
	}
	switch len(found) {
	case 0:
		return nil, fmt.Errorf("%q: %w", ref, ErrNotFound)
	case 1:
		return &Container{t, found[0]}, nil
	}
	return nil, fmt.Errorf("%q: %w", ref, ErrAmbiguous)
}

func (t *Table) ids() ([]string, error) {
	list, err := os.ReadDir(t.dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("list containers: %w", err)
	}
	var ids []string
	for _, e := range list {
		if e.IsDir() && validID(e.Name()) {
			ids = append(ids, e.Name())
		}
	}
	return ids, nil
}

// List gives the state of every container, the oldest first. One whose record
// cannot be read is given as stopped, with an Exit that tells why.
func (t *Table) List() ([]State, error) {
	ids, err := t.ids()
	if err != nil {
		return nil, err
	}
	var states []State
	for _, id := range ids {
		s, err := (&Container{t, id}).State()
		switch {
		case errors.Is(err, ErrNotFound): // meanwhile
			continue
		case errors.Is(err, ErrBroken):
			s = State{Schema: Schema, ID: id, Status: Stopped, Exit: &Exit{Unknown: true, Error: err.Error()}}
		case err != nil:
			return nil, err
		}
		states = append(states, s)
	}
	slices.SortStableFunc(states, func(a, b State) int { return a.Created.Compare(b.Created) })
	return states, nil
}
