package main

import (
	"os"

	"golang.org/x/sys/unix"
)

// fileMode is that of a new file under the user's umask: a temporary file's is
// narrower. The umask can only be read by setting it.
func fileMode() os.FileMode {
	mask := unix.Umask(0o077)
	unix.Umask(mask)
	return 0o666 &^ os.FileMode(mask)
}
