package buildctx

import (
	"time"

	"golang.org/x/sys/unix"
)

// Type is the kind of an entry. Its String is the word that layer entries and
// cache keys use.
type Type uint8

const (
	File Type = iota + 1
	Dir
	Symlink
	Char
	Block
	FIFO
	Socket
)

func (t Type) String() string {
	names := [...]string{"unknown", "file", "dir", "symlink", "char", "block", "fifo", "socket"}
	if int(t) >= len(names) {
		return names[0]
	}
	return names[t]
}

// Info describes one entry as lstat saw it.
type Info struct {
	Path     string // clean, relative to the root, "/"-separated; the root is "."
	Type     Type
	Mode     uint32 // permission, setuid, setgid and sticky bits
	UID, GID uint32
	Size     int64
	Linkname string // of a symlink
	Nlink    uint64
	Dev, Ino uint64
	Rdev     uint64
	MTime    int64 // nanoseconds since 1970
	CTime    int64
}

// ModTime is MTime as a time.
func (i Info) ModTime() time.Time { return time.Unix(0, i.MTime) }

// Major and Minor number a device.
func (i Info) Major() uint32 { return unix.Major(i.Rdev) }

// Minor is the other half of a device's number.
func (i Info) Minor() uint32 { return unix.Minor(i.Rdev) }

// fill takes over what the system says; Path and Linkname stay.
func (i *Info) fill(st *unix.Stat_t) {
	mode := uint32(st.Mode)
	switch mode & unix.S_IFMT {
	case unix.S_IFREG:
		i.Type = File
	case unix.S_IFDIR:
		i.Type = Dir
	case unix.S_IFLNK:
		i.Type = Symlink
	case unix.S_IFCHR:
		i.Type = Char
	case unix.S_IFBLK:
		i.Type = Block
	case unix.S_IFIFO:
		i.Type = FIFO
	case unix.S_IFSOCK:
		i.Type = Socket
	}
	i.Mode = mode & 0o7777
	i.UID, i.GID = st.Uid, st.Gid
	i.Size = st.Size
	i.Nlink = uint64(st.Nlink)
	i.Dev, i.Ino, i.Rdev = uint64(st.Dev), st.Ino, uint64(st.Rdev)
	i.MTime, i.CTime = st.Mtim.Nano(), st.Ctim.Nano()
}

// sameContent reports whether two looks at a file saw the same state of it.
func (i *Info) sameContent(j *Info) bool {
	return i.Dev == j.Dev && i.Ino == j.Ino && i.Size == j.Size && i.MTime == j.MTime && i.CTime == j.CTime
}
