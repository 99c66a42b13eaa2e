package store

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
)

// Usage is the disk space of one area of the store.
type Usage struct {
	Area  string `json:"area"`  // "blobs", "snapshots", "cache", "containers", "volumes", "builds", "tmp" or "state"
	Items int    `json:"items"` // blobs, snapshots, containers: what the area has on its first level
	Bytes int64  `json:"bytes"` // what the file system has given out for it
}

type inode struct{ dev, ino uint64 }

// Usage measures the areas. A file with several names counts once. What an
// ordinary user may not look into, because it belongs to mapped users, is left
// out and reported as fs.ErrPermission beside the rest.
func (s *Store) Usage() ([]Usage, error) {
	areas := []struct{ name, dir string }{
		{"blobs", dirBlobs}, {"snapshots", dirSnapshots}, {"cache", dirCache},
		{"containers", dirContainers}, {"volumes", dirVolumes}, {"builds", dirBuilds}, {"tmp", dirTemp}, {"state", "state"},
	}
	seen := map[inode]bool{}
	var list []Usage
	var denied error
	for _, a := range areas {
		names, err := os.ReadDir(s.path(a.dir))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		n, err := diskUsage(s.path(a.dir), seen)
		if err != nil && !errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		denied = errors.Join(denied, err)
		list = append(list, Usage{Area: a.name, Items: len(names), Bytes: n})
	}
	return list, denied
}

// diskUsage adds up the blocks of the tree at path, files with several names
// once over all calls with the same seen.
func diskUsage(path string, seen map[inode]bool) (int64, error) {
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
