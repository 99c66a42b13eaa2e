package layer

import (
	"fmt"
	"strings"
	"time"
)

// Type is the kind of an entry. The zero value is a regular file.
type Type uint8

const (
	TypeFile     Type = iota
	TypeDir           // directory
	TypeSymlink       // Linkname is its text
	TypeLink          // hard link; Linkname is the path of an entry or of a file below
	TypeChar          // character device
	TypeBlock         // block device
	TypeFifo          // named pipe
	TypeWhiteout      // Path is removed; in the tar its name is DIR/.wh.NAME
	TypeOpaque        // Path is a directory whose lower content is hidden; in the tar DIR/.wh..wh..opq
)

var typeNames = [...]string{"file", "dir", "symlink", "link", "char", "block", "fifo", "whiteout", "opaque"}

func (t Type) String() string {
	if int(t) < len(typeNames) {
		return typeNames[t]
	}
	return fmt.Sprintf("type(%d)", uint8(t))
}

// MarshalText writes the name of the type: "file", "dir", ...
func (t Type) MarshalText() ([]byte, error) {
	if int(t) >= len(typeNames) {
		return nil, fmt.Errorf("unknown entry type %d", uint8(t))
	}
	return []byte(typeNames[t]), nil
}

// UnmarshalText reads what MarshalText wrote.
func (t *Type) UnmarshalText(b []byte) error {
	for i, n := range typeNames {
		if n == string(b) {
			*t = Type(i)
			return nil
		}
	}
	return fmt.Errorf("unknown entry type %q", b)
}

const (
	// WhiteoutPrefix begins the name of a whiteout in a layer tar.
	WhiteoutPrefix = ".wh."
	// OpaqueName is the name that makes its directory opaque in a layer tar.
	OpaqueName = ".wh..wh..opq"
	// OwnerXattr holds "uid:gid", the intended owner of a file or directory whose
	// real owner could not be set for lack of privilege. Its value replaces the
	// real owner in every tar; the attribute itself is never in a tar. What
	// cannot carry it (symbolic links, devices, fifos) takes the value of its
	// directory when both have the same real owner, and that is not root: so an
	// image unpacked by an ordinary user packs again to the same bytes.
	OwnerXattr = "user.docksmith.owner"
)

// Entry is one member of a layer.
type Entry struct {
	// Path is clean, relative and "/"-separated; the root is ".". It may hold any
	// byte but NUL. Of a whiteout it is the path that is removed, of an opaque
	// entry the directory.
	Path     string    `json:"path"`
	Type     Type      `json:"type"`
	Mode     uint32    `json:"mode"` // permission bits, set-id and sticky: 07777
	UID      uint32    `json:"uid"`
	GID      uint32    `json:"gid"`
	Size     int64     `json:"size,omitempty"` // of a regular file
	ModTime  time.Time `json:"modTime"`
	Linkname string    `json:"linkname,omitempty"` // text of a symlink; clean path of a hard link's target
	Major    uint32    `json:"major,omitempty"`
	Minor    uint32    `json:"minor,omitempty"`
	// Xattrs maps names as the kernel knows them ("security.capability") to raw bytes.
	Xattrs map[string]string `json:"xattrs,omitempty"`
}

// ComparePaths orders clean paths element by element, each by its bytes, a
// directory before what is below it. It is the order of every tar we write.
func ComparePaths(a, b string) int {
	if a == "." {
		a = ""
	}
	if b == "." {
		b = ""
	}
	n := min(len(a), len(b))
	for i := range n {
		if a[i] == b[i] {
			continue
		}
		if a[i] == '/' || (b[i] != '/' && a[i] < b[i]) {
			return -1
		}
		return 1
	}
	return len(a) - len(b)
}

// splitPath divides a clean path into its directory ("" for the root's
// children) and its last element.
func splitPath(p string) (dir, base string) {
	i := strings.LastIndexByte(p, '/')
	if i < 0 {
		return "", p
	}
	return p[:i], p[i+1:]
}
