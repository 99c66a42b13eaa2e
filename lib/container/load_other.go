//go:build !linux

package container

import "errors"

// Load is known on Linux only.
func (s *State) Load() (Load, error) {
	return Load{}, errors.New("measure container: only Linux has /proc")
}
