package container

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// endFile gets the last state once more if somebody waits. Whoever waits has it
// open, and so reads it after a container that is removed at its end has gone.
const endFile = "end"

// settling is how long a process may have been gone before its end is recorded.
const settling = 5 * time.Millisecond

// Wait returns the state of the container once it has stopped, that of one which
// is removed at its end too. ErrNotFound means that it was removed otherwise.
func (c *Container) Wait(ctx context.Context) (State, error) {
	end, err := c.openEnd()
	if err != nil {
		return State{}, err
	}
	defer end.Close()
	for {
		s, err := c.State()
		if errors.Is(err, ErrNotFound) {
			return c.readEnd(end)
		}
		if err != nil || s.Status == Stopped {
			return s, err
		}
		who := s.Monitor
		if !who.Alive() {
			who = s.Process
		}
		if err := who.wait(ctx); err != nil {
			return s, fmt.Errorf("wait for container %s: %w", c.id, err)
		}
		select {
		case <-ctx.Done():
			return s, ctx.Err()
		case <-time.After(settling):
		}
	}
}

// openEnd makes the file under the lock: after that no end is missed.
func (c *Container) openEnd() (*os.File, error) {
	lock, err := c.lock()
	if err != nil {
		return nil, err
	}
	defer lock.Close()
	f, err := os.OpenFile(c.Path(endFile), os.O_RDONLY|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, fmt.Errorf("wait for container %s: %w", c.id, notFound(err))
	}
	return f, nil
}

func (c *Container) readEnd(end *os.File) (State, error) {
	raw := make([]byte, maxState+1)
	n, _ := end.ReadAt(raw, 0)
	s, err := decode(raw[:n])
	if err != nil || s.ID != c.id {
		return State{}, fmt.Errorf("wait for container %s: %w any more", c.id, ErrNotFound)
	}
	return s, nil
}
