package buildctx

import (
	"time"

	"golang.org/x/sys/unix"
)

// FileTime is the time that a file gets which changes now: no later change on a file
// system of this kernel has an earlier one. It may be behind the clock by a tick or
// more; since Linux 6.13, which stamps finer where somebody looks, it is exact.
func FileTime() time.Time {
	if t, err := memoryFileTime(); err == nil {
		return t
	}
	return time.Unix(0, tickTime())
}

// memoryFileTime changes a file that was looked at.
func memoryFileTime() (time.Time, error) {
	fd, err := unix.MemfdCreate("time", unix.MFD_CLOEXEC)
	if err != nil {
		return time.Time{}, err
	}
	defer unix.Close(fd)
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return time.Time{}, err
	}
	if _, err := unix.Write(fd, []byte{0}); err != nil {
		return time.Time{}, err
	}
	if err := unix.Fstat(fd, &st); err != nil {
		return time.Time{}, err
	}
	return time.Unix(st.Mtim.Unix()), nil
}

// tickTime is the clock that files are stamped by, without its finer steps: for the
// price of reading it, no later change has an earlier time.
func tickTime() int64 {
	var ts unix.Timespec
	if unix.ClockGettime(unix.CLOCK_REALTIME_COARSE, &ts) != nil {
		return time.Now().UnixNano()
	}
	return ts.Nano()
}

// isLocal reports whether the file is on a file system of this kernel alone: it stamps
// changes by this kernel's clock, in steps of its tick or finer, and asks no other
// machine.
func isLocal(fd int) bool {
	var st unix.Statfs_t
	if retry(func() error { return unix.Fstatfs(fd, &st) }) != nil {
		return false
	}
	const zfs, bcachefs = 0x2fc12fc1, 0xca451a4e
	switch uint64(st.Type) & 0xffffffff {
	case unix.EXT4_SUPER_MAGIC, unix.XFS_SUPER_MAGIC, unix.BTRFS_SUPER_MAGIC, unix.TMPFS_MAGIC,
		unix.OVERLAYFS_SUPER_MAGIC, unix.F2FS_SUPER_MAGIC, unix.RAMFS_MAGIC, zfs, bcachefs:
		return true
	}
	return false
}
