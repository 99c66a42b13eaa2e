package store

import (
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
)

type inode struct{ dev, ino uint64 }

// DiskUsage is the disk space of the tree at path, files with several names
// counted once. What may not be looked into is left out, with an error that is
// fs.ErrPermission.
func DiskUsage(path string) (int64, error) {
	seen := map[inode]bool{}
	var sum int64
	var denied error
	err := filepath.WalkDir(path, func(p string, d fs.DirEntry, err error) error {
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return nil // somebody works here
		case errors.Is(err, fs.ErrPermission):
			denied = err
			return nil
		case err != nil:
			return err
		}
		info, err := d.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if st, ok := info.Sys().(*syscall.Stat_t); ok && st.Nlink > 1 && !d.IsDir() {
			key := inode{uint64(st.Dev), st.Ino}
			if seen[key] {
				return nil
			}
			seen[key] = true
		}
		sum += Allocated(info)
		return nil
	})
	return sum, errors.Join(err, denied)
}

// Allocated is the disk space of one file.
func Allocated(info fs.FileInfo) int64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Blocks * 512
	}
	return info.Size()
}

// fileNumber tells a file from another of its name, where the system has that.
func fileNumber(info fs.FileInfo) uint64 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Ino
	}
	return 0
}

// owner of a file, where the system has the notion.
func owner(info fs.FileInfo) (uid, gid int, ok bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, 0, false
	}
	return int(st.Uid), int(st.Gid), true
}
