package layer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// lowerDir is a directory below the one that is walked.
type lowerDir struct {
	f *os.File
	o *object
}

func closeAll(dirs []lowerDir) {
	for _, l := range dirs {
		l.f.Close()
	}
}

// lookup finds what the merged lower directories show under name: nil for
// nothing. below are the directories that merge there. The caller closes both.
func (d *differ) lookup(lowers []lowerDir, name, path string) (low *object, below []lowerDir, err error) {
	for _, l := range lowers {
		o, err := d.at(int(l.f.Fd()), name, path, l.o.own, nil)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			low.close()
			closeAll(below)
			return nil, nil, fmt.Errorf("lower tree: %w", err)
		}
		if o.socket || (d.lowerMarks && o.hides()) {
			o.close()
			break
		}
		if o.Type != TypeDir {
			if low == nil {
				return o, nil, nil
			}
			o.close()
			break
		}
		below = append(below, lowerDir{os.NewFile(uintptr(o.fd), procPath(o.fd, "")), o})
		o.fd = -1
		if low == nil {
			low = o
		}
		if d.lowerMarks && o.opaque == "y" {
			break
		}
	}
	return low, below, nil
}

// hides tells whether o is a whiteout of overlayfs.
func (o *object) hides() bool {
	return o.whiteout || (o.Type == TypeChar && o.Major == 0 && o.Minor == 0)
}

// isWhiteout tells whether the name n in the overlay upper directory dir is a whiteout.
func (d *differ) isWhiteout(dirfd int, n fs.DirEntry, dir *object) (bool, error) {
	device, attribute := n.Type()&fs.ModeCharDevice != 0, dir.opaque == "x" && n.Type().IsRegular()
	if !device && !attribute {
		return false, nil
	}
	o, err := d.at(dirfd, n.Name(), join(dir.Path, n.Name()), dir.own, nil)
	if err != nil {
		return false, err
	}
	defer o.close()
	return o.hides(), nil
}

// visible is the set of names that the merged lower directories show.
func (d *differ) visible(lowers []lowerDir) (map[string]bool, error) {
	seen := make(map[string]bool)
	for _, l := range lowers {
		names, err := readDir(l.f)
		if err != nil {
			return nil, pathError("read lower directory", l.o.Path, err)
		}
		for _, n := range names {
			if _, ok := seen[n.Name()]; ok {
				continue
			}
			white := n.Type()&fs.ModeSocket != 0 // which no layer has
			if d.lowerMarks && !white {
				if white, err = d.isWhiteout(int(l.f.Fd()), n, l.o); err != nil {
					return nil, err
				}
			}
			seen[n.Name()] = !white
		}
	}
	maps.DeleteFunc(seen, func(_ string, shown bool) bool { return !shown })
	return seen, nil
}

// find is lookup by a path from the root. The caller closes the object.
func (d *differ) find(lowers []lowerDir, path string) (*object, error) {
	var opened []lowerDir
	defer func() { closeAll(opened) }()
	for {
		name, rest, more := strings.Cut(path, "/")
		low, below, err := d.lookup(lowers, name, path)
		if err != nil {
			return nil, err
		}
		closeAll(opened)
		lowers, opened = below, below
		if !more {
			return low, nil
		}
		low.close()
		path = rest
	}
}

// sameEntry compares all that a layer says about two entries but content.
func sameEntry(a, b *Entry) bool {
	return a.Type == b.Type && a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID &&
		a.Size == b.Size && a.Linkname == b.Linkname && a.Major == b.Major && a.Minor == b.Minor &&
		a.ModTime.Equal(b.ModTime) && maps.Equal(a.Xattrs, b.Xattrs)
}

// sameContent compares size bytes of two open files.
func sameContent(ctx context.Context, a, b int, size int64) (bool, error) {
	const piece = 128 << 10
	bufs := make([]byte, 2*min(piece, size))
	p, q := bufs[:len(bufs)/2], bufs[len(bufs)/2:]
	ra, rb := &fdReader{ctx, a}, &fdReader{ctx, b}
	defer unix.Seek(a, 0, io.SeekStart) // a is read again if it is written
	for size > 0 {
		n := min(int64(len(p)), size)
		if _, err := io.ReadFull(ra, p[:n]); err != nil {
			return false, err
		}
		if _, err := io.ReadFull(rb, q[:n]); err != nil {
			return false, err
		}
		if !bytes.Equal(p[:n], q[:n]) {
			return false, nil
		}
		size -= n
	}
	return true, nil
}
