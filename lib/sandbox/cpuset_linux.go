package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

var errNoSuchCPU = errors.New("not all of them are here")

// available tells whether what a cpuset is to have is there. Version 2 would take
// what is not and give something else, version 1 say that it is forbidden.
func (s setting) available(dir string) error {
	name, above := s.files[0], filepath.Dir(dir)
	if name != "cpuset.cpus" && name != "cpuset.mems" {
		return nil
	}
	has, err := os.ReadFile(filepath.Join(above, name+".effective"))
	if err != nil {
		has, err = os.ReadFile(filepath.Join(above, name))
	}
	if err != nil {
		return nil // writing will tell
	}
	list := strings.TrimSpace(string(has))
	there, err := ParseCPUList(list)
	if err != nil {
		return nil
	}
	wanted, err := ParseCPUList(s.value)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for n := range wanted {
		if !there[n] {
			return fmt.Errorf("%s %s: %w: there is %s", name, s.value, errNoSuchCPU, list)
		}
	}
	return nil
}
