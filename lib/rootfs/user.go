//go:build unix

package rootfs

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// User is who a process runs as.
type User struct {
	UID, GID uint32
	// Groups are the supplementary groups: the primary group first, so that dropping
	// it with newgrp gains nothing, then in the order of /etc/group those that name the
	// user. With an explicit group in the spec it is that group alone.
	Groups []uint32
	Home   string // of /etc/passwd, else "/"
}

// maxUserFile bounds /etc/passwd and /etc/group: a bomb in their place is an error.
const maxUserFile = 1 << 20

// MaxID is the greatest user or group id; the one above means "no change" to chown.
const MaxID = 1<<32 - 2

// ErrUnknownName is the cause where the root's files lack a name.
var ErrUnknownName = errors.New("unknown name")

type unknownName string

func (e unknownName) Error() string      { return string(e) }
func (unknownName) Is(target error) bool { return target == ErrUnknownName }

// LookupUser finds who spec means inside the root: a user name or number, or
// USER:GROUP. "" is user 0.
//
// What is written in digits is a number and nothing else: a passwd line whose
// *name* is "1000" never decides who 1000 is. Numbers need no line in any file;
// names do, else the cause is ErrUnknownName. Both files are opened in the root, must be regular and at most 1 MiB.
func (r *Root) LookupUser(spec string) (User, error) {
	u, err := r.lookupUser(spec)
	if err != nil {
		return User{}, fmt.Errorf("look up user %q: %w", spec, err)
	}
	return u, nil
}

func (r *Root) lookupUser(spec string) (User, error) {
	name, group, hasGroup := strings.Cut(spec, ":")
	if hasGroup && group == "" || strings.Contains(group, ":") {
		return User{}, errors.New("not of the form USER[:GROUP]")
	}
	if name == "" {
		name = "0"
	}
	passwd, err := r.readUserFile("/etc/passwd")
	if err != nil {
		return User{}, err
	}
	u, login, err := findUser(passwd, name)
	if err != nil {
		return User{}, err
	}
	if hasGroup && isNumber(group) {
		if u.GID, err = parseID(group); err != nil {
			return User{}, err
		}
		u.Groups = []uint32{u.GID}
		return u, nil
	}
	groups, err := r.readUserFile("/etc/group")
	if err != nil {
		return User{}, err
	}
	if hasGroup {
		if u.GID, err = findGroup(groups, group); err != nil {
			return User{}, err
		}
		u.Groups = []uint32{u.GID}
		return u, nil
	}
	u.Groups = memberships(groups, login, u.GID)
	return u, nil
}

// findUser finds a user by number or name; login is the name the number has, if any.
func findUser(passwd []byte, name string) (u User, login string, err error) {
	u.Home = "/"
	numeric := isNumber(name)
	if numeric {
		if u.UID, err = parseID(name); err != nil {
			return u, "", err
		}
	}
	for f := range lines(passwd, 7) {
		uid, err1 := parseID(f[2])
		gid, err2 := parseID(f[3])
		if err1 != nil || err2 != nil || f[0] == "" || (numeric && uid != u.UID) || (!numeric && f[0] != name) {
			continue
		}
		u.UID, u.GID = uid, gid
		if strings.HasPrefix(f[5], "/") {
			u.Home = f[5]
		}
		return u, f[0], nil
	}
	if !numeric {
		return u, "", unknownName("no such user in /etc/passwd of the image")
	}
	return u, "", nil
}

func findGroup(groups []byte, name string) (uint32, error) {
	for f := range lines(groups, 4) {
		if gid, err := parseID(f[2]); err == nil && f[0] == name && name != "" {
			return gid, nil
		}
	}
	return 0, unknownName(fmt.Sprintf("no group %q in /etc/group of the image", name))
}

// memberships are the groups of a user: the primary one and those that name login.
func memberships(groups []byte, login string, primary uint32) []uint32 {
	list := []uint32{primary}
	if login == "" {
		return list
	}
	seen := map[uint32]bool{primary: true}
	for f := range lines(groups, 4) {
		gid, err := parseID(f[2])
		if err == nil && !seen[gid] && slices.Contains(strings.Split(f[3], ","), login) {
			seen[gid] = true
			list = append(list, gid)
		}
	}
	return list
}

// lines yields the lines of a file of colon-separated fields that have at least n,
// as the C library does: no comments, malformed lines have no say.
func lines(data []byte, n int) func(yield func([]string) bool) {
	return func(yield func([]string) bool) {
		for line := range bytes.Lines(data) {
			f := strings.Split(strings.TrimSpace(string(line)), ":")
			if len(f) >= n && !strings.HasPrefix(f[0], "#") && !yield(f) {
				return
			}
		}
	}
}

// readUserFile reads a file that must be regular and small; a missing one is empty.
// It looks before it opens: opening a device can be an action by itself.
func (r *Root) readUserFile(path string) ([]byte, error) {
	st, err := r.Stat(path)
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) {
		return nil, nil
	}
	if err == nil && st.Mode&unix.S_IFMT != unix.S_IFREG {
		err = fmt.Errorf("%s of the image is not a regular file", path)
	}
	if err != nil {
		return nil, err
	}
	f, err := r.OpenFile(path, unix.O_RDONLY|unix.O_NONBLOCK|unix.O_NOCTTY, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if fi, err := f.Stat(); err != nil || !fi.Mode().IsRegular() {
		return nil, fmt.Errorf("%s of the image is not a regular file", path)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxUserFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxUserFile {
		return nil, fmt.Errorf("%s of the image is larger than %d bytes", path, maxUserFile)
	}
	return data, nil
}

// isNumber tells whether s is written in digits alone, as a sign or a base is not.
func isNumber(s string) bool {
	return s != "" && strings.Trim(s, "0123456789") == ""
}

func parseID(s string) (uint32, error) {
	n, err := strconv.ParseUint(s, 10, 32)
	if err != nil || n > MaxID || !isNumber(s) {
		return 0, fmt.Errorf("id %q is not between 0 and %d", s, uint32(MaxID))
	}
	return uint32(n), nil
}
