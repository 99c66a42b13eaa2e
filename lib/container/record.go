package container

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"syscall"
	"time"

	"docksmith/lib/flock"
)

// State reads the container's record. Where that is not true any more, because
// the process has gone and nobody recorded how, it is corrected first, on disk
// too if the caller may.
func (c *Container) State() (State, error) {
	s, err := c.read()
	if err != nil || !s.lost() {
		return s, err
	}
	fixed, err := c.Update(func(*State) error { return nil })
	if errors.Is(err, fs.ErrPermission) || errors.Is(err, syscall.EROFS) {
		s.end(Exit{Unknown: true}, time.Time{})
		return s, nil
	}
	return fixed, err
}

func (c *Container) read() (State, error) {
	raw, err := readState(c.Path(stateFile))
	if err != nil {
		return State{}, fmt.Errorf("read container %s: %w", c.id, notFound(err))
	}
	s, err := decode(raw)
	if err == nil && s.ID != c.id {
		err = fmt.Errorf("it is of %s", s.ID)
	}
	if err != nil {
		return State{}, fmt.Errorf("read container %s: %w: %w", c.id, ErrBroken, err)
	}
	return s, nil
}

// readState reads a regular file and nothing that could block or never end.
func readState(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, ErrBroken
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !st.Mode().IsRegular() || st.Size() > maxState {
		return nil, ErrBroken
	}
	return io.ReadAll(io.LimitReader(f, maxState+1))
}

// Update changes the record under its lock. change gets the present state,
// corrected as by [Container.State]; its error leaves the record as it was and
// is returned. A container that is not stopped may be changed by its monitor
// alone; this is for the callers to keep.
func (c *Container) Update(change func(*State) error) (State, error) {
	lock, err := c.lock()
	if err != nil {
		return State{}, err
	}
	defer lock.Close()
	s, err := c.read()
	if err != nil {
		return s, err
	}
	was := s.Status
	if s.lost() {
		s.end(Exit{Unknown: true}, time.Time{})
	}
	if err := change(&s); err != nil {
		return s, err
	}
	raw, err := s.encode()
	if err != nil {
		return s, fmt.Errorf("record container %s: %w", c.id, err)
	}
	if err := c.replace(raw); err != nil {
		return s, fmt.Errorf("record container %s: %w", c.id, err)
	}
	if was != Stopped && s.Status == Stopped {
		c.tellWaiters(s)
	}
	return s, nil
}

// replace writes the record. The lock makes the one temporary name enough. It is
// not synced: what a record tells does not outlive the machine's memory.
func (c *Container) replace(raw []byte) error {
	temp := c.Path(".state.json")
	if err := os.Remove(temp); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := os.WriteFile(temp, raw, 0o600); err != nil {
		return err
	}
	if exchange(temp, c.Path(stateFile)) {
		return os.Remove(temp)
	}
	return os.Rename(temp, c.Path(stateFile))
}

// tellWaiters puts the end where those who wait see it after the record is gone.
func (c *Container) tellWaiters(s State) {
	f, err := os.OpenFile(c.Path(endFile), os.O_WRONLY|syscall.O_NOFOLLOW, 0)
	if err != nil {
		return // nobody waits
	}
	defer f.Close()
	if raw, err := json.Marshal(s); err == nil {
		_, _ = f.WriteAt(raw, 0) // a waiter that finds nothing says so
	}
}

// lock takes the container's lock, which closing the file releases.
func (c *Container) lock() (*os.File, error) {
	for {
		f, err := os.OpenFile(c.Dir(), os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_DIRECTORY, 0)
		if err != nil {
			return nil, fmt.Errorf("lock container %s: %w", c.id, notFound(err))
		}
		if err := flock.Lock(f, flock.Exclusive); err != nil {
			return nil, errors.Join(fmt.Errorf("lock container %s: %w", c.id, err), f.Close())
		}
		mine, err := f.Stat()
		if err == nil {
			var now os.FileInfo
			if now, err = os.Lstat(c.Dir()); err == nil && os.SameFile(mine, now) {
				return f, nil
			}
		}
		f.Close()
		if err != nil {
			return nil, fmt.Errorf("lock container %s: %w", c.id, notFound(err))
		}
		// Removed while we waited, and its id given to another.
	}
}

// End records the end of a container, by its monitor. With remove the record is
// taken away at once, as by [Container.Remove]; those who wait get to know, and
// [Table.Ended] tells of it for a while.
func (c *Container) End(e Exit, remove bool) error {
	if !remove {
		_, err := c.Update(func(s *State) error { s.End(e); return nil })
		return err
	}
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := c.read()
	if err != nil {
		return err
	}
	s.End(e)
	c.tellWaiters(s)
	c.table.noteEnd(s)
	return c.remove(s.Name)
}

// Remove takes a stopped container's record and directory away, and its name
// with them. Bundle and cgroups are the caller's to remove before.
func (c *Container) Remove() error {
	lock, err := c.lock()
	if err != nil {
		return err
	}
	defer lock.Close()
	s, err := c.read()
	if err != nil && !errors.Is(err, ErrBroken) && !errors.Is(err, ErrNotFound) {
		return err
	}
	if err == nil && s.Status != Stopped {
		if !s.lost() {
			return fmt.Errorf("remove container %s: %w", c.id, ErrRunning)
		}
		s.end(Exit{Unknown: true}, time.Time{})
		c.tellWaiters(s)
	}
	return c.remove(s.Name)
}

// remove takes the directory away, with its lock held. The record goes first:
// with it the container is gone for everybody. What somebody who is killed here
// leaves is an empty container, which a sweep clears.
func (c *Container) remove(name string) error {
	c.table.release(name, c.id)
	err := os.Remove(c.Path(stateFile))
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		if err = os.Remove(c.Dir()); errors.Is(err, fs.ErrExist) || errors.Is(err, syscall.ENOTEMPTY) {
			err = os.RemoveAll(c.Dir())
		}
	}
	if err != nil {
		return fmt.Errorf("remove container %s: %w", c.id, err)
	}
	return nil
}
