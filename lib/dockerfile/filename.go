package dockerfile

import (
	"fmt"
	"path/filepath"
	"strings"
)

const strictName = "Docksmithfile"

// FileNames are the Dockerfiles that a directory is searched for: the first there is
// counts.
var FileNames = []string{strictName, "Dockerfile", "Containerfile"}

// IsStrict tells whether a file of this name, or path, is in the strict dialect.
func IsStrict(name string) bool { return filepath.Base(name) == strictName }

// NoFile is the error of a directory that has none of FileNames.
func NoFile(dir string) error {
	return fmt.Errorf("find a Dockerfile in %s: no %s", dir, strings.Join(FileNames, ", no "))
}
