package layer

import (
	"fmt"
	"strings"

	"golang.org/x/sys/unix"
)

// mkdir makes the directory base of the current one, unless it lies too deep. Each
// name is short enough, but links lead from the end of one to the next: a tree
// that is deeper than a path may be long is one that few programs can remove.
func (a *applier) mkdir(base string) error {
	if a.cur.depth == 0 {
		depth, err := a.depth()
		if err != nil {
			return err
		}
		a.cur.depth = depth + 1
	}
	if limit := a.o.Limits.orDefault().Depth; a.cur.depth > limit {
		return fmt.Errorf("%w: more than %d directories deep", ErrTar, limit)
	}
	return unix.Mkdirat(a.cur.fd, base, 0o700)
}

// depth tells how deep in the root the current directory lies, links resolved.
func (a *applier) depth() (int, error) {
	if a.cur.path == "." {
		return 0, nil
	}
	if below, ok := strings.CutPrefix(fdPath(a.cur.fd), fdPath(a.root.Fd())+"/"); ok {
		return elements(below), nil
	}
	// The kernel does not tell: the path is longer than it may be, or somebody
	// moves directories.
	real, err := a.realPath(a.cur.path)
	return elements(real), err
}

func elements(path string) int { return strings.Count(path, "/") + 1 }
