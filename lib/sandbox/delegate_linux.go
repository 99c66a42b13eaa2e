package sandbox

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// An ordinary user may make cgroups where somebody, most often systemd, has given
// a directory away: in version 1 below the cgroup that the user's processes are
// in, in version 2 beside it, for one that has processes cannot limit what is
// below.

// undelegatedError says that an ordinary user may make no cgroup.
type undelegatedError struct {
	uid int
	err error
}

func (e *undelegatedError) Error() string { return e.brief() + ": " + e.err.Error() }

func (e *undelegatedError) brief() string {
	return fmt.Sprintf("no cgroup controller is delegated to user %d", e.uid)
}

func (e *undelegatedError) Unwrap() []error { return []error{ErrNotDelegated, e.err} }

// briefly is why there is no limit, without the place where there is none.
func briefly(err error) string {
	text := err.Error()
	var e *undelegatedError
	if errors.As(err, &e) {
		text = strings.Replace(text, e.Error(), e.brief(), 1)
	}
	return text
}

// delegated is the directory below base, the mount of a hierarchy, in which a
// caller whose own cgroup is given may make others with the controller; base
// itself when there is none.
func delegated(base, own, controller string, v2 bool) string {
	at := filepath.Join(base, own)
	if !v2 {
		if at != base && unix.Access(at, unix.W_OK) == nil {
			return at
		}
		return base
	}
	for at != base {
		at = filepath.Dir(at)
		has, err := os.ReadFile(filepath.Join(at, "cgroup.controllers"))
		ours := unix.Access(filepath.Join(at, "cgroup.subtree_control"), unix.W_OK) == nil && unix.Access(at, unix.W_OK) == nil
		if err == nil && ours && slices.Contains(strings.Fields(string(has)), controller) {
			return at
		}
	}
	return base
}

// ownCgroup is the path of the caller's cgroup in the hierarchy of a controller.
func ownCgroup(controller string, v2 bool) string {
	list, err := os.ReadFile("/proc/self/cgroup")
	if err != nil {
		return "/"
	}
	for line := range strings.Lines(string(list)) {
		part := strings.SplitN(strings.TrimSuffix(line, "\n"), ":", 3)
		if len(part) != 3 || strings.Contains(part[2], "..") { // from outside the cgroup namespace
			continue
		}
		if v2 && part[0] == "0" || !v2 && slices.Contains(strings.Split(part[1], ","), controller) {
			return part[2]
		}
	}
	return "/"
}

// outerUID is who the caller is outside its user namespace.
func outerUID() int {
	b, err := os.ReadFile("/proc/self/uid_map")
	var inner, outer int
	if err == nil {
		_, err = fmt.Sscan(string(b), &inner, &outer)
	}
	if err != nil {
		return os.Getuid()
	}
	return outer
}
