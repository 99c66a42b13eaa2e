//go:build !linux

package store

import (
	"os"
	"strconv"
	"time"

	"golang.org/x/sys/unix"
)

// syncFileSystem writes out everything: there is no call for one file system.
func syncFileSystem(f *os.File) error {
	if err := f.Sync(); err != nil {
		return err
	}
	return unix.Sync()
}

func readBootID() string {
	t, err := unix.SysctlTimeval("kern.boottime")
	if err != nil {
		return "unknown"
	}
	return strconv.FormatInt(t.Sec, 10)
}

func renameNew(from, to string) error { return os.Rename(from, to) }

// changed is when the file was last changed; without a portable change time the
// modification time has to do.
func changed(info os.FileInfo) time.Time { return info.ModTime() }
