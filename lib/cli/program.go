package cli

import (
	"os"
	"path/filepath"
)

// Program finds another of our programs where docksmith finds them: in
// $DOCKSMITH_EXEC_PATH, beside this program, on the PATH. One that is nowhere is
// its name alone, which to execute fails.
func Program(name string) string {
	var dirs []string
	if dir := os.Getenv("DOCKSMITH_EXEC_PATH"); dir != "" {
		dirs = append(dirs, dir)
	}
	if self, err := os.Executable(); err == nil {
		dirs = append(dirs, filepath.Dir(self))
	}
	for _, dir := range dirs {
		program := filepath.Join(dir, name)
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return program
		}
	}
	return name // exec looks on the PATH
}
